"""What the author of a command may get wrong, and is told before the hub starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hub.commands.bot import Bot, Bots
from hub.commands.command import Command, GrammarError
from hub.commands.context import Context
from hub.commands.permissions import Permission
from hub.commands.reply import Reply

HELP = Permission.SEE_HELP


async def plain(ctx: Context) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def free(ctx: Context, about: str) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _no_docstring(ctx: Context) -> Reply:
    return Reply("emergency")


async def _no_context(about: str) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _nothing() -> Reply:
    """Une aide."""
    return Reply("emergency")


def _not_async(ctx: Context) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _no_reply(ctx: Context) -> str:
    """Une aide."""
    return ""


async def _no_type(ctx: Context, about) -> Reply:  # type: ignore[no-untyped-def]
    """Une aide."""
    return Reply("emergency")


async def _unsupported(ctx: Context, about: bytes) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _union(ctx: Context, about: int | str) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _keyword(ctx: Context, *, about: str) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _many(ctx: Context, *about: str) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _nullable(ctx: Context, about: str | None) -> Reply:
    """Une aide."""
    return Reply("emergency")


async def _unresolved(ctx: Context, about: Nowhere) -> Reply:  # type: ignore[name-defined]  # noqa: F821
    """Une aide."""
    return Reply("emergency")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_no_docstring, "docstring"),
        (_no_context, "must be a Context"),
        (_nothing, "must be a Context"),
        (_not_async, "must be async"),
        (_no_reply, "must return a Reply"),
        (_no_type, "has no type"),
        (_unsupported, "no converter"),
        (_union, "no converter"),
        (_keyword, "in order"),
        (_many, "in order"),
        (_nullable, "no default"),
        (_unresolved, "cannot be resolved"),
    ],
)
def test_a_function_that_cannot_be_a_command(function: Callable[..., Any], told: str) -> None:
    with pytest.raises(GrammarError, match=told):
        Bot("essai").command("essai", "try", needs=HELP)(function)


@pytest.mark.parametrize("name", ["", " ", "/essai", "es/sai", "\u200b", "x" * 41, "a:b", "👍"])
def test_a_name_that_nobody_could_type(name: str) -> None:
    with pytest.raises(GrammarError, match="no name"):
        Bot("essai").command("essai", name, needs=HELP)


def test_a_permission_has_no_default() -> None:
    with pytest.raises(TypeError):
        Bot("essai").command("essai", "try")  # type: ignore[call-arg]


def _bot(*names: tuple[str, ...], function: Callable[[Context], Awaitable[Reply]] = plain) -> Bot:
    bot = Bot("essai")
    for french, english, *aliases in names:
        bot.command(french, english, *aliases, needs=HELP)(function)
    return bot


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("essai", "try"), ("essai", "attempt")),
        (("essai", "try"), ("tentative", "try")),
        (("essai", "try"), ("try", "attempt")),
        (("essai", "try", "tester"), ("tester", "test")),
        (("état", "state"), ("Etat", "status")),
        (("qui suis-je", "whoami"), ("qui suis je", "who")),
    ],
)
def test_two_commands_of_one_name(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    with pytest.raises(GrammarError, match="both called"):
        Bots(_bot(one), _bot(other))
    with pytest.raises(GrammarError, match="both called"):
        Bots(_bot(one, other))


def test_one_name_in_both_languages_is_no_conflict() -> None:
    (command,) = Bots(_bot(("note", "note")))
    assert command.folded == ("note",)


def test_free_text_may_not_swallow_another_command() -> None:
    bot = Bot("essai")
    bot.command("note", "note", needs=HELP)(free)
    bot.command("note urgente", "urgent note", needs=HELP)(plain)
    with pytest.raises(GrammarError, match="free text"):
        Bots(bot)
    assert list(Bots(_bot(("rdv", "booking"), ("rdv réserver", "booking book"))))


def test_a_command_is_declared_data() -> None:
    bot = _bot(("essai", "try"))
    (command,) = bot.commands
    assert isinstance(command, Command)
    assert (command.bot, command.code, command.needs, command.doc) == ("essai", "essai", HELP, "Une aide.")
