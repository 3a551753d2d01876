"""What people are told when nothing is called what they typed."""

from __future__ import annotations

from hub.commands.authorise import may
from hub.commands.context import Context
from hub.commands.emergency import emergency
from hub.commands.help import name
from hub.commands.nearest import nearest
from hub.errors import Refusal
from hub.locale.safe import excerpt

_SENTENCE = 5  # words; nobody asks whoever wrote so many whether they meant "/bonjour"
_NAMED = 6


def unknown(ctx: Context, typed: str) -> Refusal:
    """The nearest names that this person may use; where none is near, in a direct room, the first of them."""
    shown = excerpt(typed)
    if not shown:
        return Refusal("command.empty", emergency=emergency(ctx.actor))
    allowed = [command for command in ctx.commands if may(ctx.actor, command)]
    sentence = ctx.room.direct and len(shown.split()) >= _SENTENCE
    alike = [] if sentence else [name(command, ctx.language) for command in nearest(typed, allowed)]
    if alike:
        return Refusal("command.unknown", typed=shown, nearest=alike, emergency=emergency(ctx.actor))
    if not ctx.room.direct:
        return Refusal("command.unknown_far", typed=shown, emergency=emergency(ctx.actor))
    known = [name(command, ctx.language) for command in allowed[:_NAMED]]
    return Refusal("direct.not_understood", typed=shown, known=known, emergency=emergency(ctx.actor))
