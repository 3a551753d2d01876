"""Rows to try the stores with. The words are French, accented, and none of the database's business."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hub.storage.rows import Incoming, Waiting

NOW = datetime(2025, 3, 4, 9, 30, 0, 123000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
HUB = "@parcours:hub.localhost"
NURSE = "@nadia:hub.localhost"
ROOM = "!salon:hub.localhost"
OTHER_ROOM = "!voisin:hub.localhost"


def incoming(
    event_id: str,
    room_id: str = ROOM,
    *,
    payload: bytes = "/rdv réserver 2".encode(),
    account: str = HUB,
    session_id: str | None = None,
    message_index: int | None = None,
) -> Incoming:
    return Incoming(
        account=account,
        event_id=event_id,
        room_id=room_id,
        sender=NURSE,
        kind="m.room.message",
        sent_at=NOW - timedelta(seconds=1),
        payload=payload,
        session_id=session_id,
        message_index=message_index,
    )


def undecryptable(
    event_id: str, *, session_id: str = "séance", since: datetime = NOW, room_id: str = ROOM
) -> Waiting:
    return Waiting(
        account=HUB,
        event_id=event_id,
        room_id=room_id,
        sender=NURSE,
        session_id=session_id,
        sent_at=NOW - timedelta(seconds=1),
        payload=b'{"type":"m.room.encrypted"}',
        since=since,
    )
