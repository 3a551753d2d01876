"""Databases for the tests: a test that takes ``backend`` or ``database`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio

from hub.seal import MasterKey, Vault
from hub.storage.engine import Database
from tests.support.postgres import Cluster


class Backend(Protocol):
    """A database seen from outside the hub, as its administrator, or a thief, sees it."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str: ...

    async def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement with every right; its rows."""

    async def unguard_journal(self) -> None:
        """Drop the triggers that keep the journal append-only."""

    async def remains(self, *, log: bool = True) -> bytes:
        """All that the files of this database hold, deleted or not; with the server's write-ahead log."""


@dataclass(frozen=True)
class SqliteFile:
    path: Path
    name: str = "sqlite"

    @property
    def url(self) -> str:
        return f"sqlite+aiosqlite:///{self.path}"

    async def execute(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    async def unguard_journal(self) -> None:
        for (trigger,) in await self.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            await self.execute(f"DROP TRIGGER {trigger}")

    async def remains(self, *, log: bool = True) -> bytes:
        # SQLite's own log counts always: it belongs to this database, and is ours to empty.
        return b"".join(path.read_bytes() for path in self.path.parent.glob(f"{self.path.name}*"))


@dataclass(frozen=True)
class PostgresDatabase:
    cluster: Cluster
    database: str
    name: str = "postgresql"

    @property
    def url(self) -> str:
        return self.cluster.url(self.database)

    async def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.cluster.execute(self.database, sql)]

    async def unguard_journal(self) -> None:
        await self.execute("ALTER TABLE journal DISABLE TRIGGER USER")

    async def remains(self, *, log: bool = True) -> bytes:
        await self.execute("CHECKPOINT")
        ((oid,),) = await self.execute(
            f"SELECT oid FROM pg_database WHERE datname = '{self.database}'"  # noqa: S608
        )
        folders = [self.cluster.data / "base" / str(oid)]
        if log:
            folders.append(self.cluster.data / "pg_wal")
        files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
        return b"".join(file.read_bytes() for file in files)


@dataclass
class _Template:
    """A migrated database that fresh ones are copied from, made once a session for each kind."""

    sqlite: Path
    postgresql: str | None = None


@pytest.fixture(scope="session")
def master() -> MasterKey:
    """The master key of every ``database``, for tests that start a process of their own."""
    return MasterKey.generate()


@pytest.fixture(scope="session")
def vault(master: MasterKey) -> Vault:
    """The vault of every ``database``."""
    return Vault(master)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Template]:
    yield _Template(tmp_path_factory.mktemp("template") / "hub.db")


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield SqliteFile(tmp_path / "hub.db")
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = await cluster.create()
    yield PostgresDatabase(cluster, name)
    await cluster.drop(name)


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path, vault: Vault, _template: _Template
) -> AsyncIterator[Backend]:
    """A database with this program's schema, and nobody connected to it."""
    if request.param == "sqlite":
        if not _template.sqlite.exists():
            await _migrate(SqliteFile(_template.sqlite).url, vault)
        yield SqliteFile(Path(shutil.copy(_template.sqlite, tmp_path / "hub.db")))
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    if _template.postgresql is None:
        _template.postgresql = await cluster.create()
        await _migrate(cluster.url(_template.postgresql), vault)
    name = await cluster.create(_template.postgresql)
    yield PostgresDatabase(cluster, name)
    await cluster.drop(name)


async def _migrate(url: str, vault: Vault) -> None:
    database = Database.open(url, vault)
    await database.upgrade()
    await database.close()


@pytest_asyncio.fixture
async def database(backend: Backend, vault: Vault) -> AsyncIterator[Database]:
    """The hub's view of ``backend``."""
    opened = Database.open(backend.url, vault)
    yield opened
    await opened.close()
