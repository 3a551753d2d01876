"""What a sync brings, as values: what each stage of the receiving half takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nio.crypto import InboundGroupSession

from hub.matrix.rooms import Room
from hub.matrix.trust import Verdict


@dataclass(frozen=True)
class Received:
    """An event of a room, readable. ``relates_to`` is the cleartext relation, the only one that counts."""

    event_id: str
    room_id: str
    sender: str
    sent_at: datetime
    type: str
    content: Mapping[str, Any]
    relates_to: Mapping[str, Any]
    state_key: str | None = None
    session_id: str | None = None
    message_index: int | None = None
    verdict: Verdict = Verdict.NOT_ENCRYPTED
    sessions: tuple[InboundGroupSession, ...] = ()


@dataclass(frozen=True)
class Undecryptable:
    """An event whose key has not come (yet). ``raw`` is the event as the server gave it."""

    event_id: str
    room_id: str
    sender: str
    sent_at: datetime
    session_id: str
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Withheld:
    """Somebody's device says why it keeps a room key from us; nothing proves that it is theirs."""

    room_id: str
    session_id: str
    sender: str
    code: str


@dataclass(frozen=True)
class ToDevice:
    """What a device of somebody sent to ours, and is neither a key nor for the Olm machine."""

    sender: str
    type: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Invitation:
    """Somebody asks us into a room."""

    room_id: str
    inviter: str
    key: str  # the same for the same invitation, however often it is seen


@dataclass(frozen=True)
class Timeline:
    """What one sync says of a room we are in. ``gap_from``: where to back-fill from, if need be, back to
    ``gap_to`` or, where that is empty, to our own invitation."""

    room: Room
    events: tuple[Mapping[str, Any], ...] = ()
    changed: bool = False
    newly_joined: bool = False
    gap_from: str | None = None
    gap_to: str = ""


@dataclass(frozen=True)
class Synced:
    """One sync, its keys and device changes already taken in."""

    since: str | None
    next_batch: str
    timelines: tuple[Timeline, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    left: tuple[Room, ...] = ()
    keys: frozenset[tuple[str, str]] = frozenset()  # (room id, session id) that arrived
    to_device: tuple[ToDevice, ...] = ()


@dataclass(frozen=True)
class Batch:
    """One sync, decrypted: what the inbox is filled from."""

    next_batch: str
    events: tuple[Received, ...]
    undecryptable: tuple[Undecryptable, ...]
    invitations: tuple[Invitation, ...]
    rooms: tuple[Room, ...]
    keys: frozenset[tuple[str, str]]
    no_longer_waiting: frozenset[str] = frozenset()  # ids of events that a key opened at last
    to_device: tuple[ToDevice, ...] = ()
