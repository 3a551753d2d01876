"""A process killed at any moment leaves each of its transactions done, or not begun."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hub.errors import OperatorError
from hub.seal import MasterKey, Vault
from hub.storage.engine import Database
from tests.storage.examples import HUB, NOW
from tests.storage.victim import one_step
from tests.support.databases import Backend

pytestmark = pytest.mark.chaos


@asynccontextmanager
async def reopened(url: str, vault: Vault) -> AsyncIterator[Database]:
    database = Database.open(url, vault)
    try:
        yield database
    finally:
        await database.close()


async def kill_after(lines: int, backend: Backend, master: MasterKey, what: str) -> list[str]:
    """Start a victim, kill -9 it once it has written this many lines; all the lines that it wrote."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.storage.victim",
        backend.url,
        what,
        env={**os.environ, "PARCOURS_MASTER_KEY": master._secret.hex()},
        stdout=asyncio.subprocess.PIPE,
    )
    assert victim.stdout is not None
    written = [await victim.stdout.readline() for _ in range(lines)]
    victim.kill()
    written += (await victim.stdout.read()).splitlines()
    assert await victim.wait() == -9
    return [line.decode().strip() for line in written if line]


async def test_in_the_middle_of_a_transaction(backend: Backend, master: MasterKey, vault: Vault) -> None:
    assert await kill_after(1, backend, master, "half") == ["in the middle"]
    async with reopened(backend.url, vault) as database:
        await database.check()
        async with database.transaction() as tx:
            assert await tx.sync.load(HUB) is None
            assert await tx.inbox.depth(HUB) == await tx.outbox.depth(HUB) == 0
            assert await tx.journal.read("p") == []
            await one_step(tx, 1)  # and the same can be done again
            assert await tx.inbox.depth(HUB) == 1


@pytest.mark.parametrize("steps", [1, 7, 20])
async def test_at_any_moment_of_steady_work(
    backend: Backend, master: MasterKey, vault: Vault, steps: int
) -> None:
    reported = int((await kill_after(steps, backend, master, "steadily"))[-1])
    async with reopened(backend.url, vault) as database:
        await database.check()
        async with database.transaction() as tx:
            position = await tx.sync.load(HUB)
            assert position is not None
            done = int(position.next_batch)
            assert done in (reported, reported + 1)  # it may have died between its commit and its word
            assert await tx.inbox.depth(HUB) == done  # two came with each step, one was dealt with
            assert await tx.outbox.depth(HUB) == done
            assert len(await tx.journal.read("p")) == done
            assert await tx.journal.verify("p")
            row = await tx.inbox.next(HUB, NOW)
            assert row is not None and row.attempts == 0


async def test_in_the_middle_of_a_migration(empty: Backend, master: MasterKey, vault: Vault) -> None:
    assert await kill_after(1, empty, master, "migrating") == ["in the middle"]
    async with reopened(empty.url, vault) as database:
        with pytest.raises(OperatorError) as outdated:
            await database.check()
        assert outdated.value.code == "database.outdated"
        await database.upgrade()
        await database.check()


async def test_in_the_middle_of_an_erasure(backend: Backend, master: MasterKey, vault: Vault) -> None:
    async with reopened(backend.url, vault) as database, database.transaction() as tx:
        await one_step(tx, 1)
    assert await kill_after(1, backend, master, "erasing") == ["in the middle"]
    async with reopened(backend.url, vault) as database, database.transaction() as tx:
        assert [fact.payload for fact in await tx.journal.read("p")] == [b"words"]
