"""What a running hub meets under itself, told in words: once in a while, not at each attempt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from hub.cli.app import explain
from hub.errors import OperatorError

AGAIN_SECONDS = 300.0
_TOLD = ("database.", "matrix.store_")  # a full disk, a lock, a server that is away


@dataclass
class Troubles:
    """Hears the reasons of the log. ``facts``: what their sentences quote."""

    facts: Mapping[str, str]
    _told: dict[str, float] = field(default_factory=dict)

    def __call__(self, reason: str) -> None:
        at = time.monotonic()
        if reason.startswith(_TOLD) and at - self._told.get(reason, float("-inf")) >= AGAIN_SECONDS:
            self._told[reason] = at
            explain(OperatorError(reason, status=1, **self.facts))
