"""Text that people typed, made safe to show: nothing invisible, nothing that reorders its surroundings."""

from __future__ import annotations

import unicodedata
from typing import Final

_JOINERS: Final = "\u200c\u200d"  # Persian and the Indic scripts are misspelt without them; emoji fall apart
_SPACES: Final = ("Cc", "Zl", "Zp")  # a line break inside a fact could pass for a new sentence of the hub
_DROPPED: Final = ("Cf", "Cs", "Co")  # bidi overrides and zero-widths; lone surrogates; private use


def safe(text: str, keep: str = "") -> str:
    """``text`` on one line, without control, bidi, zero-width, surrogate and private-use characters.

    Characters in ``keep`` (such as ``"\\n"``) stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_safe(character, keep) for character in text)


def excerpt(text: str, length: int = 40) -> str:
    """The beginning of what somebody typed, short enough to quote back: at most ``length`` characters."""
    # What lies far beyond the excerpt is not even read, so that a huge message costs nothing.
    words = " ".join(safe(text[: length * 4]).split())
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"


def _safe(character: str, keep: str) -> str:
    if character in keep or character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category in _SPACES:
        return "" if character == "\0" else " "
    return "" if category in _DROPPED else character
