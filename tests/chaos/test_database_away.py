"""A database that others lock, whose connections end, whose server restarts: commands wait."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGINT, SIGQUIT

import asyncpg  # type: ignore[import-untyped]
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from hub import wiring
from tests.chaos import scale
from tests.chaos.crowd import Crowd, gathered
from tests.chaos.tally import Tally
from tests.support.hub import in_own_task, settings
from tests.support.postgres import Cluster, running_cluster
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

COMMANDS = scale.COMMANDS // 4
ROOMS = 3
LOCKS = 6 if scale.LONG else 1
RESTARTS = 6 if scale.LONG else 2
BROKEN_CONNECTIONS = 40 if scale.LONG else 10

HOLDS_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Another process has SQLite's only lock, for the length of a block."""
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDS_THE_LOCK, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert other.stdin is not None and other.stdout is not None
    try:
        assert await other.stdout.readline() == b"held\n"
        yield
    finally:
        other.stdin.close()
        await other.wait()


async def said(caplog: pytest.LogCaptureFixture, code: str) -> None:
    """Wait until the hub has named this reason in its log."""
    async with asyncio.timeout(60):
        while not any(getattr(record, "fields", {}).get("reason") == code for record in caplog.records):
            await asyncio.sleep(0.05)
    caplog.clear()


async def end(crowd: Crowd, hub: wiring.Running, tally: Tally) -> None:
    await crowd.wait_for_the_last_answers()
    crowd.judge(tally)
    assert tally.commands == COMMANDS
    await crowd.check_books(hub.db)


async def test_sqlite_locked_by_another_process(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    chance = scale.by_chance("sqlite")
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as hub:
        if not scale.LONG:  # ten seconds of patience are too long for a short test
            async with hub.db.transaction() as tx:
                await tx.connection.execute(text("PRAGMA busy_timeout = 300"))
        async with gathered(homeserver, hub.member.user_id, hub.db, tmp_path, rooms=ROOMS) as crowd:
            share = (COMMANDS - ROOMS) // LOCKS
            for _ in range(LOCKS):
                async with asyncio.TaskGroup() as meanwhile:
                    meanwhile.create_task(crowd.talk(share, chance))
                    async with locked(tmp_path / "var" / "parcours.db"):
                        await said(caplog, "database.busy")
                        await asyncio.sleep(chance.uniform(0, 2))
                tally.faults["lock"] += 1
            await crowd.talk(COMMANDS - ROOMS - LOCKS * share, chance)
            await end(crowd, hub, tally)


async def test_the_key_store_locked_by_another_process(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    chance = scale.by_chance("keys")
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as hub:
        assert hub.member.client.store is not None
        hub.member.client.store.database.timeout = 0.3
        (keys,) = (tmp_path / "var" / "hub" / "keys").glob("*.db")
        async with locked(keys), asyncio.TaskGroup() as meanwhile:
            coming = gathered(homeserver, hub.member.user_id, hub.db, tmp_path, rooms=ROOMS)
            crowd = await meanwhile.create_task(coming.__aenter__())
            await crowd.talk(COMMANDS // 2, chance)
            await said(caplog, "matrix.store_unwritable")
            tally.faults["lock"] += 1
        await crowd.talk(COMMANDS - COMMANDS // 2 - ROOMS, chance)
        await end(crowd, hub, tally)
        await coming.__aexit__(None, None, None)


async def test_postgresql_locked_cut_off_and_restarted(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally
) -> None:
    chance = scale.by_chance("postgresql")
    with running_cluster() as server:
        name = await server.cluster.create()
        database = settings(homeserver, tmp_path, "").database.model_copy(
            update={"url": SecretStr(server.cluster.url(name))}
        )
        chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names), database=database)
        async with (
            in_own_task(wiring.running(chosen, lambda step: None)) as hub,
            gathered(homeserver, hub.member.user_id, hub.db, tmp_path, rooms=ROOMS) as crowd,
        ):
            share = (COMMANDS - ROOMS) // (LOCKS + 1 + RESTARTS)
            for _ in range(LOCKS):
                async with asyncio.TaskGroup() as meanwhile:
                    meanwhile.create_task(crowd.talk(share, chance))
                    await hold_every_table(server.cluster, name, seconds=chance.uniform(1, 3))
                tally.faults["tables locked"] += 1
            async with asyncio.TaskGroup() as meanwhile:
                meanwhile.create_task(crowd.talk(share, chance))
                for _ in range(BROKEN_CONNECTIONS):
                    await cut_off(server.cluster, name, chance)
                    tally.faults["connections cut"] += 1
            for restart in range(RESTARTS):
                async with asyncio.TaskGroup() as meanwhile:
                    meanwhile.create_task(crowd.talk(share, chance))
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    await asyncio.to_thread(server.restart, SIGQUIT if restart % 2 else SIGINT)
                tally.faults["server crashed" if restart % 2 else "server restarted"] += 1
            await crowd.talk(COMMANDS - ROOMS - (LOCKS + 1 + RESTARTS) * share, chance)
            await end(crowd, hub, tally)


async def hold_every_table(cluster: Cluster, database: str, seconds: float) -> None:
    """What a migration or a careless administrator does."""
    connection = await asyncpg.connect(cluster.url(database, "postgresql"))
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = ", ".join(row["tablename"] for row in rows)
    held = False
    while not held:
        # The server ends a deadlock at the cost of either side.
        with suppress(asyncpg.exceptions.DeadlockDetectedError):
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {tables}")
                held = True
                await asyncio.sleep(seconds)
    await connection.close()


async def cut_off(cluster: Cluster, database: str, chance: random.Random) -> None:
    """End every connection of the hub, whatever it is doing."""
    await asyncio.sleep(chance.uniform(0, 0.3))
    await cluster.execute(
        "postgres",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",  # noqa: S608
    )
