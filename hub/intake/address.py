"""What of a sync becomes a row of the inbox: only what is addressed to the hub.

Conversation between people passes by and is stored nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.commands.parse import addressed
from hub.intake.note import Kind, Note
from hub.matrix.batch import Batch, Received, Undecryptable
from hub.matrix.rooms import Room, RoomBook
from hub.matrix.trust import Pin
from hub.storage.rows import Incoming, Waiting


@dataclass(frozen=True)
class Address:
    """Decides for one account, called by ``names`` (display name, user id). ``knows``: whether a line begins
    with a command."""

    account: str
    names: tuple[str, ...]
    knows: Callable[[str], bool]

    def incoming(self, batch: Batch, rooms: RoomBook, now: datetime) -> list[Incoming]:
        """The rows that a batch brings, in its order."""
        invitations = (
            Incoming(
                account=self.account,
                event_id=invitation.key,
                room_id=invitation.room_id,
                sender=invitation.inviter,
                kind=Kind.INVITATION,
                sent_at=now,
                payload=Note().to_bytes(),
                session_id=None,
                message_index=None,
            )
            for invitation in batch.invitations
        )
        messages = (
            row
            for event in batch.events
            if (row := self.message(event, rooms.get(event.room_id))) is not None
        )
        return [*invitations, *messages]

    def message(self, event: Received, room: Room | None) -> Incoming | None:
        """A row for what is said to the hub; None for what people say to each other."""
        if event.type != "m.room.message" or event.state_key is not None or room is None:
            return None
        edit = event.relates_to.get("rel_type") == "m.replace"
        said = _dict(event.content.get("m.new_content")) if edit else event.content
        text = said.get("body")
        if said.get("msgtype") != "m.text" or not isinstance(text, str):
            return None
        mentioned = _dict(said.get("m.mentions")).get("user_ids")
        line = addressed(
            text,
            mentions_bot=isinstance(mentioned, list) and self.account in mentioned,
            direct=room.direct,
            bot_names=self.names,
            knows=self.knows,
        )
        if line is None:
            return None
        note = Note(line, room.direct, event.verdict, room.encrypted is True)
        return Incoming(
            account=self.account,
            event_id=event.event_id,
            room_id=event.room_id,
            sender=event.sender,
            kind=Kind.EDIT if edit else Kind.COMMAND,
            sent_at=event.sent_at,
            payload=note.to_bytes(),
            session_id=event.session_id,
            message_index=event.message_index,
        )

    def changed_identities(self, pins: Iterable[Pin], rooms: RoomBook, now: datetime) -> list[Incoming]:
        """One report a room shared with somebody whose identity changed; the same change is reported once."""
        return [
            Incoming(
                account=self.account,
                event_id=f"identity:{pin.changed_to}:{room.room_id}",
                room_id=room.room_id,
                sender=pin.user_id,
                kind=Kind.IDENTITY,
                sent_at=now,
                payload=Note(direct=room.direct).to_bytes(),
                session_id=None,
                message_index=None,
            )
            for pin in pins
            for room in rooms.shared_with(pin.user_id)
        ]

    def waiting(self, event: Undecryptable, now: datetime) -> Waiting:
        """What cannot be read yet, kept as it came."""
        return Waiting(
            account=self.account,
            event_id=event.event_id,
            room_id=event.room_id,
            sender=event.sender,
            session_id=event.session_id,
            sent_at=event.sent_at,
            payload=json.dumps(event.raw).encode(),
            since=now,
        )


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
