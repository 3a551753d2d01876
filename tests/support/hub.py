"""A real hub for the tests: real Synapse, real encryption, in this process; and people who talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.config import Settings
from hub.delivery.relay import now
from hub.matrix.batch import Received
from hub.terminal.cast import Credentials
from hub.terminal.person import Person
from tests.support.synapse import TestHomeserver

T = TypeVar("T")


@asynccontextmanager
async def in_own_task(manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a context manager in one task: fixtures are set up and taken down in different ones."""
    ready: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def live() -> None:
        try:
            async with manager as value:
                ready.set_result(value)
                await stop.wait()
        except BaseException as failed:
            if ready.done():
                raise
            ready.set_exception(failed)

    task = asyncio.create_task(live())
    yield await ready
    stop.set()
    await task


def settings(homeserver: TestHomeserver, data: Path, localpart: str, **more: Any) -> Settings:
    """Settings of a hub on the shared homeserver."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = data / "registration-secret"
    secret.write_text(homeserver.registration_secret)
    defaults = Settings()
    return defaults.model_copy(
        update={
            "data": data,
            "homeserver": defaults.homeserver.model_copy(
                update={
                    "url": homeserver.url,
                    "server_name": homeserver.server_name,
                    "registration_secret_path": secret,
                }
            ),
            "hub": defaults.hub.model_copy(update={"localpart": localpart}),
            **more,
        }
    )


@dataclass
class TestHub:
    """A running hub, and the people who were introduced to it."""

    __test__ = False

    running: wiring.Running
    homeserver: TestHomeserver
    folder: Path
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def user_id(self) -> str:
        return self.running.member.user_id

    async def account(self, prefix: str, role: Role | None = Role.PROFESSIONAL) -> Credentials:
        """A fresh account on the homeserver, enrolled unless ``role`` is None."""
        user_id, password = await self.homeserver.new_user(prefix, professional=False)
        if role is not None:
            async with self.running.db.transaction() as tx:
                await directory.enrol(tx, user_id, role, prefix.capitalize(), now())
            await self.running.roles.publish()
        return Credentials(user_id, password, role.value if role else "", prefix.capitalize())

    async def person(self, prefix: str, role: Role | None = Role.PROFESSIONAL) -> Person:
        """A fresh person, signed in until the end of the test."""
        return await self.signed_in(await self.account(prefix, role))

    async def signed_in(self, credentials: Credentials) -> Person:
        """A person with an account, on a device of their own."""
        folder = self.folder / credentials.localpart
        manager = Person.at(self.homeserver.url, credentials, folder, self.running.master)
        return await self.stack.enter_async_context(in_own_task(manager))

    async def meeting(self, person: Person, *others: Person) -> str:
        """A room of a person with the hub (and others), everybody in it, the welcome heard."""
        room_id = await person.meet(self.user_id, *(other.user_id for other in others))
        for other in others:
            await other.until(lambda o=other: o.invitations.get(room_id))  # type: ignore[misc]
            await other.member.join(room_id)
        for one in (person, *others):
            await one.until(lambda p=one: everybody_in(p, room_id))  # type: ignore[misc]
        await person.hear(room_id, from_(self.user_id))
        return room_id

    async def ask(self, person: Person, room_id: str, text: str) -> Received:
        """Say something and wait for the reply."""
        return await person.answer_to(room_id, await person.say(room_id, text))


def everybody_in(person: Person, room_id: str) -> bool | None:
    """True once a person's client sees everybody joined."""
    room = person.member.rooms.joined(room_id)
    return True if room and set(room.members.values()) == {"join"} else None


def from_(user_id: str) -> Callable[[Received], bool]:
    """Whether a message is of this person."""
    return lambda message: message.sender == user_id


def body(message: Received) -> str:
    """What a message says."""
    return str(message.content["body"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running_hub(
    homeserver: TestHomeserver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[wiring.Running]:
    """One hub for the session: use rooms and people of your own."""
    chosen = settings(homeserver, tmp_path_factory.mktemp("hub") / "var", "parcours")
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        yield running


@pytest_asyncio.fixture
async def hub(
    running_hub: wiring.Running, homeserver: TestHomeserver, tmp_path: Path
) -> AsyncIterator[TestHub]:
    """The session's hub, and a stack of people who sign out with the test."""
    test_hub = TestHub(running_hub, homeserver, tmp_path)
    yield test_hub
    await test_hub.stack.aclose()
