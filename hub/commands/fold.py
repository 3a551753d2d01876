"""Names as people type them: accents, case, width, hyphens, stray and invisible spaces do not matter."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_SEPARATORS: Final = frozenset("-_\u2010\u2011\u2012\u2013\u2014\u2212")
_SPELLED: Final = {"œ": "oe", "æ": "ae", "’": "'", "‘": "'", "ʼ": "'"}


@dataclass(frozen=True)
class Folded:
    """``text`` folded, and for each of its characters where the typed text goes on after it."""

    text: str
    ends: tuple[int, ...]


def fold(typed: str) -> str:
    """``"  Qui SUIS‑je "`` and ``"qui suis je"`` fold to the same text."""
    return folded(typed).text


def folded(typed: str) -> Folded:
    """Fold character by character, so that a name found in the folded text can be cut off the typed one."""
    text: list[str] = []
    ends: list[int] = []
    for position, character in enumerate(typed):
        piece = _fold_character(character)
        if piece == " " and (not text or text[-1] == " "):
            continue
        if not piece and ends:
            ends[-1] = position + 1  # an accent typed apart belongs to the letter before it
        text.extend(piece)
        ends.extend([position + 1] * len(piece))
    while text and text[-1] == " ":
        text.pop()
        ends.pop()
    return Folded("".join(text), tuple(ends))


@lru_cache(maxsize=2048)
def _fold_character(character: str) -> str:
    if character in _SEPARATORS or character.isspace():
        return " "
    decomposed = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", character).casefold())
    kept = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Me", "Cc", "Cf", "Cs"))
    return "".join(_SPELLED.get(c, c) for c in kept)
