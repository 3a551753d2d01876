"""Whose cross-signing key is whose: pinned at first sight; a change counts once a person accepted it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.storage.rows import Pinned
from hub.storage.tables import Moment, identities, insert

_row = identities.c
_ALL = select(identities).order_by(_row.user_id)
_ONE = select(identities).where(_row.user_id == bindparam("user_id"))
_FIRST = insert(identities).on_conflict_do_nothing()
_CHANGE = (
    update(identities)
    .where(_row.user_id == bindparam("of"))
    .values(changed_to=bindparam("changed_to"), changed_at=bindparam("changed_at"))
)
_ACCEPT = (
    update(identities)
    .where(_row.user_id == bindparam("of"), _row.changed_to == bindparam("key"))
    .values(
        master_key=_row.changed_to,
        first_seen=bindparam("now", type_=Moment),
        changed_to=None,
        changed_at=None,
        accepted_by=bindparam("by"),
    )
)


class Identities:
    """One pinned key a user."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def pin(self, user_id: str, master_key: str, now: datetime) -> Pinned:
        """Note the key a user shows. The first is pinned; another goes to ``changed_to``, with ``news``.

        A user who shows the pinned key again is back to normal: the change is forgotten.
        """
        pinned = await self.find(user_id)
        if pinned is None:
            await self._connection.execute(
                _FIRST, {"user_id": user_id, "master_key": master_key, "first_seen": now}
            )
            pinned = _pinned((await self._connection.execute(_ONE, {"user_id": user_id})).one())
        seen = None if master_key == pinned.master_key else master_key
        if seen == pinned.changed_to:
            return pinned
        at = None if seen is None else now
        await self._connection.execute(_CHANGE, {"of": user_id, "changed_to": seen, "changed_at": at})
        return replace(pinned, changed_to=seen, changed_at=at, news=seen is not None)

    async def find(self, user_id: str) -> Pinned | None:
        """None for a user never seen."""
        row = (await self._connection.execute(_ONE, {"user_id": user_id})).first()
        return _pinned(row) if row else None

    async def accept(self, user_id: str, key: str, by: str, now: datetime) -> Pinned | None:
        """``by`` vouches for this new key: pinned from now on. None when it is not what waits."""
        accepted = await self._connection.execute(_ACCEPT, {"of": user_id, "key": key, "by": by, "now": now})
        return await self.find(user_id) if accepted.rowcount else None

    async def all(self) -> list[Pinned]:
        return [_pinned(row) for row in await self._connection.execute(_ALL)]


def _pinned(row: Row[*tuple[object, ...]]) -> Pinned:
    return Pinned(
        row.user_id, row.master_key, row.first_seen, row.changed_to, row.changed_at, row.accepted_by
    )
