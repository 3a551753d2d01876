"""A clock that was set back: what was to be done in its future is not left until then."""

from __future__ import annotations

from datetime import timedelta

from hub.storage.engine import Database
from tests.storage.examples import HUB, NOW, ROOM, incoming

HOURS = timedelta(hours=3)


async def test_what_came_in_before_is_due_now(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW + HOURS)
        await tx.outbox.queue(HUB, ROOM, b"1", cause="$1", step=0, now=NOW + HOURS)
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None
        assert row.event_id == "$1"
        assert [letter.cause for letter in await tx.outbox.due(HUB, NOW, 10)] == ["$1"]


async def test_what_backs_off_still_waits_and_what_backed_off_until_hours_ahead_does_not(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await tx.outbox.queue(HUB, ROOM, b"1", cause="$1", step=0, now=NOW)
        (row,) = await tx.outbox.due(HUB, NOW, 10)
        await tx.outbox.retry(row.id, NOW + timedelta(minutes=5), "7F3K-2MQX")
        assert await tx.outbox.due(HUB, NOW, 10) == []
        await tx.outbox.retry(row.id, NOW + HOURS, "7F3K-2MQX")
        assert len(await tx.outbox.due(HUB, NOW, 10)) == 1
