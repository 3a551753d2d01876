"""What the inbox and the outbox share: order within a room, back-off, rows set aside.

Rooms do not wait for each other. Within a room a row waits for every earlier one that is still "new", even
while that one is backing off: an answer must not overtake its question. A parked row is out of the way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.errors import reference
from hub.observe import Log
from hub.seal import KeyErased, SealBroken
from hub.storage.keys import LIVING
from hub.storage.rows import Parked
from hub.storage.tables import Moment, data_keys

log = Log(__name__)

LONGEST_WAIT = timedelta(minutes=5)
"""Nobody backs off for longer: a row that is to wait longer was written before the clock was set back."""


class Queue:
    """The statements over one queue's table, built once."""

    def __init__(self, table: Table) -> None:
        self._name = table.name
        row, earlier = table.c, table.alias("earlier")
        # Written out, not bound: the databases must see that it is the partial indexes' condition.
        new: ColumnElement[str] = literal_column("'new'")
        mine = row.account == bindparam("account")
        blocked = exists().where(
            earlier.c.account == row.account,
            earlier.c.room_id == row.room_id,
            earlier.c.state == new,
            earlier.c.id < row.id,
        )
        now, beyond = (bindparam(name, type_=Moment) for name in ("now", "beyond"))
        key = and_(data_keys.c.scope == row.room_id, LIVING)
        self.due: Select[*tuple[object, ...]] = (
            select(table, data_keys.c.id.label("key_id"), data_keys.c.wrapped)
            .select_from(table.outerjoin(data_keys, key))
            .where(mine, row.state == new, or_(row.next_at <= now, row.next_at > beyond), ~blocked)
            .order_by(row.id)
            .limit(bindparam("limit", type_=Integer))
        )
        """What :meth:`at` names is due: oldest first, at most one row a room, each with its room's key."""
        self._retry = (
            update(table)
            .where(row.id == bindparam("of"))
            .values(
                state="new",
                attempts=row.attempts + 1,
                next_at=bindparam("next_at"),
                reference=bindparam("reference"),
            )
        )
        self._postpone = (
            update(table).where(row.id == bindparam("of")).values(next_at=bindparam("next_at", type_=Moment))
        )
        self._park = (
            update(table)
            .where(row.id == bindparam("of"))
            .values(
                state="parked", settled_at=bindparam("now", type_=Moment), reference=bindparam("reference")
            )
        )
        self._settle = (
            update(table)
            .where(row.id == bindparam("of"))
            .values(state=bindparam("state"), payload=b"", settled_at=bindparam("now", type_=Moment))
        )
        parked_one = (
            row.account == bindparam("of_account"),
            row.state == "parked",
            row.id == bindparam("of"),
        )
        self._bring_back = (
            update(table)
            .where(*parked_one)
            .values(state="new", attempts=0, next_at=bindparam("now", type_=Moment), settled_at=None)
        )
        self._drop = (
            update(table)
            .where(*parked_one)
            .values(state="dropped", payload=b"", settled_at=bindparam("now", type_=Moment))
        )
        self._parked = (
            select(row.id, row.room_id, row.reference, row.attempts, row.settled_at)
            .where(mine, row.state == "parked")
            .order_by(row.id)
        )
        self._depth = select(func.count()).select_from(table).where(mine, row.state == new)

    @staticmethod
    def at(now: datetime, account: str, limit: int) -> dict[str, object]:
        """The parameters of :attr:`due`."""
        return {"account": account, "now": now, "beyond": now + LONGEST_WAIT, "limit": limit}

    async def retry(self, connection: AsyncConnection, row: int, next_at: datetime, reference: str) -> None:
        await connection.execute(self._retry, {"of": row, "next_at": next_at, "reference": reference})

    async def postpone(self, connection: AsyncConnection, row: int, next_at: datetime) -> None:
        await connection.execute(self._postpone, {"of": row, "next_at": next_at})

    async def park(self, connection: AsyncConnection, row: int, reference: str, now: datetime) -> None:
        await connection.execute(self._park, {"of": row, "reference": reference, "now": now})

    async def bring_back(self, connection: AsyncConnection, account: str, row: int, now: datetime) -> bool:
        done = await connection.execute(self._bring_back, {"of_account": account, "of": row, "now": now})
        return done.rowcount == 1

    async def drop(self, connection: AsyncConnection, account: str, row: int, now: datetime) -> bool:
        done = await connection.execute(self._drop, {"of_account": account, "of": row, "now": now})
        return done.rowcount == 1

    async def settle(self, connection: AsyncConnection, row: int, state: str, now: datetime) -> None:
        """Close a row: its identity stays, so that it is known if it comes again; its payload goes."""
        await connection.execute(self._settle, {"of": row, "state": state, "now": now})

    async def pass_by(
        self, connection: AsyncConnection, row: int, why: KeyErased | SealBroken, now: datetime
    ) -> None:
        """Get a row that does not open out of the way: nothing is left of it, or it was altered."""
        if isinstance(why, KeyErased):
            await self.settle(connection, row, "erased", now)
            return
        number = reference()
        log.error("row.does_not_open", kind=self._name, row=row, reference=number)
        await self.park(connection, row, number, now)

    async def parked(self, connection: AsyncConnection, account: str) -> list[Parked]:
        rows = await connection.execute(self._parked, {"account": account})
        return [Parked(row.id, row.room_id, row.reference, row.attempts, row.settled_at) for row in rows]

    async def depth(self, connection: AsyncConnection, account: str) -> int:
        return int((await connection.execute(self._depth, {"account": account})).scalar_one())
