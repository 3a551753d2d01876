"""Data keys: one living key a scope, wrapped by the master key; and the sealing of payloads with them.

Keys are remembered for one transaction, not longer: another process may erase a key at any moment, and a
hub that went on sealing with it would write rows that nobody can ever read. The stores fetch a row's key in
the query that fetches the row (:data:`LIVING`), so that this costs no statement.
"""

from __future__ import annotations

import json
import secrets

from sqlalchemy import LargeBinary, bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.seal import KeyErased, SealBroken, Vault, seal, unseal
from hub.storage.tables import data_keys, insert

HUB = "hub"
"""The scope of what is the hub's own. Its key, the first one made, shows whether the master key is right."""

LIVING = data_keys.c.wrapped.is_not(None)

_ID_BYTES = 8
_OF_SCOPE = select(data_keys.c.id, data_keys.c.wrapped).where(data_keys.c.scope == bindparam("scope"), LIVING)
_OF_ID = select(data_keys.c.scope, data_keys.c.wrapped).where(
    data_keys.c.id == bindparam("id", type_=LargeBinary)
)
_STALE = (
    select(data_keys.c.id, data_keys.c.scope, data_keys.c.wrapped)
    .where(LIVING, func.substr(data_keys.c.wrapped, 1, _ID_BYTES) != bindparam("present", type_=LargeBinary))
    .limit(bindparam("limit"))
)
_ADD = insert(data_keys).on_conflict_do_nothing()
_ERASE = update(data_keys).where(data_keys.c.scope == bindparam("of"), LIVING).values(wrapped=None)
_REWRAP = (
    update(data_keys)
    .where(data_keys.c.id == bindparam("of", type_=LargeBinary))
    .values(wrapped=bindparam("wrapped"))
)


def identity(*fields: str | int | None) -> bytes:
    """A row's clear fields as bytes, for the AAD: the same for the same fields, different for any others."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


class Keys:
    """The data keys as one transaction sees them."""

    def __init__(self, connection: AsyncConnection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._living: dict[str, tuple[bytes, bytes]] = {}  # scope: id and key
        self._known: dict[bytes, bytes | None] = {}  # id: key, None once erased
        self.erased = False
        """Whether this transaction destroyed a key: its remains are swept from the files after the commit."""

    async def seal(self, scope: str, plaintext: bytes, aad: bytes) -> bytes:
        """Seal with the living key of ``scope``, made on first use (and anew after an erasure)."""
        key_id, key = self._living.get(scope) or await self._find(scope) or await self._make(scope)
        return key_id + seal(key, plaintext, key_id + aad)

    async def unseal(self, box: bytes, aad: bytes) -> bytes:
        """What :meth:`seal` was given. KeyErased, SealBroken, or OperatorError ``seal.wrong_master_key``."""
        key_id = box[:_ID_BYTES]
        if key_id not in self._known:
            await self._recall(key_id)
        key = self._known[key_id]
        if key is None:
            raise KeyErased
        return unseal(key, box[_ID_BYTES:], key_id + aad)

    def learn(self, scope: str, key_id: bytes | None, wrapped: bytes | None) -> None:
        """Take a living key that came along with a row; by an outer join, so that there may be none."""
        if key_id is not None and wrapped is not None and key_id not in self._known:
            self._hold(scope, key_id, self._vault.unwrap(wrapped, identity(key_id.hex(), scope)))

    async def erase(self, scope: str) -> None:
        """Destroy the key of ``scope``: all it sealed is gone for good. Later writes there get a new key."""
        await self._connection.execute(_ERASE, {"of": scope})
        self._living.pop(scope, None)
        self._known.clear()  # of the others, what is still needed is fetched again
        self.erased = True

    def forget(self) -> None:
        """Ask the database again for every key: what was remembered may not be there any more."""
        self._living.clear()
        self._known.clear()

    async def rewrap(self, limit: int) -> int:
        """Wrap with the present master key what a former one wrapped. How many; 0 when none is left."""
        changes = []
        stale = {"present": self._vault.master_id, "limit": limit}
        for key_id, scope, wrapped in await self._connection.execute(_STALE, stale):
            about = identity(key_id.hex(), scope)
            key = self._vault.unwrap(wrapped, about)
            changes.append({"of": key_id, "wrapped": self._vault.wrap(key, about)})
        if changes:
            await self._connection.execute(_REWRAP, changes)
        return len(changes)

    async def rewrap_the_last(self) -> int:
        """The same for all that is left, once everybody who was making keys has committed."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer: we are it
            await self._connection.execute(text("LOCK TABLE data_keys IN SHARE ROW EXCLUSIVE MODE"))
        return await self.rewrap(2**31)

    async def prove(self) -> None:
        """Raise OperatorError ``seal.wrong_master_key`` unless this master key opens the hub's own key."""
        await self._find(HUB)

    async def found(self) -> None:
        """Make the hub's own key, where it has none yet."""
        if await self._find(HUB) is None:
            await self._make(HUB)

    def _hold(self, scope: str, key_id: bytes, key: bytes) -> tuple[bytes, bytes]:
        self._known[key_id] = key
        self._living[scope] = key_id, key
        return key_id, key

    async def _find(self, scope: str) -> tuple[bytes, bytes] | None:
        row = (await self._connection.execute(_OF_SCOPE, {"scope": scope})).first()
        if row is None:
            return None
        return self._hold(scope, row.id, self._vault.unwrap(row.wrapped, identity(row.id.hex(), scope)))

    async def _make(self, scope: str) -> tuple[bytes, bytes]:
        key_id, key = secrets.token_bytes(_ID_BYTES), self._vault.new_data_key()
        wrapped = self._vault.wrap(key, identity(key_id.hex(), scope))
        added = await self._connection.execute(_ADD, {"id": key_id, "scope": scope, "wrapped": wrapped})
        if added.rowcount:
            return self._hold(scope, key_id, key)
        # Another process was first; the database made us wait until it had committed.
        return await self._find(scope) or await self._make(scope)

    async def _recall(self, key_id: bytes) -> None:
        row = (await self._connection.execute(_OF_ID, {"id": key_id})).first()
        if row is None:
            raise SealBroken
        if row.wrapped is None:
            self._known[key_id] = None
        else:
            self.learn(row.scope, key_id, row.wrapped)
