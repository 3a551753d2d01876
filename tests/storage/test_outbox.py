"""Each message queued once, sent in the order of its room."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from hub.storage.engine import Database
from hub.storage.rows import OutboxRow
from hub.storage.unit_of_work import UnitOfWork
from tests.storage.examples import HUB, LATER, NOW, OTHER_ROOM, ROOM
from tests.support.databases import Backend

WORDS = "Votre rendez-vous est réservé.".encode()


async def queue(tx: UnitOfWork, cause: str, room_id: str = ROOM, *, step: int = 0) -> str:
    return await tx.outbox.queue(HUB, room_id, WORDS, cause=cause, step=step, now=NOW)


def causes(rows: list[OutboxRow]) -> list[str | None]:
    return [row.cause for row in rows]


async def test_a_message_comes_out_as_it_went_in(database: Database) -> None:
    async with database.transaction() as tx:
        txn_id = await queue(tx, "$1")
    async with database.transaction() as tx:
        (row,) = await tx.outbox.due(HUB, NOW, 10)
    assert row == OutboxRow(row.id, HUB, ROOM, txn_id, WORDS, "$1", 0, None)
    assert re.fullmatch(r"[A-Za-z0-9_-]{20,}", txn_id)  # it goes into a URL


async def test_the_same_step_of_the_same_cause_is_queued_once(database: Database) -> None:
    async with database.transaction() as tx:
        first = await queue(tx, "$1")
        assert await queue(tx, "$1") == first
        assert await queue(tx, "$1", step=1) != first
        assert await queue(tx, "$2") != first
    async with database.transaction() as tx:
        assert await queue(tx, "$1") == first
        assert await tx.outbox.depth(HUB) == 3


async def test_what_was_sent_is_not_queued_again_and_its_words_are_gone(
    database: Database, backend: Backend
) -> None:
    async with database.transaction() as tx:
        await queue(tx, "$1")
        (row,) = await tx.outbox.due(HUB, NOW, 10)
        await tx.outbox.sent(row.id, "$sent", NOW)
    async with database.transaction() as tx:
        assert await queue(tx, "$1") == row.txn_id
        assert await tx.outbox.due(HUB, LATER, 10) == []
        assert await tx.outbox.depth(HUB) == 0
    assert await backend.execute("SELECT payload, event_id FROM outbox") == [(b"", "$sent")]


async def test_one_row_a_room_the_oldest_and_rooms_in_that_order(database: Database) -> None:
    async with database.transaction() as tx:
        for cause, room in (("$1", ROOM), ("$2", OTHER_ROOM), ("$3", ROOM), ("$4", "!third")):
            await queue(tx, cause, room)
        assert causes(await tx.outbox.due(HUB, NOW, 10)) == ["$1", "$2", "$4"]
        assert causes(await tx.outbox.due(HUB, NOW, 2)) == ["$1", "$2"]
        assert await tx.outbox.due("@second:hub.localhost", NOW, 10) == []


async def test_a_room_waits_for_its_row_in_back_off_and_other_rooms_do_not(database: Database) -> None:
    async with database.transaction() as tx:
        await queue(tx, "$1")
        await queue(tx, "$2")
        await queue(tx, "$3", OTHER_ROOM)
        first, _ = await tx.outbox.due(HUB, NOW, 10)
        await tx.outbox.retry(first.id, LATER, "7F3K-2MQX")
    async with database.transaction() as tx:
        assert causes(await tx.outbox.due(HUB, LATER - timedelta(milliseconds=1), 10)) == ["$3"]
        again, _ = await tx.outbox.due(HUB, LATER, 10)
        assert (again.cause, again.attempts, again.payload) == ("$1", 1, WORDS)


async def test_a_parked_row_lets_its_room_go_on_and_can_be_brought_back(database: Database) -> None:
    async with database.transaction() as tx:
        await queue(tx, "$1")
        await queue(tx, "$2")
        (first,) = await tx.outbox.due(HUB, NOW, 10)
        await tx.outbox.park(first.id, "7F3K-2MQX", NOW)
    async with database.transaction() as tx:
        assert causes(await tx.outbox.due(HUB, NOW, 10)) == ["$2"]
        (parked,) = await tx.outbox.parked(HUB)
        assert (parked.id, parked.reference, parked.at) == (first.id, "7F3K-2MQX", NOW)
        assert await tx.outbox.bring_back(HUB, parked.id, NOW)
        (back,) = await tx.outbox.due(HUB, NOW, 10)
        assert (back.cause, back.txn_id, back.payload) == ("$1", first.txn_id, first.payload)
        await tx.outbox.park(back.id, "7F3K-2MQX", NOW)
        assert await tx.outbox.drop(HUB, back.id, NOW)
        assert not await tx.outbox.drop(HUB, back.id, NOW)
        assert causes(await tx.outbox.due(HUB, NOW, 10)) == ["$2"]


async def test_a_rolled_back_reply_is_never_sent(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await queue(tx, "$1")
            raise ZeroDivisionError
    async with database.transaction() as tx:
        assert await tx.outbox.due(HUB, NOW, 10) == []
