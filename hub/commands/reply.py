"""What a command answers: a key of the catalogue and facts, never a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.errors import Refusal


@dataclass(frozen=True, init=False)
class Reply:
    """Rendered in the reader's language at the edge; ``notify`` makes their telephone ring."""

    key: str
    notify: bool = False
    facts: Mapping[str, object] = field(default_factory=dict, repr=False)  # people's words and names

    def __init__(self, key: str, /, *, notify: bool = False, **facts: Any) -> None:
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "notify", notify)
        object.__setattr__(self, "facts", facts)

    @classmethod
    def refusing(cls, refusal: Refusal) -> Reply:
        """A refusal always notifies: what its reader asked for has not been done, and they may have
        looked away.
        """
        return cls(refusal.code, notify=True, **refusal.facts)
