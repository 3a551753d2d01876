"""Exactly one process speaks for an account."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta

import pytest
import time_machine

from hub import lease
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.lease import Holder
from hub.storage.engine import Database
from tests.support.databases import Backend

ACCOUNT = "@hub:x"


@pytest.fixture
def other() -> subprocess.Popen[bytes]:
    """Another process, alive."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


async def test_a_living_process_is_not_pushed_aside_and_a_dead_one_is_not_waited_for(
    database: Database, other: subprocess.Popen[bytes]
) -> None:
    holder = Holder.of(other.pid)
    assert holder is not None
    async with database.transaction() as tx:
        assert await tx.leases.acquire(ACCOUNT, str(holder), now(), now() + lease.LASTS)
    with pytest.raises(OperatorError) as refused:
        async with lease.held(database, ACCOUNT, os.getpid()):
            pass
    assert refused.value.code == "lease.held"
    other.kill()
    other.wait()
    async with lease.held(database, ACCOUNT, os.getpid()) as ours, database.transaction() as tx:
        found = await tx.leases.find(ACCOUNT)
        assert found is not None and found.holder == str(ours)
    async with database.transaction() as tx:
        assert await tx.leases.find(ACCOUNT) is None


async def test_a_holder_elsewhere_is_waited_for_until_its_lease_ends(database: Database) -> None:
    elsewhere = Holder("another-machine", 1, 1)
    assert not elsewhere.dead
    async with database.transaction() as tx:
        await tx.leases.acquire(ACCOUNT, str(elsewhere), now(), now() + lease.LASTS)
    with pytest.raises(OperatorError):
        async with lease.held(database, ACCOUNT, os.getpid()):
            pass


async def test_a_lease_that_is_lost_ends_the_hub(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.01)
    async with lease.held(database, ACCOUNT, os.getpid()) as holder:
        renewing = asyncio.create_task(lease.renewed(database, ACCOUNT, holder))
        async with database.transaction() as tx:
            await tx.leases.release(ACCOUNT, str(holder))
            await tx.leases.acquire(ACCOUNT, str(Holder("other", 1, 1)), now(), now() + lease.LASTS)
        with pytest.raises(OperatorError) as lost:
            await asyncio.wait_for(renewing, 20)
        assert lost.value.code == "lease.lost"


def test_a_process_that_got_the_number_of_another_is_not_taken_for_it() -> None:
    me = Holder.of(os.getpid())
    assert me is not None
    assert not me.dead
    assert Holder.parse(str(me)) == me
    assert Holder(me.host, me.pid, me.started - 1).dead


async def test_a_process_that_slept_through_its_lease_writes_nothing_more(database: Database) -> None:
    async with lease.held(database, ACCOUNT, os.getpid()) as holder:
        spoken = lease.Spoken(database, ACCOUNT, holder)
        async with spoken.transaction() as tx:
            await tx.sync.save(ACCOUNT, "ours", now())
        async with database.transaction() as tx:
            later = now() + 2 * lease.LASTS
            assert await tx.leases.acquire(ACCOUNT, str(Holder("other", 1, 1)), later, later)
        with pytest.raises(OperatorError) as lost:
            async with spoken.transaction() as tx:
                await tx.sync.save(ACCOUNT, "too late", now())
        assert lost.value.code == "lease.lost"
        async with database.transaction() as tx:
            position = await tx.sync.load(ACCOUNT)
    assert position is not None
    assert position.next_batch == "ours"


def away(*_: object) -> None:
    raise OperatorError("database.full")


async def test_a_clock_that_jumps_while_the_database_is_away_takes_nothing_from_us(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.01)
    async with lease.held(database, ACCOUNT, os.getpid()) as holder:
        renewing = asyncio.create_task(lease.renewed(database, ACCOUNT, holder))
        await asyncio.sleep(0)  # it has begun
        with monkeypatch.context() as outage, time_machine.travel(now() + timedelta(hours=5), tick=True):
            outage.setattr(database, "transaction", away)
            done, _ = await asyncio.wait([renewing], timeout=0.5)
            assert not done
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)


async def test_a_full_disk_ends_the_hub_only_where_another_machine_could_take_over(
    database: Database, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(lease, "LASTS", timedelta(seconds=0.2))
    async with lease.held(database, ACCOUNT, os.getpid()) as holder:
        renewing = asyncio.create_task(lease.renewed(database, ACCOUNT, holder))
        with monkeypatch.context() as outage:
            outage.setattr(database, "transaction", away)
            done, _ = await asyncio.wait([renewing], timeout=1)
        if backend.name == "sqlite":
            await asyncio.sleep(0.1)
            assert not renewing.done()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        else:
            assert done
            failed = renewing.exception()
            assert isinstance(failed, OperatorError)
            assert failed.code == "database.full"  # and not that another hub has it
