"""What the stores take and give: values, unsealed. A payload is in no repr, hence in no log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SyncPosition:
    """Where an account's sync stands, when the hub first listened on it (older events are not for it), and
    when it last moved."""

    next_batch: str
    first_start: datetime
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """Who speaks for an account, until when unless renewed."""

    holder: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Incoming:
    """A decrypted event addressed to the hub. ``session_id``, ``message_index`` name its Megolm message."""

    account: str
    event_id: str
    room_id: str
    sender: str
    kind: str
    sent_at: datetime
    payload: bytes = field(repr=False)
    session_id: str | None = None
    message_index: int | None = None


@dataclass(frozen=True, slots=True)
class InboxRow:
    """An :class:`Incoming` to be dealt with, and how often that failed before."""

    id: int
    account: str
    event_id: str
    room_id: str
    sender: str
    kind: str
    sent_at: datetime
    payload: bytes = field(repr=False)
    session_id: str | None
    message_index: int | None
    attempts: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to send. ``event_id`` is None until the homeserver took it."""

    id: int
    account: str
    room_id: str
    txn_id: str
    payload: bytes = field(repr=False)
    cause: str | None
    attempts: int
    event_id: str | None


@dataclass(frozen=True, slots=True)
class Parked:
    """A row set aside after too many failures. ``reference`` leads to the log; ``bring_back`` tries again."""

    id: int
    room_id: str
    reference: str
    attempts: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event whose key has not come yet. ``payload`` is the encrypted event, JSON, as it came."""

    account: str
    event_id: str
    room_id: str
    sender: str
    session_id: str
    sent_at: datetime
    payload: bytes = field(repr=False)
    since: datetime
    told: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a journal. ``seq`` counts from 1 in its stream; ``hash``, 32 bytes, covers all so far."""

    stream: str
    seq: int
    name: str
    at: datetime
    by: str
    cause: str | None
    payload: bytes = field(repr=False)
    hash: bytes


@dataclass(frozen=True, slots=True)
class Pinned:
    """The cross-signing master key that we hold for a user's, since ``first_seen``.

    ``changed_to`` is the key the user shows now, where that is another one; ``news`` is true for the one
    sighting that found it, so that the care team is alerted once.
    """

    user_id: str
    master_key: str
    first_seen: datetime
    changed_to: str | None
    changed_at: datetime | None
    accepted_by: str | None
    news: bool = False

    @property
    def changed(self) -> bool:
        return self.changed_to is not None


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """Somebody compares codes with us. ``room_id`` is None from device to device; ``code`` is there once both
    sides show it; ``reason`` says why it was cancelled; ``answer`` is what the operator decided last."""

    account: str
    user_id: str
    transaction_id: str
    device_id: str
    room_id: str | None
    stage: str
    code: str | None
    reason: str | None
    asked_at: datetime
    settled_at: datetime | None
    answer: str | None = None
