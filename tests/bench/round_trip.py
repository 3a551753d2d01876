"""From a command to its answer, decrypted, in an encrypted room; against two plain deliveries.

Plain: a message is sent, a process that sees it sends a reply, the reply is seen. Samples of all ways take
turns, one after the other, so that whatever else the machine does happens to all of them.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping

from hub.matrix.trust import Policy
from hub.terminal.person import Person
from tests.bench.echo import echo
from tests.bench.figures import Figure, percentile
from tests.bench.raw import Raw
from tests.bench.stage import Stage, database_of
from tests.support.command_line import on, up

WARM_UP = 15
COMMANDS = itertools.cycle(("/bonjour", "/qui suis-je", "/aide"))

Way = Callable[[], Awaitable[None]]


class Caller:
    """Sends plain messages and waits for the reply to each."""

    def __init__(self, raw: Raw, user_id: str, room_id: str) -> None:
        self._raw, self._user_id, self._room_id = raw, user_id, room_id
        self._heard = asyncio.Condition()
        self._replies: set[str] = set()

    async def listen(self) -> None:
        """Sync until cancelled."""
        since = (await self._raw.sync(None))["next_batch"]
        while True:
            news = await self._raw.sync(since)
            since = news["next_batch"]
            room = news.get("rooms", {}).get("join", {}).get(self._room_id, {})
            async with self._heard:
                for event in room.get("timeline", {}).get("events", ()):
                    if event["type"] == "m.room.message" and event["sender"] != self._user_id:
                        self._replies.add(event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"])
                self._heard.notify_all()

    async def round(self) -> None:
        """One message and its reply."""
        content = {"msgtype": "m.text", "body": "/bonjour", "m.mentions": {}}
        event_id = await self._raw.send(self._room_id, "m.room.message", content)
        async with asyncio.timeout(60), self._heard:
            await self._heard.wait_for(lambda: event_id in self._replies)


async def measure(stage: Stage, samples: int) -> list[Figure]:
    """p50 and p95 of each way, and their ratios."""
    data = stage.new_folder("hub")
    url = stage.homeserver.url
    async with (
        up(data, env=on(stage.homeserver, data, next(stage.homeserver.hub_names))) as hub,
        database_of(data) as db,
        stage.people(2, db) as (person, friend_of_nio),
        stage.raw("appelant") as (caller, caller_id, _),
        stage.raw("echo") as (other, other_id, other_token),
    ):
        room_id = await person.meet(hub.ready["hub"])
        await person.hear(room_id, lambda message: message.sender == hub.ready["hub"])
        plain_room = await caller.create_room(other_id)
        await other.call("POST", f"/_matrix/client/v3/join/{plain_room}", {})
        bot_id, bot_password = await stage.account("nio")
        friend_of_nio.member.trust.policy = Policy(require_cross_signed=False)  # nio's bot vouches for nobody
        async with echo("plain", url, other_id, other_token), echo("nio", url, bot_id, bot_password):
            floor = Caller(caller, caller_id, plain_room)
            listening = asyncio.create_task(floor.listen())
            nio_room = await friend_of_nio.meet(bot_id)
            await friend_of_nio.until(lambda: joined(friend_of_nio, nio_room, bot_id))
            ways: Mapping[str, Way] = {
                "plain": floor.round,
                "hub": lambda: ask_hub(person, room_id),
                "nio": lambda: ask_nio(friend_of_nio, nio_room, bot_id),
            }
            try:
                taken = await _in_turns(ways, samples)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
    return _figures(taken)


def _figures(taken: Mapping[str, list[float]]) -> list[Figure]:
    p50, p95 = ({way: percentile(times, share) for way, times in taken.items()} for share in (0.5, 0.95))
    return [
        *(Figure(f"{way}: p50", p50[way] * 1000, "ms") for way in taken),
        *(Figure(f"{way}: p95", p95[way] * 1000, "ms") for way in taken),
        Figure("hub / plain: p50", p50["hub"] / p50["plain"], at_most=1.15),
        Figure("hub / plain: p95", p95["hub"] / p95["plain"], at_most=1.3),
        Figure("nio's bot, that checks and stores nothing / plain: p50", p50["nio"] / p50["plain"]),
        Figure("nio's bot, that checks and stores nothing / plain: p95", p95["nio"] / p95["plain"]),
    ]


async def _in_turns(ways: Mapping[str, Way], samples: int) -> dict[str, list[float]]:
    """Seconds that each way took, ``samples`` times, each time in another order."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    orders = itertools.cycle(itertools.permutations(ways))
    for n in range(WARM_UP + samples):
        for way in next(orders):
            began = time.perf_counter()
            await ways[way]()
            if n >= WARM_UP:
                taken[way].append(time.perf_counter() - began)
    return taken


async def ask_hub(person: Person, room_id: str) -> None:
    """One command, until its answer is decrypted."""
    await person.answer_to(room_id, await person.say(room_id, next(COMMANDS)))


async def ask_nio(person: Person, room_id: str, bot_id: str) -> None:
    """One message, until the bot's is decrypted."""
    before = len(person.heard)
    await person.say(room_id, next(COMMANDS))
    await person.until(lambda: True if any(m.sender == bot_id for m in person.heard[before:]) else None)


def joined(person: Person, room_id: str, user_id: str) -> bool | None:
    """True once a person sees another in the room."""
    room = person.member.rooms.joined(room_id)
    return True if room and room.members.get(user_id) == "join" else None
