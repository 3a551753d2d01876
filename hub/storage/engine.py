"""The hub's database: opened, brought up to date, checked, and written to in transactions."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Protocol

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hub.errors import OperatorError
from hub.observe import Log
from hub.seal import Vault
from hub.storage import migrations, postgresql, sqlite
from hub.storage.faults import operator_error, place
from hub.storage.unit_of_work import UnitOfWork

log = Log(__name__)

_ENGINES = {"sqlite+aiosqlite": sqlite.engine, "postgresql+asyncpg": postgresql.engine}


class Transactions(Protocol):
    """Whatever a unit of work can be had from: a database, or one that is written to on somebody's behalf."""

    def transaction(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Commit on a clean exit; roll back on any exception."""
        ...


class Database:
    """One database, and the vault that seals what goes into it."""

    def __init__(self, url: URL, engine: AsyncEngine, vault: Vault) -> None:
        self._url = url
        self._engine = engine
        self._vault = vault
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer. Taking turns here is fair; waiting for its own lock is polling, and is not.
        self._turn: AbstractAsyncContextManager[object] = asyncio.Lock() if self._is_sqlite else nullcontext()
        self._inside: set[asyncio.Task[Any] | None] = set()
        event.listen(engine.sync_engine, "handle_error", self._translate)

    @classmethod
    def open(cls, url: str, vault: Vault) -> Database:
        """``sqlite+aiosqlite:///absolute/path.db`` or ``postgresql+asyncpg://user:password@host/name``.

        Connects on first use. Raises OperatorError ``database.url``, or ``database.unreachable``.
        """
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise OperatorError("database.url") from None  # the URL may hold a password: it is never shown
        if parsed.drivername not in _ENGINES or not parsed.database:
            raise OperatorError("database.url")
        return cls(parsed, _ENGINES[parsed.drivername](parsed), vault)

    @property
    def place(self) -> str:
        """Which database, as the operator knows it."""
        return place(self._url)

    @property
    def shared(self) -> bool:
        """Whether other machines can write to it while we cannot."""
        return not self._is_sqlite

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """Commit on a clean exit; roll back, leaving nothing, on any exception.

        Raises OperatorError for what an operator can mend (the codes are in ``faults.py``). A transaction
        opened inside another is a mistake, and a RuntimeError.
        """
        task = asyncio.current_task()
        if task in self._inside:
            raise RuntimeError("a transaction inside a transaction: pass the unit of work on instead")
        self._inside.add(task)
        try:
            async with self._turn:
                async with self._begin() as connection:
                    work = UnitOfWork(connection, self._vault)
                    yield work
                for told in work.on_commit:
                    told()
                if work.keys.erased:
                    await self.sweep()
        finally:
            self._inside.discard(task)

    async def upgrade(self) -> None:
        """Bring the schema to this program's version, all or nothing. OperatorError ``database.newer``."""
        async with self.transaction() as tx:
            if not self._is_sqlite:
                # Several hubs may start at once: one migrates, the others wait and find nothing to do.
                await tx.connection.execute(text("SELECT pg_advisory_xact_lock(7238911)"))
            await self._version(tx.connection)
            await tx.connection.run_sync(migrations.upgrade)
            await tx.keys.found()

    async def check(self) -> None:
        """Raise an OperatorError unless the hub can work with this database and this master key.

        ``database.newer``, ``database.outdated``, ``seal.wrong_master_key``, and whatever a transaction
        raises.
        """
        async with self.transaction() as tx:
            if self._is_sqlite:
                found = (await tx.connection.execute(text("PRAGMA quick_check(1)"))).scalar()
                if found != "ok":
                    raise OperatorError("database.corrupt", database=place(self._url))
            await self._prove(tx)

    async def current(self) -> None:
        """Raise an OperatorError unless the schema is this program's and the master key is the right one.

        As :meth:`check` does, without reading the whole database.
        """
        async with self.transaction() as tx:
            await self._prove(tx)

    async def intact(self) -> None:
        """Read the whole database, beside whoever writes. Raises OperatorError ``database.corrupt``.

        PostgreSQL checks its pages as it reads them, and has nothing quick to ask.
        """
        if not self._is_sqlite:
            return
        async with self._engine.connect() as connection:
            try:
                found = await sqlite.quick_check(connection)
            except sqlite3.Error as error:  # past the reach of _translate
                raise operator_error(error, self._url) or error from error
        if not found:
            raise OperatorError("database.corrupt", database=place(self._url))

    async def server(self) -> str:
        """The database's name and version, as an operator knows them: ``SQLite 3.40.1``."""
        async with self.transaction() as tx:
            asked = "SELECT sqlite_version()" if self._is_sqlite else "SHOW server_version"
            version = (await tx.connection.execute(text(asked))).scalar_one()
        return f"{'SQLite' if self._is_sqlite else 'PostgreSQL'} {version}"

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        async with contextlib.AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
                await stack.enter_async_context(connection.begin())
            except (OSError, PoolTimeout) as error:  # raised outside the reach of _translate
                raise operator_error(error, self._url) or error from error
            yield connection

    async def _prove(self, tx: UnitOfWork) -> None:
        if await self._version(tx.connection) is not migrations.Version.CURRENT:
            raise OperatorError("database.outdated", database=place(self._url))
        await tx.keys.prove()

    async def _version(self, connection: AsyncConnection) -> migrations.Version:
        version = await connection.run_sync(migrations.version)
        if version is migrations.Version.NEWER:
            raise OperatorError("database.newer", database=place(self._url))
        return version

    async def sweep(self) -> None:
        """After a key was erased, remove what the database's files keep of its former row."""
        try:
            async with self._engine.connect() as connection:
                await (sqlite.sweep if self._is_sqlite else postgresql.sweep)(connection)
        except Exception as error:  # whatever it is: the erasure is committed, and must not look undone
            log.warning("erasure.not_swept", reason=type(error).__name__)

    def _translate(self, context: ExceptionContext) -> OperatorError | None:
        return operator_error(context.original_exception, self._url, lost=context.is_disconnect)
