"""Events that wait for their key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hub.storage.engine import Database
from tests.storage.examples import HUB, LATER, NOW, OTHER_ROOM, ROOM, undecryptable


async def test_an_event_waits_once_and_comes_out_as_it_went_in(database: Database) -> None:
    event = undecryptable("$1")
    async with database.transaction() as tx:
        assert await tx.waiting.add(event)
        assert not await tx.waiting.add(event)
    async with database.transaction() as tx:
        assert await tx.waiting.all(HUB) == [event]
        assert await tx.waiting.all("@second:hub.localhost") == []


async def test_a_key_opens_the_events_of_its_session_only(database: Database) -> None:
    mine = [undecryptable("$1"), undecryptable("$2", since=LATER)]
    async with database.transaction() as tx:
        for event in (
            *reversed(mine),
            undecryptable("$3", session_id="autre"),
            undecryptable("$4", room_id=OTHER_ROOM),
        ):
            await tx.waiting.add(event)
        assert await tx.waiting.for_session(HUB, ROOM, "séance") == mine
        await tx.waiting.remove(HUB, "$1")
        assert await tx.waiting.for_session(HUB, ROOM, "séance") == mine[1:]
        assert len(await tx.waiting.all(HUB)) == 3


async def test_a_sender_is_told_once(database: Database) -> None:
    old, young = undecryptable("$1"), undecryptable("$2", since=LATER)
    async with database.transaction() as tx:
        await tx.waiting.add(old)
        await tx.waiting.add(young)
        assert await tx.waiting.overdue(HUB, NOW) == []
        assert await tx.waiting.overdue(HUB, NOW + timedelta(seconds=1)) == [old]
        await tx.waiting.told(HUB, "$1")
        assert await tx.waiting.overdue(HUB, LATER) == []
        # it still waits: its key may come yet
        assert await tx.waiting.count(HUB) == 2
        assert await tx.waiting.count_since(HUB, LATER) == 1
        assert await tx.waiting.all(HUB) == [replace(old, told=True), young]
        await tx.waiting.purge(HUB, LATER + timedelta(seconds=1))
        assert await tx.waiting.all(HUB) == [young]  # whose sender knows nothing yet
