"""What goes wrong under a database, for the operator: every driver's words become one code of ours."""

from __future__ import annotations

import sqlite3

from sqlalchemy import URL
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hub.errors import OperatorError

_SQLITE = {
    sqlite3.SQLITE_PERM: "database.forbidden",
    sqlite3.SQLITE_BUSY: "database.busy",
    sqlite3.SQLITE_LOCKED: "database.busy",
    sqlite3.SQLITE_READONLY: "database.readonly",
    sqlite3.SQLITE_IOERR: "database.io",
    sqlite3.SQLITE_CORRUPT: "database.corrupt",
    sqlite3.SQLITE_FULL: "database.full",
    sqlite3.SQLITE_CANTOPEN: "database.unreachable",
    sqlite3.SQLITE_NOTADB: "database.corrupt",
}

# PostgreSQL's SQLSTATEs: the whole code, or else its class (the first two characters).
_POSTGRESQL = {
    "08": "database.unreachable",
    "57P01": "database.unreachable",  # shut down by its administrator
    "57P02": "database.unreachable",  # shut down by a crash
    "57P03": "database.unreachable",  # still starting
    "28": "database.login",
    "3D000": "database.missing",
    "42501": "database.forbidden",
    "25006": "database.readonly",
    "40": "database.busy",  # deadlock, serialisation failure: safe to do again
    "55P03": "database.busy",
    "53300": "database.busy",  # too many connections
    "53100": "database.full",
    "58030": "database.io",
    "XX001": "database.corrupt",
    "XX002": "database.corrupt",
}


def place(url: URL) -> str:
    """Which database, as the operator knows it; never its password."""
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    return f"{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


def operator_error(error: BaseException, url: URL, *, lost: bool = False) -> OperatorError | None:
    """The word for a driver's exception; None for mistakes of ours (a broken constraint, wrong SQL).

    ``lost``: SQLAlchemy found that the connection is gone, whatever the exception says.
    """
    if not isinstance(error, Exception):
        return None  # a cancelled task loses its connection too; it must stay cancelled
    code = _code(error) or ("database.unreachable" if lost else None)
    return OperatorError(code, database=place(url)) if code else None


def _code(error: BaseException) -> str | None:
    if isinstance(error, sqlite3.Error):
        number = getattr(error, "sqlite_errorcode", None)
        # The low byte is the kind; the rest (SQLITE_IOERR_FSYNC…) says more than an operator needs.
        return _SQLITE.get(number & 0xFF) if isinstance(number, int) else None
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return _POSTGRESQL.get(state) or _POSTGRESQL.get(state[:2])
    if isinstance(error, PoolTimeout):
        return "database.busy"
    if isinstance(error, OSError):  # no name, no route, refused, reset, timed out
        return "database.unreachable"
    return None
