"""The commands whose names look most like what somebody typed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Final

from hub.commands.command import Command
from hub.commands.fold import fold

_ALIKE: Final = 0.6
_LONGEST: Final = 40  # comparing costs the product of both lengths


def nearest(typed: str, commands: Iterable[Command], limit: int = 3) -> list[Command]:
    """At most ``limit`` of ``commands``, the likeliest first; none when nothing looks alike."""
    line = fold(typed[: 4 * _LONGEST])[:_LONGEST]
    scored = [(max(_likeness(line, name) for name in command.folded), command) for command in commands]
    alike = sorted((pair for pair in scored if pair[0] >= _ALIKE), key=lambda pair: -pair[0])
    return [command for _, command in alike[:limit]]


def _likeness(line: str, name: str) -> float:
    if not line:
        return 0
    if name.startswith(f"{line} ") or (len(line) > 2 and name.startswith(line)):
        return 1  # a name only begun
    # What follows a name are its arguments: only as many words as the name has are compared.
    typed = " ".join(line.split()[: name.count(" ") + 1])
    return SequenceMatcher(None, typed, name).ratio()
