"""Verifications that somebody asked the hub for: how far each is, and what the operator says to it.

The hub holds the device, the operator a terminal in another process. The code stands in clear: both sides
show it to whoever looks, and afterwards it is worth nothing.
"""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import Row, and_, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.storage.rows import VerificationRow
from hub.storage.tables import insert, verifications

_row = verifications.c
_COLUMNS = tuple(field.name for field in fields(VerificationRow))
_MINE = _row.account == bindparam("of_account")
_THIS = and_(_MINE, _row.user_id == bindparam("of_user"), _row.transaction_id == bindparam("of_transaction"))
_ADD = insert(verifications)
_SAVE = _ADD.on_conflict_do_update(
    index_elements=[_row.account, _row.user_id, _row.transaction_id],
    set_={name: _ADD.excluded[name] for name in ("stage", "code", "reason", "settled_at")},
)
_OPEN = select(verifications).where(_MINE, _row.settled_at.is_(None)).order_by(_row.asked_at)
_ONE = select(verifications).where(_THIS)
_ANSWER = update(verifications).where(_THIS, _row.settled_at.is_(None)).values(answer=bindparam("says"))
_FORGET = delete(verifications).where(_MINE, _row.settled_at.is_not(None))


class VerificationTable:
    """One row a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def save(self, row: VerificationRow) -> None:
        """Write how far it is; the operator's answer stays as it is."""
        await self._connection.execute(
            _SAVE, {name: getattr(row, name) for name in _COLUMNS if name != "answer"}
        )

    async def open(self, account: str) -> list[VerificationRow]:
        """What is under way, oldest first."""
        found = await self._connection.execute(_OPEN, {"of_account": account})
        return [_read(row) for row in found]

    async def find(self, account: str, user_id: str, transaction_id: str) -> VerificationRow | None:
        """None when there is none (any more)."""
        row = (await self._connection.execute(_ONE, _key(account, user_id, transaction_id))).first()
        return _read(row) if row else None

    async def answer(self, account: str, user_id: str, transaction_id: str, answer: str) -> bool:
        """What the operator says; false when it is over."""
        key = _key(account, user_id, transaction_id)
        return (await self._connection.execute(_ANSWER, {**key, "says": answer})).rowcount == 1

    async def forget(self, account: str) -> None:
        """Drop what is over: the journal knows who was verified."""
        await self._connection.execute(_FORGET, {"of_account": account})


def _key(account: str, user_id: str, transaction_id: str) -> dict[str, str]:
    return {"of_account": account, "of_user": user_id, "of_transaction": transaction_id}


def _read(row: Row[*tuple[object, ...]]) -> VerificationRow:
    return VerificationRow(**{name: getattr(row, name) for name in _COLUMNS})
