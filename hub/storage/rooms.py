"""What an account knows of its rooms, sealed: members and encryption as of the stored sync position.

A restart reads it here instead of asking the homeserver for the whole state of every room.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.observe import Log
from hub.seal import KeyErased, SealBroken
from hub.storage.keys import LIVING, Keys, identity
from hub.storage.tables import data_keys, insert, rooms

log = Log(__name__)

_row = rooms.c
_ALL = (
    select(rooms, data_keys.c.id.label("key_id"), data_keys.c.wrapped)
    .select_from(rooms.outerjoin(data_keys, and_(data_keys.c.scope == _row.room_id, LIVING)))
    .where(_row.account == bindparam("account"))
)
_ADD = insert(rooms)
_SAVE = _ADD.on_conflict_do_update(
    index_elements=[_row.account, _row.room_id], set_={"payload": _ADD.excluded.payload}
)


class Rooms:
    """One sealed description a room."""

    def __init__(self, connection: AsyncConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def save(self, account: str, room_id: str, payload: bytes) -> None:
        """Replace what is known of a room."""
        box = await self._keys.seal(room_id, payload, identity("rooms", account, room_id))
        await self._connection.execute(_SAVE, {"account": account, "room_id": room_id, "payload": box})

    async def all(self, account: str) -> Mapping[str, bytes]:
        """Room id → description; rooms whose key was erased, or whose row was altered, are left out."""
        found: dict[str, bytes] = {}
        for row in await self._connection.execute(_ALL, {"account": account}):
            try:
                self._keys.learn(row.room_id, row.key_id, row.wrapped)
                found[row.room_id] = await self._keys.unseal(
                    row.payload, identity("rooms", account, row.room_id)
                )
            except KeyErased:
                continue
            except SealBroken:
                log.error("row.does_not_open", kind="rooms", room=row.room_id)
        return found
