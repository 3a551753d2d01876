"""Where an account's sync stands."""

from __future__ import annotations

import pytest

from hub.storage.engine import Database
from hub.storage.rows import SyncPosition
from tests.storage.examples import HUB, LATER, NOW, incoming


async def test_the_position_moves_and_the_first_start_stays(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.sync.load(HUB) is None
        await tx.sync.save(HUB, "s1", NOW)
        await tx.sync.save("@second:hub.localhost", "s9", LATER)
    async with database.transaction() as tx:
        await tx.sync.save(HUB, "s2", LATER)
        assert await tx.sync.load(HUB) == SyncPosition("s2", NOW, LATER)


async def test_the_position_never_passes_what_it_brought(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.sync.save(HUB, "s1", NOW)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.inbox.add(incoming("$1"), NOW)
            await tx.sync.save(HUB, "s2", NOW)
            raise ZeroDivisionError
    async with database.transaction() as tx:
        assert await tx.sync.load(HUB) == SyncPosition("s1", NOW, NOW)
        assert await tx.inbox.add(incoming("$1"), NOW)
