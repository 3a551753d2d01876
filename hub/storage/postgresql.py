"""PostgreSQL, for a hub of several processes, or one that has a database server already."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_CONNECT = {
    "timeout": 10,
    "command_timeout": 60,  # a statement that takes longer has lost its server
    "server_settings": {
        "application_name": "parcours",
        "jit": "off",  # compiling a short statement costs more than running it
    },
}


def engine(url: URL) -> AsyncEngine:
    """A pool of connections, opened as they are needed."""
    made = create_async_engine(url, connect_args=_CONNECT, hide_parameters=True)
    event.listen(made.sync_engine, "checkout", _revive)
    return made


async def sweep(connection: AsyncConnection) -> None:
    """Rewrite the table of keys without its former rows. (The write-ahead log forgets as it is recycled.)"""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection  # there is no VACUUM inside a transaction
    await driver.execute("SET lock_timeout = '5s'")  # it waits for everyone, and everyone then waits for it
    try:
        await driver.execute("VACUUM FULL data_keys")
    finally:
        await driver.execute("RESET lock_timeout")


def _revive(connection: Any, record: object, proxy: object) -> None:
    # The driver knows at once when its server went away; asking the server each time costs a round trip.
    if connection.driver_connection.is_closed():
        raise DisconnectionError
