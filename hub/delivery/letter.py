"""What an outbox row holds: a sentence's key and facts, and to whom it answers. Never a rendered sentence:
the reader's language and the catalogue of the day decide when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

from hub.locale.facts import choice_key
from hub.locale.language import Language
from hub.locale.render import Phrase


class Kind(StrEnum):
    """What the relay does with a letter."""

    MESSAGE = "message"
    JOIN = "join"  # accept an invitation; in its room's order, so that a welcome comes after it


@dataclass(frozen=True)
class Letter:
    """A message to a room. ``notify`` makes telephones ring; ``mentions`` and ``reply_to`` are ids.

    ``warning``: readable also under a changed identity. ``in_clear``: a fixed sentence that may be said in a
    room known not to be encrypted; it must have no facts about anybody.
    """

    kind: Kind
    key: str = ""
    facts: Mapping[str, object] = field(default_factory=dict, repr=False)
    language: Language = Language.FR
    notify: bool = False
    reply_to: str | None = None
    mentions: tuple[str, ...] = ()
    warning: bool = False
    in_clear: bool = False

    def to_bytes(self) -> bytes:
        """JSON, for a sealed column."""
        return json.dumps({**asdict(self), "facts": _facts(self.facts)}, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Letter:
        """The inverse of :meth:`to_bytes`; nested replies come back as ``(key, facts)``."""
        kept = json.loads(data)
        kept["kind"] = Kind(kept["kind"])
        kept["language"] = Language(kept["language"])
        kept["mentions"] = tuple(kept["mentions"])
        kept["facts"] = {name: _read(value) for name, value in kept["facts"].items()}
        return cls(**kept)


def _facts(facts: Mapping[str, object]) -> dict[str, Any]:
    return {name: _write(value) for name, value in facts.items()}


def _write(value: object) -> Any:
    match value:
        case Enum():
            return {"phrase": choice_key(value), "facts": {}}
        case None | bool() | str() | int() | float():
            return value
        case Decimal():
            return {"decimal": str(value)}
        case datetime():
            return {"instant": value.isoformat()}
        case date():
            return {"day": value.isoformat()}
        case time():
            return {"time": value.isoformat()}
        case timedelta():
            return {"seconds": value.total_seconds()}
        case (str(key), Mapping() as facts):
            return {"phrase": key, "facts": _facts(facts)}
        case Phrase():
            return {"phrase": value.key, "facts": _facts(value.facts)}
        case Sequence():
            return [_write(item) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be a fact")


def _read(value: Any) -> object:
    match value:
        case list():
            return [_read(item) for item in value]
        case {"phrase": key, "facts": facts}:
            return key, {name: _read(item) for name, item in facts.items()}
        case {"decimal": text}:
            return Decimal(text)
        case {"instant": text}:
            return datetime.fromisoformat(text)
        case {"day": text}:
            return date.fromisoformat(text)
        case {"time": text}:
            return time.fromisoformat(text)
        case {"seconds": number}:
            return timedelta(seconds=number)
    return value
