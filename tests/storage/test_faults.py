"""What goes wrong under the database reaches the operator as a code, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hub.errors import OperatorError
from hub.seal import MasterKey, Vault
from hub.storage import sqlite
from hub.storage.engine import Database
from hub.storage.faults import operator_error
from tests.storage.examples import HUB, NOW, incoming
from tests.support.databases import Backend, PostgresDatabase, SqliteFile
from tests.support.postgres import Cluster


@asynccontextmanager
async def opened(url: str, vault: Vault) -> AsyncIterator[Database]:
    database = Database.open(url, vault)
    try:
        yield database
    finally:
        await database.close()


async def code_of(attempt: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(OperatorError) as raised:
        await attempt()
    return raised.value.code


def adding(database: Database, event_id: str = "$new") -> Callable[[], Awaitable[object]]:
    async def add() -> None:
        async with database.transaction() as tx:
            await tx.inbox.add(incoming(event_id), NOW)

    return add


async def depth(database: Database) -> int:
    async with database.transaction() as tx:
        return await tx.inbox.depth(HUB)


@pytest.mark.parametrize(
    "url",
    ["", "hub.db", "sqlite:///hub.db", "sqlite+aiosqlite://", "mysql://h/d", "postgresql+asyncpg://host"],
)
def test_a_url_that_is_none_of_ours(url: str, vault: Vault) -> None:
    with pytest.raises(OperatorError) as raised:
        Database.open(url, vault)
    assert raised.value.code == "database.url"


async def test_a_full_disk(database: Database, backend: Backend) -> None:
    await adding(database, "$kept")()
    if isinstance(backend, SqliteFile):
        async with database.transaction() as tx:
            pages = (await tx.connection.execute(text("PRAGMA page_count"))).scalar_one()
            await tx.connection.execute(text(f"PRAGMA max_page_count = {pages}"))
    else:
        await raise_on_insert(backend, "53100")

    async def fill() -> None:
        async with database.transaction() as tx:
            for number in range(200):
                await tx.inbox.add(incoming(f"${number}", payload=bytes(1000)), NOW)

    assert await code_of(fill) == "database.full"
    assert await depth(database) == 1
    if isinstance(backend, SqliteFile):
        async with database.transaction() as tx:
            await tx.connection.execute(text("PRAGMA max_page_count = 1000000"))
    else:
        await backend.execute("DROP TRIGGER fail ON inbox")
    await fill()
    assert await depth(database) == 201


async def test_a_file_that_may_grow_no_more(backend: Backend, vault: Vault, master: MasterKey) -> None:
    """A quota, rather than a full disk: the system refuses a write in the middle of SQLite's work."""
    if not isinstance(backend, SqliteFile):
        return
    script = """
import asyncio, resource, sys
from hub.errors import OperatorError
from hub.seal import MasterKey, Vault
from hub.storage import sqlite
from hub.storage.engine import Database
from hub.storage.faults import operator_error
from tests.storage.examples import NOW, incoming

async def main():
    database = Database.open(sys.argv[1], Vault(MasterKey.from_env()))
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$kept"), NOW)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        async with database.transaction() as tx:
            for number in range(400):
                await tx.inbox.add(incoming(f"${number}", payload=bytes(1000)), NOW)
    except OperatorError as error:
        print(error.code)

asyncio.run(main())
"""
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        backend.url,
        env={**os.environ, "PARCOURS_MASTER_KEY": master._secret.hex()},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await done.communicate()
    assert output.decode().strip() in ("database.io", "database.full")
    async with opened(backend.url, vault) as database:
        await database.check()
        assert await depth(database) == 1


async def raise_on_insert(backend: Backend, sqlstate: str) -> None:
    """Let the real server report what it would report if its disk failed it."""
    await backend.execute(
        f"""CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '{sqlstate}'; END $$"""
    )
    await backend.execute("CREATE TRIGGER fail BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION fail()")


@pytest.mark.parametrize(
    ("sqlstate", "code"),
    [
        ("53100", "database.full"),
        ("58030", "database.io"),
        ("XX001", "database.corrupt"),
        ("40P01", "database.busy"),
        ("40001", "database.busy"),
        ("53300", "database.busy"),
        ("57P01", "database.unreachable"),
        ("08006", "database.unreachable"),
        ("42501", "database.forbidden"),
    ],
)
async def test_what_postgresql_reports(postgres: Cluster, vault: Vault, sqlstate: str, code: str) -> None:
    name = await postgres.create()
    async with opened(postgres.url(name), vault) as database:
        await database.upgrade()
        await raise_on_insert(PostgresDatabase(postgres, name), sqlstate)
        assert await code_of(adding(database)) == code
        assert await depth(database) == 0
    await postgres.drop(name)


async def test_a_read_only_database(database: Database, backend: Backend) -> None:
    await adding(database, "$kept")()
    if isinstance(backend, SqliteFile):
        async with database.transaction() as tx:
            await tx.connection.execute(text("PRAGMA query_only = ON"))
    else:
        await database.close()
        await backend.execute(
            f"ALTER DATABASE {backend.url.rpartition('/')[2]} SET default_transaction_read_only = on"
        )
    assert await code_of(adding(database)) == "database.readonly"
    assert await backend.execute("SELECT event_id FROM inbox") == [("$kept",)]


async def test_another_program_holds_the_lock(
    database: Database, backend: Backend, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await adding(database, "$kept")()
    if isinstance(backend, SqliteFile):
        monkeypatch.setattr(sqlite, "_PATIENCE", 0.05)
        with closing(sqlite3.connect(backend.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert await code_of(adding(database)) == "database.busy"
    else:
        async with opened(backend.url, vault) as other_hub, other_hub.transaction() as theirs:
            await theirs.connection.execute(text("LOCK TABLE inbox"))

            async def add_hastily() -> None:
                async with database.transaction() as tx:
                    await tx.connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
                    await tx.inbox.add(incoming("$new"), NOW)

            assert await code_of(add_hastily) == "database.busy"
    await adding(database)()
    assert await depth(database) == 2


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # PostgreSQL waits in its server
async def test_a_lock_is_waited_for_while_everything_else_goes_on(
    database: Database, backend: SqliteFile
) -> None:
    await adding(database, "$kept")()
    with closing(sqlite3.connect(backend.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.ensure_future(adding(database)())
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not waiting.done()
        other.execute("ROLLBACK")
        await waiting
    assert await depth(database) == 2


def test_what_no_server_reports() -> None:
    url = make_url("postgresql+asyncpg://hub:motdepasse@db.example/hub")
    for error, code in (
        (PoolTimeout(), "database.busy"),
        (TimeoutError(), "database.unreachable"),
        (socket.gaierror(), "database.unreachable"),
    ):
        told = operator_error(error, url)
        assert told is not None
        assert (told.code, told.facts) == (code, {"database": "db.example:5432/hub"})
    assert operator_error(ValueError(), url) is None
    assert operator_error(asyncio.CancelledError(), url, lost=True) is None
    assert operator_error(ValueError(), url, lost=True) is not None


async def test_the_file_is_not_a_database(tmp_path: Path, vault: Vault) -> None:
    path = tmp_path / "hub.db"
    path.write_bytes(b"This was a letter once.\n" * 500)
    before = path.read_bytes()
    async with opened(SqliteFile(path).url, vault) as database:
        for attempt in (database.check, database.upgrade, adding(database)):
            assert await code_of(attempt) == "database.corrupt"
    assert path.read_bytes() == before


async def test_a_damaged_page_is_found_before_the_hub_starts(tmp_path: Path, vault: Vault) -> None:
    path = tmp_path / "hub.db"
    async with opened(SqliteFile(path).url, vault) as database:
        await database.upgrade()
        for number in range(100):
            await adding(database, f"${number}")()
        await database.check()
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.seek(file.tell() // 2)
        file.write(os.urandom(3 * 4096))
    before = path.read_bytes()
    async with opened(SqliteFile(path).url, vault) as database:
        assert await code_of(database.check) == "database.corrupt"
        assert await code_of(database.intact) == "database.corrupt"
    assert path.read_bytes() == before


async def test_a_whole_database_is_read_while_somebody_writes(database: Database, vault: Vault) -> None:
    await database.current()
    async with opened(database._url.render_as_string(hide_password=False), vault) as beside:
        async with database.transaction() as tx:
            await tx.inbox.add(incoming("$unfinished"), NOW)
            await beside.intact()
        assert (await beside.server()).split()[0] in ("SQLite", "PostgreSQL")


@pytest.mark.parametrize("place", ["missing/hub.db", "file/hub.db", "."])
async def test_a_place_where_no_file_can_be(tmp_path: Path, vault: Vault, place: str) -> None:
    (tmp_path / "file").touch()

    async def start() -> None:
        async with opened(SqliteFile(tmp_path / place).url, vault) as database:
            await database.upgrade()

    assert await code_of(start) == "database.unreachable"


async def test_nobody_answers(vault: Vault) -> None:
    async with opened("postgresql+asyncpg://hub:motdepasse@127.0.0.1:1/hub", vault) as database:
        for attempt in (database.check, database.upgrade, adding(database)):
            with pytest.raises(OperatorError) as raised:
                await attempt()
            assert raised.value.code == "database.unreachable"
            assert raised.value.facts == {"database": "127.0.0.1:1/hub"}
            assert "motdepasse" not in "".join(traceback.format_exception(raised.value))


async def test_a_server_that_does_not_know_us(postgres: Cluster, vault: Vault) -> None:
    name = await postgres.create()
    async with opened(postgres.url(name).replace(postgres.password, "motdepasse"), vault) as database:
        assert await code_of(database.check) == "database.login"
    async with opened(postgres.url("no_such_database"), vault) as database:
        assert await code_of(database.check) == "database.missing"
    await postgres.execute(name, "CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    url = postgres.url(name).replace(f"postgres:{postgres.password}", "stranger:stranger")
    async with opened(url, vault) as database:
        assert await code_of(database.upgrade) == "database.forbidden"
    await postgres.execute(name, "DROP ROLE stranger")
    await postgres.drop(name)


async def test_the_server_goes_away_and_comes_back(postgres: Cluster, vault: Vault) -> None:
    name = await postgres.create()
    end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608
    async with opened(postgres.url(name), vault) as database:
        await database.upgrade()
        await adding(database, "$kept")()

        async def lose_the_connection() -> None:
            async with database.transaction() as tx:
                await tx.inbox.add(incoming("$lost"), NOW)
                await postgres.execute("postgres", end)
                await tx.inbox.add(incoming("$never"), NOW)

        async def lose_it_before_the_commit() -> None:
            async with database.transaction() as tx:
                await tx.inbox.add(incoming("$lost"), NOW)
                await postgres.execute("postgres", end)

        assert await code_of(lose_the_connection) == "database.unreachable"
        assert await code_of(lose_it_before_the_commit) == "database.unreachable"
        assert await depth(database) == 1
        # a connection lost between two transactions is replaced without a word
        await postgres.execute("postgres", end)
        await adding(database)()
        assert await depth(database) == 2
    await postgres.drop(name)
