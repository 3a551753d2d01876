"""A process that writes, for ``test_kill.py`` to kill. It says on its standard output how far it came."""

from __future__ import annotations

import asyncio
import sys
from typing import NoReturn

from hub.seal import MasterKey, Vault
from hub.storage import migrations
from hub.storage.engine import Database
from hub.storage.unit_of_work import UnitOfWork
from tests.storage.examples import HUB, NOW, NURSE, ROOM, incoming


async def one_step(tx: UnitOfWork, number: int) -> None:
    """Two events in, one dealt with; each step leaves the same amount of everything."""
    await tx.sync.save(HUB, str(number), NOW)
    for event_id in (f"${number}a", f"${number}b"):
        await tx.inbox.add(incoming(event_id), NOW)
    row = await tx.inbox.next(HUB, NOW)
    assert row is not None
    await tx.journal.append("p", "Happened", b"words", at=NOW, by=NURSE, cause=row.event_id)
    await tx.outbox.queue(HUB, ROOM, b"words", cause=row.event_id, step=0, now=NOW)
    await tx.inbox.done(row.id, NOW)


async def steadily(database: Database) -> NoReturn:
    number = 0
    while True:
        number += 1
        async with database.transaction() as tx:
            await one_step(tx, number)
        print(number, flush=True)


async def half(database: Database) -> None:
    async with database.transaction() as tx:
        await one_step(tx, 1)
        print("in the middle", flush=True)
        await asyncio.Event().wait()


async def migrating(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.connection.run_sync(migrations.upgrade)
        print("in the middle", flush=True)
        await asyncio.Event().wait()


async def erasing(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.keys.erase("p")
        print("in the middle", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    master = MasterKey.from_env()
    assert master is not None
    victim = {"steadily": steadily, "half": half, "migrating": migrating, "erasing": erasing}[sys.argv[2]]
    asyncio.run(victim(Database.open(sys.argv[1], Vault(master))))
