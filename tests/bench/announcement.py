"""An announcement into two hundred encrypted rooms, against plain sending by the same account.

Raw sends the very ciphertext that the hub sent, 32 at once, while the hub is stopped. Warm: the room keys are
out. Cold: as after a restart, when each room needs a new key first, one more request a room.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from operator import truediv

from hub import wiring
from hub.delivery.letter import Kind, Letter
from hub.delivery.relay import AT_ONCE, now
from hub.storage.rows import OutboxRow
from hub.terminal.person import Person
from tests.bench.figures import Figure
from tests.bench.raw import Raw
from tests.bench.stage import Stage, token_of
from tests.support.hub import settings

ROUNDS = 5
PATIENCE_SECONDS = 300.0
_CAUSES = itertools.count()


async def measure(stage: Stage, count: int) -> list[Figure]:
    """Rates, raw, cold and warm; each announcement is compared with the raw rates before and after it."""
    data = stage.new_folder("hub")
    chosen = settings(stage.homeserver, data, next(stage.homeserver.hub_names))
    async with wiring.running(chosen, lambda step: None) as hub, stage.people(4) as people:
        rooms = await _rooms(hub, people, count)
        await _announce(hub, rooms)
    cold, warm = [], []
    async with Raw.speaking(stage.homeserver.url, token_of(data)) as sender:
        raw = [await _raw(sender, rooms)]
        for _ in range(ROUNDS):
            async with wiring.running(chosen, lambda step: None) as hub:
                cold.append(await _announce(hub, rooms))
                warm.append(await _announce(hub, rooms))
            raw.append(await _raw(sender, rooms))
    around = [(before + after) / 2 for before, after in pairwise(raw)]
    return [
        Figure("raw: sent", statistics.median(raw), "/s"),
        Figure("warm: sent", statistics.median(warm), "/s"),
        Figure("cold: sent", statistics.median(cold), "/s"),
        Figure("warm / raw", statistics.median(map(truediv, warm, around)), at_least=0.8),
        Figure("cold / raw", statistics.median(map(truediv, cold, around))),
    ]


async def _raw(sender: Raw, rooms: Sequence[str]) -> float:
    ciphertext = (await sender.last_of(rooms[0]))["content"]
    return await sender.send_rate([(room_id, ciphertext) for room_id in rooms], AT_ONCE)


async def _rooms(hub: wiring.Running, people: Sequence[Person], count: int) -> list[str]:
    """Encrypted rooms of the hub with two people each; it is in all of them."""

    async def some(person: Person, guest: Person, share: int) -> list[str]:
        return [await person.meet(hub.member.user_id, guest.user_id) for _ in range(share)]

    shares = [len(range(n, count, len(people))) for n in range(len(people))]
    made = await asyncio.gather(*map(some, people, [*people[1:], people[0]], shares))
    rooms = [room_id for some_rooms in made for room_id in some_rooms]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not all(hub.member.rooms.joined(room_id) for room_id in rooms):
            await asyncio.sleep(0.2)
        while await _unsent(hub):
            await asyncio.sleep(0.2)
    return rooms


async def _announce(hub: wiring.Running, rooms: Sequence[str]) -> float:
    """One letter into each room, queued in one transaction; letters per second until the last is sent."""
    relay, sent, all_sent = hub.flow.relay, itertools.count(1), asyncio.Event()

    async def deliver(row: OutboxRow) -> str:
        event_id = await hub.flow.deliver(row)
        if next(sent) == len(rooms):
            all_sent.set()
        return event_id

    relay.deliver = deliver
    letter = Letter(Kind.MESSAGE, "welcome", notify=True).to_bytes()
    cause = f"announcement:{next(_CAUSES)}"
    began = time.perf_counter()
    async with hub.db.transaction() as tx:
        for step, room_id in enumerate(rooms):
            await tx.outbox.queue(hub.member.user_id, room_id, letter, cause=cause, step=step, now=now())
    relay.bell.ring()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await all_sent.wait()
    taken = time.perf_counter() - began
    while await _unsent(hub):
        await asyncio.sleep(0.05)
    return len(rooms) / taken


async def _unsent(hub: wiring.Running) -> int:
    async with hub.db.transaction() as tx:
        return await tx.outbox.depth(hub.member.user_id)
