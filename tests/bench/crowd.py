"""A thousand commands of twenty people in fifty rooms, half of them while the hub is dead.

The raw rate is that half being said: the same people in the same rooms, each room as fast as the homeserver
takes its messages, and nobody who answers or listens. The other raw rate is what an answer costs at least: a
bare program with the hub's account sends ready-made ciphertext into these rooms, 32 at once, to people who
listen.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub.delivery.relay import AT_ONCE
from hub.matrix.batch import Received
from hub.terminal.person import Person, replies_to
from tests.bench.figures import Figure
from tests.bench.raw import Raw
from tests.bench.stage import Stage, database_of, token_of
from tests.chaos.crowd import Conversation
from tests.support.command_line import on, started, up

COMMANDS = itertools.cycle(("/bonjour", "/qui suis-je", "/aide"))
PATIENCE_SECONDS = 600.0


@dataclass
class Answers:
    """What the hub answered, as it is heard: room → the messages answered; and when the last one was."""

    hub: str
    rooms: dict[str, list[str | None]] = field(default_factory=dict)
    first: float | None = None
    last: float = 0.0

    def listen(self, people: Sequence[Person]) -> None:
        """Hear what these people hear from now on."""
        for person in people:
            person.listeners.append(self._take_in)

    def _take_in(self, message: Received) -> None:
        if message.sender == self.hub:
            self.rooms.setdefault(message.room_id, []).append(replies_to(message))
            self.last = time.perf_counter()
            self.first = self.first or self.last


async def measure(stage: Stage, commands: int, clients: int, rooms: int) -> list[Figure]:
    """What was lost and doubled, and how fast answers came, live and from the backlog."""
    data = stage.new_folder("hub")
    env = on(stage.homeserver, data, next(stage.homeserver.hub_names))
    async with up(data, env=env) as first, database_of(data) as db, stage.people(clients, db) as people:
        hub = first.ready["hub"]
        conversations = await asyncio.gather(*(_conversation(people[n % clients], hub) for n in range(rooms)))

        live = Answers(hub)
        live.listen(people)
        work = {"live: hub": _worked(first.process.pid)}
        began = time.perf_counter()
        half = commands // 2
        await _talk(conversations, half)
        await _all_answered(conversations)
        live_rate = half / (live.last - began)
        work["live: hub"] = (_worked(first.process.pid) - work["live: hub"]) / half

        first.process.kill()
        await first.process.wait()
        async with Raw.speaking(stage.homeserver.url, token_of(data)) as sender:
            bare_rate = await _bare(sender, conversations, commands - half)
        synapse = int((stage.folder / "synapse" / "homeserver.pid").read_text().split()[0])
        before, began = _worked(synapse), time.perf_counter()
        await _talk(conversations, commands - half)
        raw_rate = (commands - half) / (time.perf_counter() - began)
        work["raw: Synapse"] = (_worked(synapse) - before) / (commands - half)

        backlog = Answers(hub)
        backlog.listen(people)
        before = _worked(synapse)
        async with started(data, env=env) as second:
            await second.told.wait()
            back = time.perf_counter()
            await _all_answered(conversations)
            work["backlog: Synapse"] = (_worked(synapse) - before) / (commands - half)
        # The first answers may leave before the hub has said that it is ready.
        backlog_rate = (commands - half) / (backlog.last - min(back, backlog.first or back))
    wrong = [_wrong(conversation, hub) for conversation in conversations]
    return [
        Figure("commands", commands),
        Figure("lost", sum(lost for lost, _, _ in wrong), at_most=0),
        Figure("doubled", sum(doubled for _, doubled, _ in wrong), at_most=0),
        Figure("rooms whose answers came out of order", sum(disorder for _, _, disorder in wrong), at_most=0),
        Figure("raw: sent", raw_rate, "/s"),
        Figure("raw: sent by the hub's account, to people who listen", bare_rate, "/s"),
        Figure("backlog: answered", backlog_rate, "/s"),
        Figure("live: answered", live_rate, "/s"),
        Figure("backlog: answered / raw", backlog_rate / raw_rate, at_least=0.7),
        Figure("backlog: answered / raw, by the hub's account", backlog_rate / bare_rate, at_least=0.7),
        Figure("live: commands and answers / raw", 2 * live_rate / raw_rate, at_least=0.7),
        Figure("live: answers / raw", live_rate / raw_rate),
        *(Figure(f"{who}, processor time a message", 1000 * each, "ms") for who, each in work.items()),
    ]


async def _conversation(person: Person, hub: str) -> Conversation:
    """A room with the hub, in which both have each other's keys."""
    conversation = Conversation(person, (), await person.meet(hub))
    await person.answer_to(conversation.room_id, await conversation.say("/bonjour"))
    return conversation


async def _talk(conversations: Sequence[Conversation], commands: int) -> None:
    """So many commands, spread evenly, all rooms at the same time."""
    shares = [len(range(n, commands, len(conversations))) for n in range(len(conversations))]

    async def talk(conversation: Conversation, share: int) -> None:
        for _ in range(share):
            await conversation.say(next(COMMANDS))

    await asyncio.gather(*map(talk, conversations, shares))


async def _bare(sender: Raw, conversations: Sequence[Conversation], messages: int) -> float:
    """Messages per second of the hub's account without a hub: its last answer to each room, over again."""
    last = {one.room_id: (await sender.last_of(one.room_id))["content"] for one in conversations}
    turns = list(itertools.islice(itertools.cycle(conversations), messages))
    before = Counter({one.speaker.user_id: len(one.speaker.heard) for one in conversations})
    after = before + Counter(one.speaker.user_id for one in turns)
    rate = await sender.send_rate([(one.room_id, last[one.room_id]) for one in turns], AT_ONCE)
    for speaker in {one.speaker.user_id: one.speaker for one in conversations}.values():
        await speaker.until(lambda s=speaker: len(s.heard) >= after[s.user_id] or None)  # type: ignore[misc]
        del speaker.heard[before[speaker.user_id] :]
    return rate


async def _all_answered(conversations: Sequence[Conversation]) -> None:
    """Until the last command of each room is answered: what comes before it has come by then."""
    for one in conversations:
        await one.speaker.answer_to(one.room_id, one.said[-1][0], PATIENCE_SECONDS)


def _wrong(conversation: Conversation, hub: str) -> tuple[int, int, int]:
    """How many commands were not answered, how many twice, and whether the order is another (0 or 1)."""
    said = [event_id for event_id, _ in conversation.said]
    heard = [one for one in conversation.answered(conversation.speaker, hub) if one is not None]
    times = Counter(heard)
    lost = sum(1 for event_id in said if event_id not in times)
    doubled = sum(1 for count in times.values() if count > 1)
    return lost, doubled, int(list(dict.fromkeys(heard)) != [one for one in said if one in times])


def _worked(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
