"""JavaScript clients on the tests' homeserver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest_asyncio

from tests.interop.js import Isolation, JsClient
from tests.support.synapse import TestHomeserver


class JsPeople:
    """Makes people who use matrix-js-sdk: a fresh account and one device each, until the test ends."""

    def __init__(self, homeserver: TestHomeserver, stack: AsyncExitStack) -> None:
        self._homeserver = homeserver
        self._stack = stack
        self._passwords: dict[str, str] = {}

    async def new(
        self, prefix: str, *, cross_signed: bool = True, isolation: Isolation = "only_signed"
    ) -> JsClient:
        user_id, password = await self._homeserver.new_user(prefix)
        self._passwords[user_id] = password
        client = await self.device(user_id, isolation=isolation)
        if cross_signed:
            await client.bootstrap_cross_signing(password)
        return client

    async def device(self, user_id: str, *, isolation: Isolation = "only_signed") -> JsClient:
        """One more device of somebody made by `new`; not cross-signed before it recovers its identity."""
        start = JsClient.start(self._homeserver.url, user_id, self.password(user_id), isolation=isolation)
        return await self._stack.enter_async_context(start)

    def know(self, user_id: str, password: str) -> None:
        """Somebody whose account was made elsewhere: `device` can sign in as them."""
        self._passwords[user_id] = password

    def password(self, user_id: str) -> str:
        return self._passwords[user_id]


@pytest_asyncio.fixture
async def people(homeserver: TestHomeserver) -> AsyncIterator[JsPeople]:
    async with AsyncExitStack() as stack:
        yield JsPeople(homeserver, stack)
