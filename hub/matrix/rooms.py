"""What the hub must know of a room: who is in it, whether and how it is encrypted.

A :class:`Room` is a value folded from state events; the :class:`RoomBook` keeps the current ones in memory,
up to the last sync. Room ids are opaque: those of version 12 name no server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from typing import Any

MEGOLM = "m.megolm.v1.aes-sha2"
DEFAULT_ROTATION_MESSAGES = 100
DEFAULT_ROTATION_MS = 7 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Room:
    """A room as its state describes it. ``members``: user id → ``join`` or ``invite``."""

    room_id: str
    membership: str = "join"  # ours: join, invite or leave
    members: Mapping[str, str] = field(default_factory=dict)
    encrypted: bool | None = None  # None: not known yet, which never means "no"
    rotation_messages: int = DEFAULT_ROTATION_MESSAGES
    rotation_ms: int = DEFAULT_ROTATION_MS
    history_visibility: str = "shared"
    behind: str | None = None
    """The sync position after which its events are still to be fetched; empty: since we were asked in."""

    @property
    def late(self) -> bool:
        """Whether we are in it and have not read it up to the last sync."""
        return self.membership == "join" and self.behind is not None

    @property
    def direct(self) -> bool:
        """Whether the room holds two people at most, so that bare words can only be meant for us."""
        return len(self.members) <= 2

    @property
    def readers(self) -> frozenset[str]:
        """Whom our messages are for: the joined, and the invited where they may read from then on."""
        from_invitation = self.history_visibility != "joined"
        return frozenset(user for user, state in self.members.items() if state == "join" or from_invitation)

    def after(self, event: Mapping[str, Any]) -> Room:
        """This room after one state event; whatever is malformed changes nothing."""
        kind, key, content = event.get("type"), event.get("state_key"), event.get("content")
        if not isinstance(key, str) or not isinstance(content, dict):
            return self
        if kind == "m.room.member":
            others = {user: state for user, state in self.members.items() if user != key}
            state = content.get("membership")
            return replace(self, members={**others, key: state} if state in ("join", "invite") else others)
        if kind == "m.room.encryption" and key == "":
            # Even an encryption event that we cannot read means "encrypted": no way leads back to plaintext.
            return replace(
                self,
                encrypted=True,
                rotation_messages=_positive(content.get("rotation_period_msgs"), DEFAULT_ROTATION_MESSAGES),
                rotation_ms=_positive(content.get("rotation_period_ms"), DEFAULT_ROTATION_MS),
            )
        if kind == "m.room.history_visibility" and key == "":
            return replace(self, history_visibility=str(content.get("history_visibility", "shared")))
        return self

    def after_all(self, events: Iterable[Mapping[str, Any]]) -> Room:
        """This room after some state events, oldest first."""
        return reduce(Room.after, events, self)

    def to_json(self) -> dict[str, Any]:
        """As it is kept between starts."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Room:
        """The inverse of :meth:`to_json`."""
        return cls(**kept)


def _positive(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


@dataclass
class RoomBook:
    """The rooms of one account, by id."""

    rooms: dict[str, Room] = field(default_factory=dict)

    def __getitem__(self, room_id: str) -> Room:
        return self.rooms[room_id]

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self.rooms.values()))

    def get(self, room_id: str) -> Room | None:
        """The room, if it was ever seen."""
        return self.rooms.get(room_id)

    def joined(self, room_id: str) -> Room | None:
        """The room, if we are in it."""
        room = self.rooms.get(room_id)
        return room if room is not None and room.membership == "join" else None

    def after(self, rooms: Iterable[Room]) -> RoomBook:
        """The book as it will be with these rooms in it."""
        return RoomBook({**self.rooms, **{room.room_id: room for room in rooms}})

    def update(self, room: Room) -> Room:
        """Keep a room as it is now."""
        self.rooms[room.room_id] = room
        return room

    def shared_with(self, user_id: str) -> list[Room]:
        """The rooms where we are with this person."""
        return [room for room in self if room.membership == "join" and user_id in room.members]
