"""Events that could not be decrypted wait here for their key, sealed over their sender's encryption."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Row, and_, bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.observe import Log
from hub.seal import KeyErased, SealBroken
from hub.storage.keys import LIVING, Keys, identity
from hub.storage.rows import Waiting
from hub.storage.tables import Moment, data_keys, insert, milliseconds, waiting

log = Log(__name__)

_row = waiting.c
_MINE = _row.account == bindparam("account")
_THIS = and_(_row.account == bindparam("of_account"), _row.event_id == bindparam("of_event"))
_ADD = insert(waiting).on_conflict_do_nothing()
_ALL = (
    select(waiting, data_keys.c.id.label("key_id"), data_keys.c.wrapped)
    .select_from(waiting.outerjoin(data_keys, and_(data_keys.c.scope == _row.room_id, LIVING)))
    .where(_MINE)
    .order_by(_row.since, _row.sent_at, _row.event_id)
)
_OF_SESSION = _ALL.where(_row.room_id == bindparam("room_id"), _row.session_id == bindparam("session_id"))
_OVERDUE = _ALL.where(~_row.told, _row.since < bindparam("before", type_=Moment))
_COUNT = select(func.count()).select_from(waiting).where(_MINE)
_COUNT_SINCE = _COUNT.where(_row.since >= bindparam("after", type_=Moment))
_TOLD = update(waiting).where(_THIS).values(told=True)
_PURGE = delete(waiting).where(
    _row.account == bindparam("of_account"), _row.told, _row.since < bindparam("before", type_=Moment)
)
_REMOVE = delete(waiting).where(_THIS)


class WaitingRoom:
    """What waits, longest first. An event whose room was erased is dropped when it is met; one that was
    altered is passed by."""

    def __init__(self, connection: AsyncConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def add(self, event: Waiting) -> bool:
        """False when it waits already."""
        box = await self._keys.seal(event.room_id, event.payload, _aad(event))
        added = await self._connection.execute(
            _ADD,
            {
                "account": event.account,
                "event_id": event.event_id,
                "room_id": event.room_id,
                "sender": event.sender,
                "session_id": event.session_id,
                "sent_at": event.sent_at,
                "payload": box,
                "since": event.since,
                "told": event.told,
            },
        )
        return added.rowcount == 1

    async def for_session(self, account: str, room_id: str, session_id: str) -> list[Waiting]:
        """What the key of this Megolm session would open."""
        return await self._read(
            await self._connection.execute(
                _OF_SESSION, {"account": account, "room_id": room_id, "session_id": session_id}
            )
        )

    async def count(self, account: str) -> int:
        """How many wait, told or not."""
        return int((await self._connection.execute(_COUNT, {"account": account})).scalar_one())

    async def count_since(self, account: str, after: datetime) -> int:
        """How many of them came ``after``."""
        found = await self._connection.execute(_COUNT_SINCE, {"account": account, "after": after})
        return int(found.scalar_one())

    async def all(self, account: str) -> list[Waiting]:
        return await self._read(await self._connection.execute(_ALL, {"account": account}))

    async def overdue(self, account: str, before: datetime) -> list[Waiting]:
        """What has waited since ``before`` or longer, and whose sender has not been told."""
        return await self._read(
            await self._connection.execute(_OVERDUE, {"account": account, "before": before})
        )

    async def told(self, account: str, event_id: str) -> None:
        """Its sender knows now that it could not be read."""
        await self._connection.execute(_TOLD, {"of_account": account, "of_event": event_id})

    async def purge(self, account: str, before: datetime) -> None:
        """Give up what has waited since ``before`` or longer, and whose sender was told."""
        await self._connection.execute(_PURGE, {"of_account": account, "before": before})

    async def remove(self, account: str, event_id: str) -> None:
        await self._connection.execute(_REMOVE, {"of_account": account, "of_event": event_id})

    async def _read(self, rows: Iterable[Row[*tuple[object, ...]]]) -> list[Waiting]:
        events = []
        for row in rows:
            try:
                self._keys.learn(row.room_id, row.key_id, row.wrapped)
                payload = await self._keys.unseal(row.payload, _aad(row))
            except KeyErased:
                await self.remove(row.account, row.event_id)
                continue
            except SealBroken:
                log.error("row.does_not_open", kind="waiting", event=row.event_id)
                continue
            events.append(
                Waiting(
                    account=row.account,
                    event_id=row.event_id,
                    room_id=row.room_id,
                    sender=row.sender,
                    session_id=row.session_id,
                    sent_at=row.sent_at,
                    payload=payload,
                    since=row.since,
                    told=row.told,
                )
            )
        return events


def _aad(row: Waiting | Row[*tuple[object, ...]]) -> bytes:
    return identity(
        "waiting",
        row.account,
        row.event_id,
        row.room_id,
        row.sender,
        row.session_id,
        milliseconds(row.sent_at),
    )
