"""One holder an account."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hub.storage.engine import Database
from hub.storage.rows import Lease
from tests.storage.examples import HUB, LATER, NOW


async def test_the_second_holder_waits_until_the_lease_runs_out(database: Database) -> None:
    later_still = LATER + timedelta(minutes=5)
    async with database.transaction() as tx:
        assert await tx.leases.acquire(HUB, "one", NOW, LATER)
        assert not await tx.leases.acquire(HUB, "two", NOW, LATER)
        assert not await tx.leases.acquire(HUB, "two", LATER - timedelta(milliseconds=1), later_still)
    async with database.transaction() as tx:
        assert await tx.leases.acquire(HUB, "two", LATER, later_still)
        assert not await tx.leases.acquire(HUB, "one", LATER, later_still)


async def test_its_holder_renews_it(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.leases.acquire(HUB, "one", NOW, LATER)
        assert await tx.leases.acquire(HUB, "one", NOW, LATER + timedelta(minutes=5))
        assert not await tx.leases.acquire(HUB, "two", LATER, LATER + timedelta(minutes=5))


async def test_only_its_holder_gives_it_back(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.leases.acquire(HUB, "one", NOW, LATER)
        await tx.leases.release(HUB, "two")
        assert not await tx.leases.acquire(HUB, "two", NOW, LATER)
        await tx.leases.release(HUB, "one")
        assert await tx.leases.acquire(HUB, "two", NOW, LATER)


async def test_of_many_at_once_one_gets_it(database: Database) -> None:
    async def acquire(holder: str) -> bool:
        async with database.transaction() as tx:
            return await tx.leases.acquire(HUB, holder, NOW, LATER)

    taken = await asyncio.gather(*(acquire(f"process {n}") for n in range(8)))
    assert sum(taken) == 1


async def test_accounts_are_leased_apart(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.leases.acquire(HUB, "one", NOW, LATER)
        assert await tx.leases.acquire("@second:hub.localhost", "two", NOW, LATER)


async def test_anybody_may_ask_who_holds_it(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.leases.find(HUB) is None
        await tx.leases.acquire(HUB, "one", NOW, LATER)
        assert await tx.leases.find(HUB) == Lease("one", LATER)
        await tx.leases.acquire(HUB, "two", LATER, LATER + timedelta(minutes=5))
        assert await tx.leases.find(HUB) == Lease("two", LATER + timedelta(minutes=5))
