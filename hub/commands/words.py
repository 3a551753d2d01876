"""A line cut into words, quotes understood: « », “ ”, " " and ' '."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_CLOSING: Final = {"«": "»", "“": "”", "„": "“", '"': '"', "'": "'", "‘": "’", "”": "”"}
_SPACES: Final = re.compile(r"\s*")
_BARE: Final = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """``text`` without its quotes; ``onwards`` is the line from this word to its end, as typed."""

    text: str
    onwards: str


def words(line: str) -> list[Word]:
    """The words of ``line``. A quote that nothing closes is an ordinary character, as in « l'avis »."""
    found: list[Word] = []
    position = _spaces(line, 0)
    while position < len(line):
        text, end = _quoted(line, position) or _bare(line, position)
        found.append(Word(text, line[position:]))
        position = _spaces(line, end)
    return found


def _spaces(line: str, position: int) -> int:
    match = _SPACES.match(line, position)
    return match.end() if match else position


def _bare(line: str, position: int) -> tuple[str, int]:
    match = _BARE.match(line, position)
    end = match.end() if match else len(line)
    return line[position:end], end


def _quoted(line: str, position: int) -> tuple[str, int] | None:
    closing = _CLOSING.get(line[position])
    if closing is None:
        return None
    end = line.find(closing, position + 1)
    # A closing quote ends a word: in « 'l'avis' » the first apostrophe inside does not.
    while end != -1 and end + 1 < len(line) and not line[end + 1].isspace():
        end = line.find(closing, end + 1)
    return None if end == -1 else (line[position + 1 : end].strip(), end + 1)
