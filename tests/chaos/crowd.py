"""People who go on talking to a hub while it, or the homeserver, comes and goes; and what came of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from hub.care.directory import service as directory
from hub.care.directory.model import Role, UserId, stream
from hub.delivery.relay import now
from hub.matrix.client import MatrixError, Unreachable
from hub.seal import MasterKey
from hub.storage.engine import Database
from hub.terminal.cast import Credentials
from hub.terminal.person import Person, replies_to
from tests.chaos.tally import Tally
from tests.support.synapse import TestHomeserver

COMMANDS = ("/bonjour", "/aide", "/langue en", "/langue fr", "/qui suis-je")
PATIENCE_SECONDS = 600.0  # forty short lives leave hundreds of answers for the last one


@dataclass
class Conversation:
    """A room in which one person speaks, and others may listen."""

    speaker: Person
    listeners: Sequence[Person]
    room_id: str
    said: list[tuple[str, str]] = field(default_factory=list)
    """(event id, command), in the order of the room."""

    async def say(self, text: str) -> str:
        """Say something for certain: whatever the homeserver is doing just now, once in the end."""
        content, txn_id = {"msgtype": "m.text", "body": text, "m.mentions": {}}, uuid4().hex
        while True:
            try:
                event_id = await self.speaker.member.outbound.send(
                    self.room_id, "m.room.message", content, txn_id
                )
            except (Unreachable, MatrixError):
                await asyncio.sleep(0.1)
            else:
                self.said.append((event_id, text))
                return event_id

    def answered(self, hearer: Person, hub: str) -> list[str | None]:
        """What each message of the hub in this room answers, as ``hearer`` heard them."""
        return [
            replies_to(message)
            for message in hearer.heard
            if message.room_id == self.room_id and message.sender == hub
        ]

    def language_changes(self) -> list[str]:
        """The commands that had something to change: from one language to the other."""
        changes, language = [], None
        for event_id, text in self.said:
            if text.startswith("/langue") and text != language:
                changes.append(event_id)
                language = text
        return changes


@dataclass
class Crowd:
    """Everybody who talks, each in a room of their own."""

    hub: str
    conversations: list[Conversation]

    async def talk(self, commands: int, chance: random.Random) -> None:
        """Say so many commands, spread over the rooms, each room at its own speed."""
        texts = [chance.choice(COMMANDS) for _ in range(commands)]
        shares = [texts[n :: len(self.conversations)] for n in range(len(self.conversations))]
        await asyncio.gather(*map(self._talk, self.conversations, shares))

    async def _talk(self, conversation: Conversation, texts: Sequence[str]) -> None:
        for text in texts:
            await conversation.say(text)

    async def has_said(self, more: int) -> None:
        """Wait until they have said so many more commands."""
        wanted = self._said() + more
        while self._said() < wanted:
            await asyncio.sleep(0.01)

    def _said(self) -> int:
        return sum(len(conversation.said) for conversation in self.conversations)

    async def wait_for_the_last_answers(self) -> None:
        """A last command in each room, until its answer is there: what comes before it has come by then."""
        for conversation in self.conversations:
            last = await conversation.say("/bonjour")
            for hearer in (conversation.speaker, *conversation.listeners):
                await hearer.answer_to(conversation.room_id, last, PATIENCE_SECONDS)

    def judge(self, tally: Tally) -> None:
        """Count into ``tally``, then assert: each room was welcomed once, and each command answered once, in
        order, as all who listen heard it."""
        for conversation in self.conversations:
            expected = [None, *(event_id for event_id, _ in conversation.said)]
            times = Counter(conversation.answered(conversation.speaker, self.hub))
            answered = sum(times[event_id] > 0 for event_id in expected[1:])
            tally.commands += len(conversation.said)
            tally.answered += answered
            tally.lost += len(conversation.said) - answered
            tally.doubled += sum(times.values()) - len(times)
            tally.undecryptable += len(conversation.speaker._unread)
        for conversation in self.conversations:
            expected = [None, *(event_id for event_id, _ in conversation.said)]
            for hearer in (conversation.speaker, *conversation.listeners):
                heard = conversation.answered(hearer, self.hub)
                assert [one for one in expected if one not in heard] == [], "lost"
                assert [one for one, number in Counter(heard).items() if number > 1] == [], "doubled"
                assert [expected.index(one) for one in heard] == list(range(len(expected))), "out of order"
        assert tally.undecryptable == 0

    async def check_books(self, db: Database) -> None:
        """Nothing parked, nothing left over, and what commands changed was changed once each."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._unfinished(db):  # a message is in its room before it is ticked off
                await asyncio.sleep(0.05)
        async with db.transaction() as tx:
            assert await tx.inbox.parked(self.hub) == []
            assert await tx.outbox.parked(self.hub) == []
            assert await tx.waiting.all(self.hub) == []
            for conversation in self.conversations:
                facts = await tx.journal.read(stream(UserId(conversation.speaker.user_id)))
                changes = [fact.cause for fact in facts if fact.name == "LanguageChosen"]
                assert changes == conversation.language_changes()
                assert await tx.journal.verify(stream(UserId(conversation.speaker.user_id)))

    async def _unfinished(self, db: Database) -> int:
        async with db.transaction() as tx:
            return await tx.inbox.depth(self.hub) + await tx.outbox.depth(self.hub)


@asynccontextmanager
async def gathered(
    homeserver: TestHomeserver, hub: str, db: Database, folder: Path, *, rooms: int, guests: int = 2
) -> AsyncIterator[Crowd]:
    """People with accounts and roles, each in an encrypted room with the hub, some rooms with a guest.

    Nobody waits for the hub to come in: what is said before it does is said to it all the same.
    """
    key = MasterKey.generate()

    async def person(stack: AsyncExitStack) -> Person:
        user_id, password = await homeserver.new_user("foule")
        async with db.transaction() as tx:
            await directory.enrol(tx, user_id, Role.PROFESSIONAL, "Foule", now())
        credentials = Credentials(user_id, password, Role.PROFESSIONAL.value, "Foule")
        return await stack.enter_async_context(
            Person.at(homeserver.url, credentials, folder / credentials.localpart, key)
        )

    async with AsyncExitStack() as stack:
        people = [await person(stack) for _ in range(rooms)]
        conversations = []
        for n, speaker in enumerate(people):
            listeners = [people[n - 1]] if n < guests else []
            room_id = await speaker.meet(hub, *(one.user_id for one in listeners))
            for one in listeners:
                await one.until(lambda one=one, room_id=room_id: one.invitations.get(room_id))  # type: ignore[misc]
                await one.member.join(room_id)
            conversations.append(Conversation(speaker, listeners, room_id))
        yield Crowd(hub, conversations)
