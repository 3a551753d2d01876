"""Tests that read like chat, over a real database.

    await room.say(NURSE, "/langue en").expect("language.changed")

What is said goes the way of a message: is it addressed to the hub, who says it, what does the command
answer, in one transaction; the answer is sealed into bytes, read back and rendered as it would be for its
reader.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bots import accueil
from hub.care.directory import service as directory
from hub.care.directory.model import Person, Role, UserId
from hub.commands.answer import answer
from hub.commands.bot import Bots
from hub.commands.context import Context, RoomView
from hub.commands.parse import addressed
from hub.commands.reply import Reply
from hub.delivery.content import content
from hub.delivery.letter import Kind, Letter
from hub.locale import Language
from hub.seal import Vault
from hub.storage.engine import Database
from hub.storage.rows import Fact
from tests.support.matrix_html import tags

NURSE = Person(UserId("@nadia:chu.example"), Role.PROFESSIONAL, "Nadia Lefèvre, infirmière")
PATIENT = Person(UserId("@jeanne:ville.example"), Role.PATIENT, "Jeanne Martin")
CAREGIVER = Person(UserId("@alice:ville.example"), Role.CAREGIVER, "Alice Martin")
ADMIN = Person(UserId("@admin:chu.example"), Role.ADMIN, "Administration")
STRANGER = Person(UserId("@inconnu:ailleurs.example"), Role.UNKNOWN)

HUB_NAMES = ("Parcours", "@parcours:chu.example")
NOON = datetime(2025, 3, 3, 11, 0, tzinfo=UTC)  # a Monday; 12:00 in Paris


@dataclass(frozen=True)
class Said:
    """What the hub answered: nothing (``reply`` is None), or this, rendered for who asked."""

    reply: Reply | None
    language: Language = Language.FR
    body: str = ""
    html: str = ""
    notifies: bool = False

    @property
    def text(self) -> str:
        """``body`` with ordinary spaces, for tests to quote."""
        return self.body.replace("\u00a0", " ").replace("\u202f", " ")


@dataclass(frozen=True)
class Turn:
    """Something said and not yet answered: ``await`` it for the answer, or ``expect`` one."""

    room: Room
    person: Person
    text: str
    mentions: bool

    def __await__(self) -> Generator[Any, None, Said]:
        return self.room.hear(self).__await__()

    async def expect(self, key: str, **facts: object) -> Said:
        """The answer, which is the sentence ``key`` with (at least) these facts."""
        said = await self
        assert said.reply is not None, f"no answer to {self.text!r}, {key} was expected"
        assert said.reply.key == key, f"{said.reply.key} instead of {key}: {said.body}"
        for name, value in facts.items():
            assert said.reply.facts[name] == value
        return said

    async def expect_silence(self) -> None:
        """What was said is not for the hub."""
        said = await self
        assert said.reply is None, f"unexpected answer {said.body!r}"


@dataclass
class Room:
    """A room with the hub in it; ``direct`` when only one person is."""

    database: Database
    bots: Bots
    direct: bool = False
    room_id: str = "!salon:chu.example"
    _events: count[int] = field(default_factory=lambda: count(1))

    def say(self, person: Person, text: str, *, mentions: bool = False) -> Turn:
        """``mentions``: the client put the hub into m.mentions."""
        return Turn(self, person, text, mentions)

    async def enrol(self, *people: Person) -> None:
        async with self.database.transaction() as tx:
            for person in people:
                await directory.enrol(tx, person.user_id, person.role, person.display_name, NOON)

    async def facts(self, person: Person) -> list[Fact]:
        """What the journal tells of a person."""
        async with self.database.transaction() as tx:
            return await tx.journal.read(f"person:{person.user_id}")

    async def hear(self, turn: Turn) -> Said:
        line = addressed(
            turn.text,
            mentions_bot=turn.mentions,
            direct=self.direct,
            bot_names=HUB_NAMES,
            knows=self.bots.knows,
        )
        if line is None:
            return Said(None)
        async with self.database.transaction() as tx:
            person = await directory.find(tx, turn.person.user_id)
            reply = await answer(
                self.bots,
                Context(
                    actor=person,
                    room=RoomView(self.room_id, self.direct),
                    event_id=f"$event{next(self._events)}",
                    now=NOON,
                    tx=tx,
                    language=Language.of(person.language),
                ),
                line,
            )
            language = Language.of((await directory.find(tx, turn.person.user_id)).language)
        return _said(reply, language)


def _said(reply: Reply, language: Language) -> Said:
    for reader in Language:  # a sentence that only one language can say is found whatever the test speaks
        letter = Letter(Kind.MESSAGE, reply.key, reply.facts, language=reader, notify=reply.notify)
        message = content(Letter.from_bytes(letter.to_bytes()))
        tags(message["formatted_body"])
        if reader is language:
            said = Said(
                reply, language, message["body"], message["formatted_body"], message["msgtype"] == "m.text"
            )
    return said


@pytest_asyncio.fixture(scope="session")
async def _migrated(tmp_path_factory: pytest.TempPathFactory, vault: Vault) -> Path:
    path = tmp_path_factory.mktemp("dialogue") / "hub.db"
    database = _open(path, vault)
    await database.upgrade()
    await database.close()
    return path


@pytest_asyncio.fixture
async def dialogue_database(tmp_path: Path, vault: Vault, _migrated: Path) -> AsyncIterator[Database]:
    """A SQLite database of its own."""
    database = _open(shutil.copy(_migrated, tmp_path / "hub.db"), vault)
    yield database
    await database.close()


def _open(path: Path | str, vault: Vault) -> Database:
    return Database.open(f"sqlite+aiosqlite:///{path}", vault)


@pytest_asyncio.fixture
async def room(dialogue_database: Database) -> Room:
    """A room of several people, everybody but the stranger enrolled, with the hub's own bots."""
    room = Room(dialogue_database, Bots(accueil.bot))
    await room.enrol(NURSE, PATIENT, CAREGIVER, ADMIN)
    return room


@pytest_asyncio.fixture
async def direct(room: Room) -> Room:
    """One person and the hub, alone."""
    room.direct = True
    return room
