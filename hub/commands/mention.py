"""The hub called by its name: "Parcours: aide", "@parcours:chu.example aide", or the pill made of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from hub.commands.fold import fold, folded

_LONGEST: Final = 300  # characters in which a name is looked for
_SEPARATOR: Final = re.compile(r"\s*[:,;]\s*|\s+|\Z")
_PILL: Final = re.compile(r"\[[^\]]{0,300}\]\(https://matrix\.to/#/(?P<id>[^)\s]{1,300})\)")


def after_name(said: str, names: Sequence[str]) -> tuple[bool, str] | None:
    """What follows the hub's name at the beginning of ``said``; and whether it surely calls the hub.

    "@Parcours", "Parcours:" and a user id surely do; "Parcours" may begin a sentence about something else.
    """
    pill = _PILL.match(said)
    if pill and unquote(pill["id"]) in names:
        return True, _after_separator(said[pill.end() :])
    at = said.startswith("@")
    seen = folded(said[at:_LONGEST])
    for name, wanted in _longest_first(names):
        if not seen.text.startswith(wanted):
            continue
        rest = said[at + seen.ends[len(wanted) - 1] :]
        separator = _SEPARATOR.match(rest)
        if separator is None or (at and rest[:1] == ":" and rest[1:2].strip()):
            continue  # another word, or the user id of another: "@parcours:ailleurs.fr"
        return at or bool(separator[0].strip()) or name.startswith("@"), _after_separator(rest)
    return None


def before_name(said: str, names: Sequence[str]) -> str | None:
    """What comes before the hub's name at the end of ``said``: "aide, @Parcours"."""
    said = said.rstrip(" \u00a0\u202f!?.…")
    start = max(len(said) - _LONGEST, 0)
    seen = folded(said[start:])
    for _, wanted in _longest_first(names):
        at = len(seen.text) - len(wanted)
        if at > 0 and seen.text.endswith(wanted) and seen.text[at - 1] in " @":
            return trimmed(said[: start + seen.ends[at - 1]]).rstrip("@, ")
    return None


def trimmed(text: str) -> str:
    """``text`` without the spaces around it and the invisible characters before it."""
    start = 0
    while start < len(text) and _invisible(text[start]):
        start += 1
    return text[start:].rstrip()


def _after_separator(rest: str) -> str:
    separator = _SEPARATOR.match(rest)
    line = trimmed(rest[separator.end() :] if separator else rest)
    return trimmed(line[1:]) if line.startswith(("/", "!")) else line


def _longest_first(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each name, and how it is looked for: a person may leave out the "@"."""
    pairs = ((name, fold(name.removeprefix("@"))) for name in names)
    return sorted((pair for pair in pairs if pair[1]), key=lambda pair: -len(pair[1]))


def _invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Mn")
