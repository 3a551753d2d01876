"""People of the two establishments, on matrix-js-sdk as strict as Element: cross-signed devices only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from hub.care.directory.model import Role
from hub.terminal.cast import Credentials
from hub.terminal.person import Person
from tests.interop.conftest import JsPeople
from tests.interop.js import JsClient
from tests.support.federation import Federation
from tests.support.hub import in_own_task


class Staff:
    """Makes professionals whom the hub knows."""

    def __init__(self, federation: Federation, stack: AsyncExitStack) -> None:
        self._federation = federation
        self._stack = stack
        self.hospital = JsPeople(federation.hospital, stack)
        self.practice = JsPeople(federation.practice, stack)

    async def nurse(self) -> JsClient:
        """Somebody of the hospital."""
        return await self._enrolled(await self.hospital.new("nadia"))

    async def doctor(self) -> JsClient:
        """Somebody of the city practice."""
        return await self._enrolled(await self.practice.new("anne"))

    async def listener(self, folder: Path) -> Person:
        """Somebody of the city practice on the hub's own client code."""
        user_id, password = await self._federation.practice.new_user("anne")
        await self._federation.enrol(user_id)
        account = Credentials(user_id, password, Role.PROFESSIONAL.value, "Anne")
        signed_in = Person.at(self._federation.practice.url, account, folder, self._federation.hub.master)
        return await self._stack.enter_async_context(in_own_task(signed_in))

    async def _enrolled(self, person: JsClient) -> JsClient:
        await self._federation.enrol(person.user_id)
        return person


@pytest_asyncio.fixture
async def staff(federation: Federation) -> AsyncIterator[Staff]:
    async with AsyncExitStack() as stack:
        yield Staff(federation, stack)
