"""The edge between the commands and the flow: a refusal becomes an answer like another."""

from __future__ import annotations

from hub.commands.bot import Bots
from hub.commands.context import Context
from hub.commands.dispatch import dispatch
from hub.commands.reply import Reply
from hub.errors import Refusal


async def answer(bots: Bots, ctx: Context, line: str) -> Reply:
    """What to say to ``line``. Faults propagate: the flow rolls back and gives a reference.

    A refusal undoes what the use case wrote before it refused.
    """
    try:
        async with ctx.tx.savepoint():
            return await dispatch(bots, ctx, line)
    except Refusal as refusal:
        return Reply.refusing(refusal)
