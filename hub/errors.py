"""The three ways a thing can go wrong, and who is told what.

A :class:`Refusal` is for the person who asked: a sentence in their language that says what to do next.
An :class:`OperatorError` is for whoever runs the hub: what happened, what to do, a non-zero exit status.
Anything else is a fault: logged under a reference, and people see only the reference.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

Fact = object
"""What a sentence may quote: text, numbers, dates, or a list of these."""

_REFERENCE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, 1/I: people read it over the telephone


class Refusal(Exception):
    """The hub understood and says no. ``code`` is a key of the catalogue in ``hub/locale``."""

    def __init__(self, code: str, /, **facts: Fact) -> None:
        super().__init__(code)
        self.code = code
        self.facts: Mapping[str, Fact] = facts


class OperatorError(Exception):
    """Something the operator can mend. ``code`` is a catalogue key whose sentence says what to do."""

    def __init__(self, code: str, /, *, status: int = 1, **facts: Fact) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.facts: Mapping[str, Fact] = facts


def reference() -> str:
    """A short number that ties a sentence in a room to a line in the log, such as ``7F3K-2MQX``."""
    letters = "".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
