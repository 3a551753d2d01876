"""JSON from others, read so that everything behind can walk through it and write it down.

Anybody may send our device a message nested as deeply as the homeserver can just read; a sync that brings it
must not fail for ever. And JSON can say what UTF-8 and PostgreSQL cannot: halves of characters, NUL.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

DEEPEST = 200
"""Levels that are kept; Synapse lets an event have fewer, and a sync adds seven."""
_READABLE = 10_000  # levels that the parser's own recursion is allowed: ten times what a homeserver reads
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


def parsed(text: str | bytes) -> Any:
    """The value of a JSON text; what is nested deeper than ``DEEPEST`` becomes null. Raises ValueError."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(_READABLE)
    try:
        value = json.loads(text)
    except RecursionError as fault:
        raise ValueError("nested too deeply") from fault
    finally:
        sys.setrecursionlimit(usual)
    whole = [value]
    _mend(whole)
    return whole[0]


def _mend(whole: list[Any]) -> None:
    todo: list[tuple[int, Any]] = [(0, whole)]
    while todo:
        depth, inside = todo.pop()
        if isinstance(inside, dict) and any(map(_UNWRITABLE.search, inside)):
            mended = {_UNWRITABLE.sub("\ufffd", key): value for key, value in inside.items()}
            inside.clear()
            inside |= mended
        for key, value in inside.items() if isinstance(inside, dict) else enumerate(inside):
            if isinstance(value, str):
                if _UNWRITABLE.search(value):
                    inside[key] = _UNWRITABLE.sub("\ufffd", value)
            elif isinstance(value, dict | list):
                if depth < DEEPEST:
                    todo.append((depth + 1, value))
                else:
                    inside[key] = None


def dict_of(value: object) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """The value, if it is a list; else an empty one."""
    return value if isinstance(value, list) else []
