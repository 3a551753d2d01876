"""All of it or none of it, and one after the other."""

from __future__ import annotations

import asyncio
import stat
import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from hub.seal import Vault
from hub.storage.engine import Database
from tests.storage.examples import HUB, LATER, NOW, NURSE, ROOM, incoming, undecryptable
from tests.support.databases import Backend, SqliteFile

EVERYWHERE = (
    "sync_positions",
    "inbox",
    "outbox",
    "waiting",
    "journal",
    "journal_heads",
    "leases",
    "identities",
)


async def write_everywhere(database: Database, then: Exception | None = None) -> None:
    async with database.transaction() as tx:
        await tx.sync.save(HUB, "s1", NOW)
        await tx.inbox.add(incoming("$1"), NOW)
        await tx.outbox.queue(HUB, ROOM, b"words", cause="$1", step=0, now=NOW)
        await tx.waiting.add(undecryptable("$2"))
        await tx.journal.append("p", "Happened", b"words", at=NOW, by=NURSE, cause="$1")
        await tx.leases.acquire(HUB, "one", NOW, LATER)
        await tx.identities.pin(NURSE, "key", NOW)
        if then is not None:
            raise then


async def counts(backend: Backend) -> set[int]:
    return {(await backend.execute(f"SELECT count(*) FROM {table}"))[0][0] for table in EVERYWHERE}  # noqa: S608


async def test_a_clean_exit_keeps_everything(database: Database, backend: Backend) -> None:
    await write_everywhere(database)
    assert await counts(backend) == {1}


async def test_an_exception_leaves_nothing(database: Database, backend: Backend) -> None:
    with pytest.raises(ZeroDivisionError):
        await write_everywhere(database, ZeroDivisionError())
    assert await counts(backend) == {0}
    assert await backend.execute("SELECT scope FROM data_keys") == [("hub",)]
    await write_everywhere(database)
    assert await counts(backend) == {1}


async def test_a_task_that_is_cancelled_leaves_nothing_and_blocks_nobody(
    database: Database, backend: Backend
) -> None:
    written = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            await tx.inbox.add(incoming("$1"), NOW)
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await write_everywhere(database)
    assert await counts(backend) == {1}


async def test_tasks_cancelled_at_any_statement_leave_nothing(database: Database, backend: Backend) -> None:
    for milliseconds in range(12):
        task = asyncio.create_task(write_everywhere(database, ZeroDivisionError()))
        await asyncio.sleep(milliseconds / 1000)  # wherever that finds it
        task.cancel()
        with pytest.raises((asyncio.CancelledError, ZeroDivisionError)):
            await task
    assert await counts(backend) == {0}
    await write_everywhere(database)
    assert await counts(backend) == {1}


async def test_a_transaction_inside_another_is_a_mistake(database: Database) -> None:
    async with database.transaction():
        with pytest.raises(RuntimeError, match="inside"):
            async with database.transaction():
                pass
    async with database.transaction():
        pass


async def test_a_mistake_of_ours_is_no_matter_for_the_operator_and_shows_no_value(
    database: Database,
) -> None:
    words = "".join(["secret", " ", "words"])  # not as such in this source, which a traceback quotes
    statement = text("INSERT INTO leases (account, holder, until) VALUES (:account, :holder, 0)")
    with pytest.raises(IntegrityError) as failed:
        async with database.transaction() as tx:
            for _ in range(2):
                await tx.connection.execute(statement, {"account": HUB, "holder": words})
    assert words not in "".join(traceback.format_exception(failed.value))


async def test_two_processes_write_in_turn(database: Database, backend: Backend, vault: Vault) -> None:
    other = Database.open(backend.url, vault)

    async def write(opened: Database, number: int) -> None:
        async with opened.transaction() as tx:
            await tx.journal.append("p", "Happened", b"", at=NOW, by=f"{number}", cause=None)

    await asyncio.gather(*(write((database, other)[n % 2], n) for n in range(10)))
    await other.close()
    async with database.transaction() as tx:
        assert len(await tx.journal.read("p")) == 10
        assert await tx.journal.verify("p")


async def test_several_hubs_that_start_at_once_migrate_once(empty: Backend, vault: Vault) -> None:
    hubs = [Database.open(empty.url, vault) for _ in range(3)]
    await asyncio.gather(*(hub.upgrade() for hub in hubs))
    for hub in hubs:
        await hub.check()
        await hub.close()
    assert await empty.execute("SELECT count(*) FROM data_keys") == [(1,)]


async def test_the_file_is_its_owners_alone(database: Database, backend: Backend) -> None:
    if not isinstance(backend, SqliteFile):
        return
    await write_everywhere(database)
    for path in backend.path.parent.glob("hub.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_cancelled_transaction_is_cancelled_and_nothing_else(database: Database) -> None:
    """Whatever the moment: a loop that is told to stop must not take it for a lost database."""

    async def work() -> None:
        async with database.transaction() as tx:
            await tx.sync.load("account")
            await tx.inbox.depth("account")

    for steps in range(60):
        task = asyncio.create_task(work())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done = (await asyncio.gather(task, return_exceptions=True))[0]
        assert done is None or isinstance(done, asyncio.CancelledError)


async def test_a_part_that_is_undone_takes_its_keys_with_it_and_nothing_else(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.journal.append("before", "Named", b"kept", at=NOW, by="@hub:x", cause=None)
        with pytest.raises(LookupError):
            async with tx.savepoint():
                await tx.journal.append("within", "Named", b"undone", at=NOW, by="@hub:x", cause=None)
                raise LookupError
        await tx.journal.append("within", "Named", b"kept, too", at=NOW, by="@hub:x", cause=None)
    async with database.transaction() as tx:
        assert len(await tx.journal.read("before")) == 1
        assert [entry.payload for entry in await tx.journal.read("within")] == [b"kept, too"]
        assert await tx.journal.verify("within")
