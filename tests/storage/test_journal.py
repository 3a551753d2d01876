"""The journal: appended to, read, and never changed unseen."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from hub.seal import KeyErased, SealBroken
from hub.storage import journal
from hub.storage.engine import Database
from hub.storage.rows import Fact
from tests.storage.examples import NOW, NURSE
from tests.support.databases import Backend

STREAM = "pathway:7F3K-2M"


async def write(database: Database, *payloads: bytes, stream: str = STREAM) -> list[Fact]:
    async with database.transaction() as tx:
        return [
            await tx.journal.append(
                stream, "QuestionnaireAnswered", payload, at=NOW, by=NURSE, cause=f"$cause{n}"
            )
            for n, payload in enumerate(payloads)
        ]


async def verify(database: Database, stream: str = STREAM) -> bool:
    async with database.transaction() as tx:
        return await tx.journal.verify(stream)


async def test_facts_come_back_in_order_as_they_were_written(database: Database) -> None:
    written = await write(database, b"score 3", b"", "été".encode())
    await write(database, b"another's", stream="person:@nadia:hub.localhost")
    async with database.transaction() as tx:
        read = await tx.journal.read(STREAM)
        assert read == written
        assert [fact.seq for fact in read] == [1, 2, 3]
        assert (read[0].at, read[0].by, read[0].cause) == (NOW, NURSE, "$cause0")
        assert await tx.journal.read(STREAM, after=2) == written[2:]
        assert await tx.journal.read(STREAM, after=3) == []
        assert await tx.journal.read("pathway:unknown") == []
        assert await tx.journal.streams() == [STREAM, "person:@nadia:hub.localhost"]


async def test_a_fact_need_not_have_a_cause_and_is_dated_to_the_millisecond(database: Database) -> None:
    async with database.transaction() as tx:
        fact = await tx.journal.append(
            STREAM, "Reminded", b"", at=NOW + timedelta(microseconds=999), by="hub", cause=None
        )
        assert fact.at == NOW and fact.cause is None
        assert await tx.journal.read(STREAM) == [fact]


async def test_the_chain_goes_on_over_transactions_and_verifies(database: Database) -> None:
    await write(database, b"one", b"two")
    await write(database, b"three")
    assert await verify(database)
    assert await verify(database, "pathway:unknown")


async def test_a_rolled_back_fact_leaves_no_gap(database: Database) -> None:
    await write(database, b"one")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.journal.append(STREAM, "Never", b"", at=NOW, by=NURSE, cause=None)
            raise ZeroDivisionError
    (second,) = await write(database, b"two")
    assert second.seq == 2
    assert await verify(database)


async def test_writers_of_one_stream_take_turns(database: Database) -> None:
    await asyncio.gather(*(write(database, b"a", b"b") for _ in range(6)))
    async with database.transaction() as tx:
        assert [fact.seq for fact in await tx.journal.read(STREAM)] == list(range(1, 13))
    assert await verify(database)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET name = 'Other'",
        "UPDATE journal SET payload = payload",
        "DELETE FROM journal",
        "DELETE FROM journal WHERE seq = 1",
    ],
)
async def test_the_database_refuses_to_change_the_past(
    database: Database, backend: Backend, statement: str
) -> None:
    written = await write(database, b"one", b"two")
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.transaction() as tx:
            await tx.connection.execute(text(statement))
    with pytest.raises(Exception, match="append-only"):
        await backend.execute(statement)  # its administrator is refused too
    async with database.transaction() as tx:
        assert await tx.journal.read(STREAM) == written


async def test_the_database_refuses_every_way_around_it(database: Database, backend: Backend) -> None:
    await write(database, b"one")
    around = {
        "sqlite": "INSERT OR REPLACE INTO journal SELECT * FROM journal",
        "postgresql": "TRUNCATE journal",
    }
    with pytest.raises(Exception, match="append-only"):
        await backend.execute(around[backend.name])
    assert await verify(database)


_HASH = "(SELECT hash FROM journal WHERE seq = 2)"


@pytest.mark.parametrize(
    "tampering",
    [
        ("UPDATE journal SET name = 'ConsentGiven' WHERE seq = 2",),
        ("UPDATE journal SET actor = '@other:hub.localhost' WHERE seq = 2",),
        ("UPDATE journal SET at = at + 1 WHERE seq = 1",),
        ("UPDATE journal SET cause = NULL WHERE seq = 3",),
        ("UPDATE journal SET payload = (SELECT payload FROM journal WHERE seq = 1) WHERE seq = 2",),
        ("UPDATE journal SET hash = (SELECT hash FROM journal WHERE seq = 1) WHERE seq = 2",),
        ("DELETE FROM journal WHERE seq = 1",),
        ("DELETE FROM journal WHERE seq = 2",),
        ("DELETE FROM journal WHERE seq = 3",),
        ("DELETE FROM journal",),
        # cut short, with the head set back to match
        (
            "DELETE FROM journal WHERE seq = 3",
            f"UPDATE journal_heads SET seq = 2, hash = {_HASH}",  # noqa: S608
        ),
        ("DELETE FROM journal_heads",),
        ("UPDATE journal SET seq = 9 WHERE seq = 3", "UPDATE journal_heads SET seq = 9"),
        # facts swapped
        (
            "UPDATE journal SET seq = 9 WHERE seq = 1",
            "UPDATE journal SET seq = 1 WHERE seq = 2",
            "UPDATE journal SET seq = 2 WHERE seq = 9",
        ),
    ],
    ids=lambda tampering: " · ".join(tampering)[:60],
)
async def test_tampering_below_the_triggers_is_seen(
    database: Database, backend: Backend, tampering: tuple[str, ...]
) -> None:
    await write(database, b"one", b"two", b"three")
    await backend.unguard_journal()
    assert await verify(database)
    for statement in tampering:
        await backend.execute(statement)
    assert not await verify(database)


async def test_a_forger_who_mends_the_chain_is_seen_without_the_key(
    database: Database, backend: Backend
) -> None:
    """Who edits a fact and recomputes every hash after it still lacks the key that binds the words to it."""
    await write(database, b"score 3")
    await backend.unguard_journal()
    ((box,),) = await backend.execute("SELECT payload FROM journal")
    forged = journal._digest(b"\0" * 32, journal._clear(STREAM, 1, "Forged", NOW, NURSE, "$cause0"), box)
    literal = f"X'{forged.hex()}'" if backend.name == "sqlite" else f"'\\x{forged.hex()}'::bytea"
    await backend.execute(f"UPDATE journal SET name = 'Forged', hash = {literal}")  # noqa: S608
    await backend.execute(f"UPDATE journal_heads SET hash = {literal}")  # noqa: S608
    assert not await verify(database)
    with pytest.raises(SealBroken):
        async with database.transaction() as tx:
            await tx.journal.read(STREAM)


async def test_an_erased_journal_cannot_be_read_and_its_chain_still_verifies(
    database: Database, backend: Backend
) -> None:
    await write(database, b"one", b"two")
    async with database.transaction() as tx:
        await tx.keys.erase(STREAM)
    with pytest.raises(KeyErased):
        async with database.transaction() as tx:
            await tx.journal.read(STREAM)
    assert await verify(database)
    # life goes on: what is written after the erasure is read, what was before it is not
    (fact,) = await write(database, b"erased on request")
    assert fact.seq == 3
    async with database.transaction() as tx:
        assert await tx.journal.read(STREAM) == [fact]
    assert await verify(database)
    await backend.unguard_journal()
    await backend.execute("UPDATE journal SET name = 'Other' WHERE seq = 1")
    assert not await verify(database)
