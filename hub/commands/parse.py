"""Whether a message is for the hub, and the typed call that its text is.

People forget the accent, their telephone adds a capital, French puts a non-breaking space before a colon,
and a name copied from somewhere drags invisible characters along: none of it matters in names. Arguments
keep their spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from hub.commands.command import Command, Parameter
from hub.commands.fold import folded
from hub.commands.mention import after_name, before_name, trimmed
from hub.commands.words import Word, words
from hub.errors import Refusal
from hub.locale import Language
from hub.locale.safe import excerpt, safe

LONGEST_LINE: Final = 4_000
"""Characters of a command: a page of text, which is more than anybody types."""

_PUNCTUATION: Final = re.compile(r"[\s?!.…]*")  # « Aide ? », as French writes it


def addressed(
    text: str,
    *,
    mentions_bot: bool,
    direct: bool,
    bot_names: Sequence[str],
    knows: Callable[[str], bool] | None = None,
) -> str | None:
    """The command line in ``text``, without its sigil or mention; None when ``text`` is not for the hub.

    ``mentions_bot``: ``m.mentions`` names the hub. ``direct``: the hub and one person are alone, and bare
    words are for it. ``bot_names``: its display name and user id. ``knows`` (``Bots.knows``) tells
    whether a line begins with a command: where given, a name that merely begins a sentence ("Parcours de
    soins…") addresses nobody. The line may be empty (just the name), and is never longer than
    ``LONGEST_LINE`` + 1, which ``dispatch`` refuses.
    """
    line = _line(trimmed(text), mentions_bot, direct, bot_names, knows)
    return None if line is None else line[: LONGEST_LINE + 1]


def _line(
    said: str,
    mentions_bot: bool,
    direct: bool,
    names: Sequence[str],
    knows: Callable[[str], bool] | None,
) -> str | None:
    if not said or said.startswith("//"):  # "//x" is how clients write a text that begins with a slash
        return None
    sigil = unicodedata.normalize("NFKC", said[0])
    if sigil in ("/", "!"):
        line = trimmed(said[1:])
        # "!!!" and "! attention" are people talking; "/ aide" is somebody whose keyboard added a space.
        return line if direct or sigil == "/" or (line[:1].isalpha() and not said[1].isspace()) else None
    called = after_name(said, names)
    if called is not None:
        sure, line = called
        if sure or mentions_bot or direct or not line or knows is None or knows(line):
            return line
    if mentions_bot and (before := before_name(said, names)) is not None:
        return before
    # m.mentions alone proves nothing: clients add it to every reply to a message of the hub.
    return said if direct else None


def recognise(commands: Iterable[Command], line: str) -> tuple[Command, str] | None:
    """The command that ``line`` begins with, the longest name first, and what follows it as it was typed."""
    seen = folded(line[: LONGEST_LINE + 1])
    found = [(name, command) for command in commands for name in command.folded if _begins(seen.text, name)]
    if not found:
        return None
    name, command = max(found, key=lambda pair: len(pair[0]))
    return command, line[seen.ends[len(name) - 1] :].lstrip(" \t\n\u00a0\u202f:,")


def named(commands: Iterable[Command], name: str) -> Command | None:
    """The command called ``name``, with or without its slash, and nothing after it."""
    found = recognise(commands, name.lstrip("/!"))
    return found[0] if found and not _worded(found[1]) else None


def arguments(command: Command, rest: str, language: Language) -> list[object]:
    """The typed arguments in ``rest``. Raises the Refusal ``command.argument``, with usage and example."""
    typed = [] if _PUNCTUATION.fullmatch(rest) else words(_clean(rest))
    values: list[object] = []
    for parameter in command.parameters:
        text, typed = _take(parameter, typed)
        if text:
            values.append(_read(command, parameter, text, language))
        elif parameter.optional:
            values.append(parameter.default)
        else:
            raise _wrong(command, language, ("argument.missing", {"argument": _label(parameter)}))
    if any(_worded(word.text) for word in typed):  # "bonjour !" has no argument
        raise _wrong(command, language, ("argument.extra", {"typed": excerpt(typed[0].text)}))
    return values


def _take(parameter: Parameter, typed: list[Word]) -> tuple[str, list[Word]]:
    if not typed:
        return "", []
    if not parameter.rest:
        return typed[0].text.strip(), typed[1:]
    return (typed[0].text if len(typed) == 1 else typed[0].onwards).strip(), []


def _read(command: Command, parameter: Parameter, text: str, language: Language) -> object:
    try:
        return parameter.converter.read(text)
    except ValueError:
        problem: dict[str, object] = {
            "argument": _label(parameter),
            "typed": excerpt(text),
            "expected": parameter.converter.expected,
        }
        raise _wrong(command, language, ("argument.wrong", problem)) from None


def _wrong(command: Command, language: Language, problem: tuple[str, dict[str, object]]) -> Refusal:
    return Refusal(
        "command.argument", problem=problem, usage=command.usage(language), example=command.example(language)
    )


def _label(parameter: Parameter) -> tuple[str, dict[str, object]]:
    return f"arg:{parameter.name}", {}


def _clean(text: str) -> str:
    # A NUL breaks databases, a lone surrogate every encoder.
    return safe(text, keep="\n")


def _worded(text: str) -> bool:
    return any(map(str.isalnum, text))


def _begins(line: str, name: str) -> bool:
    return line.startswith(name) and not line[len(name) : len(name) + 1].isalnum()
