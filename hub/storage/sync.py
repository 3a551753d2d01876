"""Where each account's sync stands, saved in the transaction that stores what the sync brought."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.storage.rows import SyncPosition
from hub.storage.tables import insert, sync_positions

_row = sync_positions.c
_LOAD = select(_row.next_batch, _row.first_start, _row.saved_at).where(_row.account == bindparam("account"))
_ADD = insert(sync_positions)
_SAVE = _ADD.on_conflict_do_update(
    index_elements=[_row.account],
    # first_start stays what it was on the first save
    set_={"next_batch": _ADD.excluded.next_batch, "saved_at": _ADD.excluded.saved_at},
)


class Sync:
    """One position an account."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def load(self, account: str) -> SyncPosition | None:
        """None before the first save."""
        row = (await self._connection.execute(_LOAD, {"account": account})).first()
        return SyncPosition(row.next_batch, row.first_start, row.saved_at) if row else None

    async def save(self, account: str, next_batch: str, now: datetime) -> None:
        await self._connection.execute(
            _SAVE, {"account": account, "next_batch": next_batch, "first_start": now, "saved_at": now}
        )
