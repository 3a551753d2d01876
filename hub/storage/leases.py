"""Who holds which account: of several hub processes one speaks for it, as long as it keeps renewing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.storage.rows import Lease
from hub.storage.tables import Moment, insert, leases

_row = leases.c
_ADD = insert(leases)
_ACQUIRE = _ADD.on_conflict_do_update(
    index_elements=[_row.account],
    set_={"holder": _ADD.excluded.holder, "until": _ADD.excluded.until},
    where=or_(_row.holder == _ADD.excluded.holder, _row.until <= bindparam("now", type_=Moment)),
).returning(_row.account)
_FIND = select(_row.holder, _row.until).where(_row.account == bindparam("account"))
# Locked against a takeover until the transaction ends; SQLite has one writer and needs no lock.
_HELD = (
    select(_row.account)
    .where(_row.account == bindparam("account"), _row.holder == bindparam("holder"))
    .with_for_update(read=True)
)
_RELEASE = delete(leases).where(_row.account == bindparam("account"), _row.holder == bindparam("holder"))


class Leases:
    """One holder an account, decided by the database in one statement."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def acquire(self, account: str, holder: str, now: datetime, until: datetime) -> bool:
        """Take or renew. True when it was free, had run out (``until`` is past), or is already ours."""
        taken = await self._connection.execute(
            _ACQUIRE, {"account": account, "holder": holder, "until": until, "now": now}
        )
        return taken.first() is not None

    async def find(self, account: str) -> Lease | None:
        """The lease, run out or not; None when nobody has it."""
        row = (await self._connection.execute(_FIND, {"account": account})).first()
        return Lease(row.holder, row.until) if row else None

    async def held_by(self, account: str, holder: str) -> bool:
        """Whether this holder still has it, and will for the rest of the transaction."""
        found = await self._connection.execute(_HELD, {"account": account, "holder": holder})
        return found.first() is not None

    async def release(self, account: str, holder: str) -> None:
        """Give it back; nothing happens when another holds it."""
        await self._connection.execute(_RELEASE, {"account": account, "holder": holder})
