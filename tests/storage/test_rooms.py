"""What an account knows of its rooms."""

from __future__ import annotations

from hub.storage.engine import Database
from tests.storage.examples import HUB, OTHER_ROOM, ROOM


async def test_a_room_is_known_as_it_was_last_saved(database: Database) -> None:
    async with database.transaction() as tx:
        assert await tx.rooms.all(HUB) == {}
        await tx.rooms.save(HUB, ROOM, b"two members")
        await tx.rooms.save(HUB, OTHER_ROOM, b"")
        await tx.rooms.save("@second:hub.localhost", ROOM, b"its own view")
    async with database.transaction() as tx:
        await tx.rooms.save(HUB, ROOM, b"three members")
        assert await tx.rooms.all(HUB) == {ROOM: b"three members", OTHER_ROOM: b""}


async def test_an_erased_room_is_left_out_until_it_is_saved_again(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.rooms.save(HUB, ROOM, b"two members")
        await tx.rooms.save(HUB, OTHER_ROOM, b"neighbours")
        await tx.keys.erase(ROOM)
    async with database.transaction() as tx:
        assert await tx.rooms.all(HUB) == {OTHER_ROOM: b"neighbours"}
        await tx.rooms.save(HUB, ROOM, b"anew")
        assert (await tx.rooms.all(HUB))[ROOM] == b"anew"
