"""People of the two establishments, on matrix-js-sdk as strict as Element: cross-signed devices only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.interop.conftest import JsPeople
from tests.interop.js import JsClient
from tests.support.federation import Federation


class Staff:
    """Makes professionals whom the hub knows."""

    def __init__(self, federation: Federation, stack: AsyncExitStack) -> None:
        self._federation = federation
        self.hospital = JsPeople(federation.hospital, stack)
        self.practice = JsPeople(federation.practice, stack)

    async def nurse(self) -> JsClient:
        """Somebody of the hospital."""
        return await self._enrolled(await self.hospital.new("nadia"))

    async def doctor(self) -> JsClient:
        """Somebody of the city practice."""
        return await self._enrolled(await self.practice.new("anne"))

    async def _enrolled(self, person: JsClient) -> JsClient:
        await self._federation.enrol(person.user_id)
        return person


@pytest_asyncio.fixture
async def staff(federation: Federation) -> AsyncIterator[Staff]:
    async with AsyncExitStack() as stack:
        yield Staff(federation, stack)
