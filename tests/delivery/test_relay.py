"""The outbox gets into the rooms: once, in order, whatever fails."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from hub.delivery import relay as relaying
from hub.delivery.relay import Relay, now
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.member import NotInvited
from hub.matrix.outbound import NotInRoom
from hub.observe import Metrics
from hub.storage.engine import Database
from hub.storage.rows import OutboxRow

HUB, ROOM, OTHER = "@hub:x", "!room:x", "!other:x"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaying, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(relaying, "SILENCE_SECONDS", 0.0)
    monkeypatch.setattr(relaying, "backoff", lambda attempts: timedelta(0))


@dataclass
class Rooms:
    """What arrived where; fails as it is told to, once for each failure given."""

    arrived: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    attempts: list[str] = field(default_factory=list)
    failures: dict[bytes, list[Exception]] = field(default_factory=dict)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def deliver(self, row: OutboxRow) -> str:
        self.attempts.append(row.txn_id)
        if self.failures.get(row.payload):
            raise self.failures[row.payload].pop(0)
        async with self.news:
            self.arrived[row.room_id].append(row.payload)
            self.news.notify_all()
        return f"${row.txn_id}"

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(holds)


async def queue(db: Database, *letters: tuple[str, bytes]) -> None:
    async with db.transaction() as tx:
        for room_id, payload in letters:
            await tx.outbox.queue(HUB, room_id, payload, cause=payload.decode(), step=0, now=now())


@asynccontextmanager
async def relayed(db: Database, rooms: Rooms, max_attempts: int = 3) -> AsyncIterator[Relay]:
    relay = Relay(db, HUB, rooms.deliver, Metrics.create(), max_attempts)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_rooms_messages_arrive_in_their_order_and_no_room_waits_for_another(
    database: Database,
) -> None:
    rooms = Rooms(failures={b"a1": [ValueError()] * 2})
    await queue(database, (ROOM, b"a1"), (ROOM, b"a2"), (OTHER, b"b1"), (ROOM, b"a3"), (OTHER, b"b2"))
    async with relayed(database, rooms):
        await rooms.until(lambda: len(rooms.arrived[ROOM]) == 3 and len(rooms.arrived[OTHER]) == 2)
    assert rooms.arrived == {ROOM: [b"a1", b"a2", b"a3"], OTHER: [b"b1", b"b2"]}


async def test_every_attempt_bears_the_same_transaction_id(database: Database) -> None:
    rooms = Rooms(failures={b"a1": [ValueError(), NotInRoom()]})
    await queue(database, (ROOM, b"a1"))
    async with relayed(database, rooms):
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"a1"])
    assert len(rooms.attempts) == 3
    assert len(set(rooms.attempts)) == 1


async def test_what_fails_again_and_again_is_parked_and_its_room_goes_on(database: Database) -> None:
    rooms = Rooms(failures={b"poison": [ValueError()] * 9})
    await queue(database, (ROOM, b"poison"), (ROOM, b"next"))
    async with relayed(database, rooms, max_attempts=3):
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"next"])
    async with database.transaction() as tx:
        (parked,) = await tx.outbox.parked(HUB)
    assert parked.room_id == ROOM
    assert parked.reference
    assert len(rooms.failures[b"poison"]) == 9 - 3


@pytest.mark.parametrize(
    "failure",
    [
        Unreachable("gone"),
        MatrixError(502, {}),
        MatrixError(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1}),
    ],
)
async def test_a_homeserver_that_is_away_or_busy_is_waited_for_without_counting(
    database: Database, failure: Exception
) -> None:
    rooms = Rooms(failures={b"a1": [failure] * 10})
    await queue(database, (ROOM, b"a1"), (ROOM, b"a2"))
    async with relayed(database, rooms, max_attempts=2) as relay:
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"a1", b"a2"])
    async with database.transaction() as tx:
        assert await tx.outbox.parked(HUB) == []
    limited = isinstance(failure, MatrixError) and failure.status == 429
    assert (b'outcome="limited"} 10.0' in relay.metrics.exposition()) is limited


async def test_rooms_that_the_homeserver_fails_in_keep_nobody_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "backoff", lambda attempts: timedelta(minutes=1))
    failing = [(f"!failing{n}:x", b"fails %d" % n) for n in range(relaying.AT_ONCE)]
    rooms = Rooms(failures={payload: [MatrixError(500, {})] * 99 for _, payload in failing})
    await queue(database, *failing, (ROOM, b"a1"))
    async with relayed(database, rooms):
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"a1"])
    async with database.transaction() as tx:
        assert await tx.outbox.parked(HUB) == []


async def test_a_letter_that_the_homeserver_fails_on_for_ever_is_parked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "FAULTS", 5)
    rooms = Rooms(failures={b"a1": [MatrixError(500, {})] * 6})
    await queue(database, (ROOM, b"a1"), (ROOM, b"a2"))
    async with relayed(database, rooms, max_attempts=2):
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"a2"])
    async with database.transaction() as tx:
        (parked,) = await tx.outbox.parked(HUB)
    assert parked.room_id == ROOM


async def test_an_invitation_that_was_taken_back_leaves_nothing_to_say(database: Database) -> None:
    rooms = Rooms(failures={b"join": [NotInvited()]})
    await queue(database, (ROOM, b"join"), (ROOM, b"welcome"), (OTHER, b"b1"))
    async with relayed(database, rooms):
        await rooms.until(lambda: rooms.arrived[OTHER] == [b"b1"])
        async with asyncio.timeout(30):
            while await depth(database):
                await asyncio.sleep(0.01)
    async with database.transaction() as tx:
        assert await tx.outbox.parked(HUB) == []
    assert rooms.arrived[ROOM] == []


async def depth(db: Database) -> int:
    async with db.transaction() as tx:
        return await tx.outbox.depth(HUB)


async def test_what_is_queued_while_it_runs_is_sent_when_the_bell_rings(database: Database) -> None:
    rooms = Rooms()
    async with relayed(database, rooms) as relay:
        await queue(database, (ROOM, b"a1"))
        relay.bell.ring()
        await rooms.until(lambda: rooms.arrived[ROOM] == [b"a1"])


def test_back_off_doubles_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits = [relaying.backoff(attempts) for attempts in range(1, 30)]
    assert waits[0] == timedelta(seconds=0.2)
    assert waits[1] == 2 * waits[0]
    assert waits == sorted(waits)
    assert waits[-1] == relaying.LONGEST_WAIT
