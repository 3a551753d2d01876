"""A line → a command → permission → arguments → the call."""

from __future__ import annotations

from dataclasses import replace

from hub.commands.authorise import authorise
from hub.commands.bot import Bots
from hub.commands.context import Context
from hub.commands.emergency import emergency
from hub.commands.parse import LONGEST_LINE, arguments, recognise
from hub.commands.refusals import unknown
from hub.commands.reply import Reply
from hub.errors import Refusal


async def dispatch(bots: Bots, ctx: Context, line: str) -> Reply:
    """Run what ``line`` (from ``addressed``) asks for. Raises a Refusal, or whatever the command raises."""
    ctx = replace(ctx, commands=bots.commands)
    if len(line) > LONGEST_LINE:
        raise Refusal("command.too_long", limit=LONGEST_LINE)
    found = recognise(bots.commands, line)
    if found is None:
        raise unknown(ctx, line)
    command, rest = found
    authorise(ctx.actor, command)
    try:
        values = arguments(command, rest, ctx.language)
    except Refusal as refusal:
        if ctx.room.direct and not command.parameters:
            raise unknown(ctx, line) from None  # "Bonjour docteur, j'ai mal": a sentence, not a command
        raise Refusal(refusal.code, **{**refusal.facts, "emergency": emergency(ctx.actor)}) from None
    return await command.run(ctx, *values)
