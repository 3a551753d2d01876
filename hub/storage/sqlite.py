"""SQLite, for a hub that is one process: a file, one connection, one thread that waits for its disk.

Statements run where they are called: all of ours find their rows by an index and take microseconds, less than
the way to a thread and back. What waits for the disk, the commit, has the thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hub.errors import OperatorError

_PATIENCE = 10.0  # a backup, or the command line, may hold the lock for a while
_PAUSE = 0.01

_PRAGMAS = (
    "PRAGMA busy_timeout = 0",  # the event loop does not wait inside SQLite: who meets a lock comes again
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # a commit that was reported outlives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # an erased key is overwritten, not just forgotten
)


def engine(url: URL) -> AsyncEngine:
    """An engine over the file of ``url``, made if need be, readable by its owner alone.

    One connection, no queue: who uses it takes turns (see ``Database``). Raises OperatorError
    ``database.unreachable`` when the file can be neither made nor opened.
    """
    path = Path(url.database or "")
    try:
        path.touch(mode=0o600)  # SQLite alone would let the group and others read it
    except OSError as error:
        raise OperatorError("database.unreachable", database=str(path)) from error

    async def connect() -> aiosqlite.Connection:
        connection = _Connection(partial(_open, path), iter_chunk_size=64)
        connection._thread.daemon = True  # a program that fails before it closes its database still ends
        return await connection

    made = create_async_engine(url, async_creator=connect, pool_size=1, max_overflow=0, hide_parameters=True)
    event.listen(made.sync_engine, "begin", _begin)
    return made


async def sweep(connection: AsyncConnection) -> None:
    """Empty the write-ahead log, which keeps former pages. (The file itself has secure_delete.)"""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection  # past _begin: there is no checkpoint inside a transaction
    await driver.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}")  # in the thread, it may wait
    try:
        await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        await driver.execute("PRAGMA busy_timeout = 0")


async def quick_check(connection: AsyncConnection) -> bool:
    """Whether the file is whole. Outside a transaction of ours, which would make writers wait."""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    cursor = await driver.execute("PRAGMA quick_check(1)")
    return bool(await cursor.fetchall() == [("ok",)])


def _open(path: Path) -> sqlite3.Connection:
    # isolation_level None: Python would open transactions late and commit before DDL; _begin says BEGIN
    # itself. Two threads use it, never at the same time: who calls waits for the other.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        _patiently(connection, pragma)
    return connection


def _patiently(connection: sqlite3.Connection, pragma: str) -> None:
    # Several hubs may start at once, and change to write-ahead logging.
    last = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute(pragma)
        except sqlite3.OperationalError as error:
            if not _busy(error) or time.monotonic() > last:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _busy(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _begin(connection: Any) -> None:
    # IMMEDIATE: a transaction that reads first and writes later could otherwise fail in its middle.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class _Cursor(aiosqlite.Cursor):
    """A cursor that stays out of aiosqlite's thread, and fetches all rows of a statement at once."""

    def __init__(self, connection: _Connection) -> None:
        # SQLite's own cursor is made by the statement.
        super().__init__(connection, None)  # type: ignore[arg-type]
        self._rows: list[Any] = []

    async def __aenter__(self) -> _Cursor:
        return self

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> _Cursor:
        return await self._patiently("execute", sql, () if parameters is None else parameters)

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> _Cursor:
        return await self._patiently("executemany", sql, parameters)

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []

    @property
    def description(self) -> Any:
        return self._cursor.description

    async def _patiently(self, method: str, sql: str, parameters: Iterable[Any]) -> _Cursor:
        # Only BEGIN can meet a lock, that of another process; behind it the transaction has the database.
        last = time.monotonic() + _PATIENCE
        while True:
            try:
                self._run(method, sql, parameters)
            except sqlite3.OperationalError as error:
                if not _busy(error) or time.monotonic() > last:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return self

    def _run(self, method: str, sql: str, parameters: Iterable[Any]) -> None:
        self._cursor = self._conn._conn.cursor()
        getattr(self._cursor, method)(sql, parameters)
        self._rows = self._cursor.fetchall()
        self._cursor.close()


class _Connection(aiosqlite.Connection):
    _committed = 0  # by SQLite's count of changed rows

    def cursor(self) -> _Cursor:  # type: ignore[override]
        return _Cursor(self)

    async def commit(self) -> None:
        if self._conn.total_changes == self._committed:
            self._conn.commit()  # of what was only read: nothing waits for the disk
        else:
            await super().commit()
            self._committed = self._conn.total_changes

    async def rollback(self) -> None:
        # The pool rolls back whatever comes home; mostly there is nothing left to.
        if self.in_transaction:
            await super().rollback()
