"""Messages to send, sealed, queued in the transaction that caused them and sent by the relay afterwards."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Row, bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.seal import KeyErased, SealBroken
from hub.storage.keys import Keys, identity
from hub.storage.queue import Queue
from hub.storage.rows import OutboxRow, Parked
from hub.storage.tables import Moment, insert, outbox

_QUEUE = Queue(outbox)
_DUE = _QUEUE.due.where(outbox.c.room_id.not_in(bindparam("passing_over", expanding=True)))
_ADD = insert(outbox).on_conflict_do_nothing()
_SENT = (
    update(outbox)
    .where(outbox.c.id == bindparam("of"))
    .values(
        state="done",
        payload=b"",
        event_id=bindparam("event_id"),
        settled_at=bindparam("now", type_=Moment),
    )
)

_WITHDRAW = (
    update(outbox)
    .where(
        outbox.c.account == bindparam("of"), outbox.c.room_id == bindparam("room"), outbox.c.state == "new"
    )
    .values(state="withdrawn", payload=b"", settled_at=bindparam("now", type_=Moment))
)


def transaction_id(account: str, cause: str, step: int) -> str:
    """The same for the same reply to the same cause, whatever was killed and started again in between."""
    digest = hashlib.sha256(identity(account, cause, step)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Outbox:
    """The homeserver drops a transaction id that it has seen: sending a row twice delivers it once."""

    def __init__(self, connection: AsyncConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def queue(
        self, account: str, room_id: str, payload: bytes, *, cause: str, step: int, now: datetime
    ) -> str:
        """Queue the ``step``-th message that ``cause`` brings about, unless it is there. Its txn_id."""
        txn_id = transaction_id(account, cause, step)
        box = await self._keys.seal(room_id, payload, identity("outbox", account, room_id, txn_id))
        await self._connection.execute(
            _ADD,
            {
                "account": account,
                "room_id": room_id,
                "txn_id": txn_id,
                "cause": cause,
                "payload": box,
                "state": "new",
                "attempts": 0,
                "queued_at": now,
                "next_at": now,
            },
        )
        return txn_id

    async def due(
        self, account: str, now: datetime, limit: int, passing_over: Collection[str] = ()
    ) -> list[OutboxRow]:
        """Up to ``limit`` rows to send now: of each room the oldest unsent one, rooms in the order of these.

        ``passing_over``: ids of rooms to leave out.

        On the way, rows whose key was erased are closed, and rows that were altered are parked.
        """
        of = {**_QUEUE.at(now, account, limit), "passing_over": sorted(passing_over)}
        rows = await self._connection.execute(_DUE, of)
        due = []
        for row in rows:
            try:
                self._keys.learn(row.room_id, row.key_id, row.wrapped)
                due.append(await self._open(row))
            except (KeyErased, SealBroken) as shut:
                await _QUEUE.pass_by(self._connection, row.id, shut, now)
        return due

    async def sent(self, row: int, event_id: str, now: datetime) -> None:
        """The homeserver has it, as ``event_id``; the payload is emptied."""
        await self._connection.execute(_SENT, {"of": row, "event_id": event_id, "now": now})

    async def retry(self, row: int, next_at: datetime, reference: str) -> None:
        """Leave it for ``next_at``, counting one attempt more."""
        await _QUEUE.retry(self._connection, row, next_at, reference)

    async def postpone(self, row: int, next_at: datetime) -> None:
        """Leave it for ``next_at`` without counting: the homeserver's fault, not its own."""
        await _QUEUE.postpone(self._connection, row, next_at)

    async def park(self, row: int, reference: str, now: datetime) -> None:
        """Set it aside for the operator: its room goes on without it."""
        await _QUEUE.park(self._connection, row, reference, now)

    async def withdraw(self, account: str, room_id: str, now: datetime) -> None:
        """Close what is still to be sent to a room that we shall not be in; the payloads are emptied."""
        await self._connection.execute(_WITHDRAW, {"of": account, "room": room_id, "now": now})

    async def parked(self, account: str) -> list[Parked]:
        return await _QUEUE.parked(self._connection, account)

    async def bring_back(self, account: str, row: int, now: datetime) -> bool:
        """Let a parked row have all its attempts again, from ``now`` on. False when none is parked so."""
        return await _QUEUE.bring_back(self._connection, account, row, now)

    async def drop(self, account: str, row: int, now: datetime) -> bool:
        """Give a parked row up: its payload goes, its identity stays. False when none is parked so."""
        return await _QUEUE.drop(self._connection, account, row, now)

    async def depth(self, account: str) -> int:
        """How many rows are still to be sent."""
        return await _QUEUE.depth(self._connection, account)

    async def _open(self, row: Row[*tuple[object, ...]]) -> OutboxRow:
        aad = identity("outbox", row.account, row.room_id, row.txn_id)
        return OutboxRow(
            id=row.id,
            account=row.account,
            room_id=row.room_id,
            txn_id=row.txn_id,
            payload=await self._keys.unseal(row.payload, aad),
            cause=row.cause,
            attempts=row.attempts,
            event_id=row.event_id,
        )
