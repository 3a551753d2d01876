"""The journal: facts, sealed, one chain a stream, never changed.

Each fact's hash is SHA-256 over the hash before it, the fact's clear fields and its *sealed* payload.
Sealed and not plain: a hash of a short plaintext ("score 21") tells it to whoever tries them all, and a
chain over boxes can be checked after the key was erased. The payload's box is bound to the hash before it
and to the clear fields, so that a forger who recomputes the hashes still cannot make a box open in its new
place.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.seal import KeyErased, SealBroken
from hub.storage.keys import LIVING, Keys, identity
from hub.storage.rows import Fact
from hub.storage.tables import data_keys, insert, journal, journal_heads, milliseconds

_row, _head = journal.c, journal_heads.c
_START = b"\0" * 32

_OF_STREAM = _head.stream == bindparam("stream")
_HEAD = (
    select(_head.seq, _head.hash, _head.proof, data_keys.c.id, data_keys.c.wrapped)
    .select_from(journal_heads.outerjoin(data_keys, and_(data_keys.c.scope == _head.stream, LIVING)))
    .where(_OF_STREAM)
)
_HEAD_TO_WRITE = _HEAD.with_for_update(of=journal_heads)
_BEGIN = insert(journal_heads).on_conflict_do_nothing()
_ADVANCE = (
    update(journal_heads)
    .where(_head.stream == bindparam("of"))
    .values(seq=bindparam("seq"), hash=bindparam("hash"), proof=bindparam("proof"))
)
_APPEND = insert(journal)
_READ = (
    select(journal)
    .where(_row.stream == bindparam("stream"), _row.seq > bindparam("after"))
    .order_by(_row.seq)
)
_STREAMS = select(_head.stream).order_by(_head.stream)


class Journal:
    """Facts of many streams; two writers of one stream take turns."""

    def __init__(self, connection: AsyncConnection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def append(
        self, stream: str, name: str, payload: bytes, *, at: datetime, by: str, cause: str | None
    ) -> Fact:
        """Add what happened. ``at`` is kept to the millisecond."""
        head = (await self._connection.execute(_HEAD_TO_WRITE, {"stream": stream})).first()
        if head is None:
            await self._connection.execute(_BEGIN, {"stream": stream, "seq": 0, "hash": _START, "proof": b""})
            head = (await self._connection.execute(_HEAD_TO_WRITE, {"stream": stream})).one()
        self._keys.learn(stream, head.id, head.wrapped)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        seq = head.seq + 1
        clear = _clear(stream, seq, name, at, by, cause)
        box = await self._keys.seal(stream, payload, bytes(head.hash) + clear)
        digest = _digest(head.hash, clear, box)
        await self._connection.execute(
            _APPEND,
            {
                "stream": stream,
                "seq": seq,
                "name": name,
                "at": at,
                "actor": by,
                "cause": cause,
                "payload": box,
                "hash": digest,
            },
        )
        proof = await self._keys.seal(stream, digest, _proof_aad(stream, seq))
        await self._connection.execute(_ADVANCE, {"of": stream, "seq": seq, "hash": digest, "proof": proof})
        return Fact(stream, seq, name, at, by, cause, payload, digest)

    async def read(self, stream: str, *, after: int = 0) -> list[Fact]:
        """The facts with ``seq`` > ``after``, in order, without those that were erased.

        Raises KeyErased when nothing else is left of them, SealBroken when one was tampered with.
        """
        facts, erased = [], False
        previous: bytes | None = None
        for row in (
            await self._connection.execute(_READ, {"stream": stream, "after": max(after - 1, 0)})
        ).all():
            if row.seq > after:
                clear = _clear(stream, row.seq, row.name, row.at, row.actor, row.cause)
                try:
                    payload = await self._keys.unseal(row.payload, (previous or _START) + clear)
                    facts.append(
                        Fact(stream, row.seq, row.name, row.at, row.actor, row.cause, payload, row.hash)
                    )
                except KeyErased:
                    erased = True
            previous = row.hash
        if erased and not facts:
            raise KeyErased
        return facts

    async def verify(self, stream: str) -> bool:
        """Whether the chain is whole from the first fact to the last, and every box with a key opens."""
        head = (await self._connection.execute(_HEAD, {"stream": stream})).first()
        rows = (await self._connection.execute(_READ, {"stream": stream, "after": 0})).all()
        if head is None:
            return not rows
        previous = _START
        for seq, row in enumerate(rows, start=1):
            clear = _clear(stream, seq, row.name, row.at, row.actor, row.cause)
            if row.seq != seq or row.hash != _digest(previous, clear, row.payload):
                return False
            if not await self._opens(row.payload, previous + clear):
                return False
            previous = row.hash
        if (head.seq, head.hash) != (len(rows), previous):
            return False
        return not rows or await self._opens(head.proof, _proof_aad(stream, head.seq), previous)

    async def streams(self) -> list[str]:
        """The names of all streams."""
        return list((await self._connection.execute(_STREAMS)).scalars())

    async def _opens(self, box: bytes, aad: bytes, expected: bytes | None = None) -> bool:
        try:
            plaintext = await self._keys.unseal(box, aad)
        except SealBroken:
            return False
        except KeyErased:
            return True
        return expected is None or plaintext == expected


def _clear(stream: str, seq: int, name: str, at: datetime, by: str, cause: str | None) -> bytes:
    return identity("journal", stream, seq, name, milliseconds(at), by, cause)


def _digest(previous: bytes, clear: bytes, box: bytes) -> bytes:
    return hashlib.sha256(previous + hashlib.sha256(clear).digest() + box).digest()


def _proof_aad(stream: str, seq: int) -> bytes:
    return identity("journal_heads", stream, seq)
