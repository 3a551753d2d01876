"""The sealed part of an inbox row, and the kinds of rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum

from hub.matrix.trust import Verdict


class Kind(StrEnum):
    """What an inbox row asks of the hub."""

    COMMAND = "command"
    EDIT = "edit"  # of something that was a command: has no effect, and says so
    INVITATION = "invitation"
    IDENTITY = "identity"  # somebody's master key changed


@dataclass(frozen=True)
class Note:
    """The sealed part of an inbox row."""

    text: str = field(default="", repr=False)
    direct: bool = False
    verdict: Verdict = Verdict.NOT_ENCRYPTED
    room_encrypted: bool = True

    def to_bytes(self) -> bytes:
        """JSON, for a sealed column."""
        return json.dumps(
            {
                "text": self.text,
                "direct": self.direct,
                "verdict": self.verdict,
                "room_encrypted": self.room_encrypted,
            }
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Note:
        """The inverse of :meth:`to_bytes`."""
        kept = json.loads(data)
        return cls(**{**kept, "verdict": Verdict(kept["verdict"])})
