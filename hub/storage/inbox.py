"""Events addressed to the hub, sealed, each dealt with once and in the order of its room."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.seal import KeyErased, SealBroken
from hub.storage.keys import Keys, identity
from hub.storage.queue import Queue
from hub.storage.rows import InboxRow, Incoming, Parked
from hub.storage.tables import inbox, insert, milliseconds

_QUEUE = Queue(inbox)
_ADD = insert(inbox).on_conflict_do_nothing()
_NEXT = _QUEUE.due.with_for_update(of=inbox, skip_locked=True)  # SQLite has one writer and needs no lock


class Inbox:
    """A row is claimed, acted upon and done in one transaction: a crash in between undoes all three."""

    def __init__(self, connection: AsyncConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def add(self, incoming: Incoming, now: datetime) -> bool:
        """False when it is known already: the same event, or its Megolm message replayed in another event."""
        box = await self._keys.seal(incoming.room_id, incoming.payload, _aad(incoming))
        added = await self._connection.execute(
            _ADD,
            {
                "account": incoming.account,
                "event_id": incoming.event_id,
                "room_id": incoming.room_id,
                "sender": incoming.sender,
                "kind": incoming.kind,
                "sent_at": incoming.sent_at,
                "session_id": incoming.session_id,
                "message_index": incoming.message_index,
                "payload": box,
                "state": "new",
                "attempts": 0,
                "received_at": now,
                "next_at": now,
            },
        )
        return added.rowcount == 1

    async def next(self, account: str, now: datetime) -> InboxRow | None:
        """The oldest row that is due and first of its room; on PostgreSQL, locked until the transaction ends.

        On the way, a row whose key was erased is closed, and one that was altered is parked: neither can be
        acted upon, and neither may stop the others.
        """
        while True:
            found = await self._connection.execute(_NEXT, _QUEUE.at(now, account, 1))
            row = found.first()
            if row is None:
                return None
            try:
                self._keys.learn(row.room_id, row.key_id, row.wrapped)
                return _incoming(row, await self._keys.unseal(row.payload, _aad(row)))
            except (KeyErased, SealBroken) as shut:
                await _QUEUE.pass_by(self._connection, row.id, shut, now)

    async def done(self, row: int, now: datetime) -> None:
        """Its payload is emptied; who sent what event when stays, to recognise it should it come again."""
        await _QUEUE.settle(self._connection, row, "done", now)

    async def retry(self, row: int, next_at: datetime, reference: str) -> None:
        """Leave it for ``next_at``, counting one attempt more."""
        await _QUEUE.retry(self._connection, row, next_at, reference)

    async def park(self, row: int, reference: str, now: datetime) -> None:
        """Set it aside for the operator: its room goes on without it."""
        await _QUEUE.park(self._connection, row, reference, now)

    async def parked(self, account: str) -> list[Parked]:
        return await _QUEUE.parked(self._connection, account)

    async def bring_back(self, account: str, row: int, now: datetime) -> bool:
        """Let a parked row have all its attempts again, from ``now`` on. False when none is parked so."""
        return await _QUEUE.bring_back(self._connection, account, row, now)

    async def drop(self, account: str, row: int, now: datetime) -> bool:
        """Give a parked row up: its payload goes, its identity stays. False when none is parked so."""
        return await _QUEUE.drop(self._connection, account, row, now)

    async def depth(self, account: str) -> int:
        """How many rows are still to be dealt with."""
        return await _QUEUE.depth(self._connection, account)


def _aad(row: Incoming | Row[*tuple[object, ...]]) -> bytes:
    return identity(
        "inbox",
        row.account,
        row.event_id,
        row.room_id,
        row.sender,
        row.kind,
        milliseconds(row.sent_at),
        row.session_id,
        row.message_index,
    )


def _incoming(row: Row[*tuple[object, ...]], payload: bytes) -> InboxRow:
    return InboxRow(
        id=row.id,
        account=row.account,
        event_id=row.event_id,
        room_id=row.room_id,
        sender=row.sender,
        kind=row.kind,
        sent_at=row.sent_at,
        payload=payload,
        session_id=row.session_id,
        message_index=row.message_index,
        attempts=row.attempts,
        received_at=row.received_at,
    )
