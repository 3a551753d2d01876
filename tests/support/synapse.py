"""A real Synapse for the tests: one for the whole session, accounts on it, and requests to it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
import pytest_asyncio

from hub.homeserver import accounts
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.homeserver.roles import PublishedRoles

SERVER_NAME = "hub.localhost"
HUB_NAMES = ("parcours", "inscriptions", *(f"hub-{n}" for n in range(60)))
"""The session's hub, an account that enrols people as a hub would, and hubs that single tests start."""
HUBS = tuple(f"@{name}:{SERVER_NAME}" for name in HUB_NAMES)


@dataclass(frozen=True)
class TestHomeserver:
    """What a test needs of it."""

    __test__ = False  # a name for people, not for pytest

    url: str
    server_name: str
    registration_secret: str = field(repr=False)
    log: Path
    roles: PublishedRoles = field(repr=False)
    professionals: set[str] = field(default_factory=set)
    enrolling: asyncio.Lock = field(default_factory=asyncio.Lock)
    hub_names: Iterator[str] = field(default_factory=lambda: iter(HUB_NAMES[2:]))
    """Take the next for a hub of your own: the policy knows it for one."""

    @classmethod
    async def of(cls, server: EmbeddedHomeserver) -> Self:
        """A server that runs, with `HUBS` for its hubs."""
        professionals: set[str] = set()

        async def listed() -> set[str]:
            return professionals

        url, secret, password = server.url, server.registration_secret, secrets.token_urlsafe(12)
        enroller = await accounts.register(url, secret, "inscriptions", password)
        assert enroller is not None
        roles = PublishedRoles(url, enroller, await login(url, enroller, password), listed)
        return cls(url, server.server_name, secret, server.log, roles, professionals)

    async def new_user(
        self, prefix: str = "user", *, admin: bool = False, professional: bool = True
    ) -> tuple[str, str]:
        """A fresh account: (user id, password); to the homeserver's policy, a professional's."""
        password = secrets.token_urlsafe(12)
        user_id = await accounts.register(
            self.url, self.registration_secret, f"{prefix}-{secrets.token_hex(4)}", password, admin=admin
        )
        assert user_id is not None
        if professional:
            async with self.enrolling:
                self.professionals.add(user_id)
                await self.roles.publish()
        return user_id, password


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def homeserver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHomeserver]:
    """A running embedded Synapse, shared by all tests: make accounts and rooms of your own on it."""
    server = EmbeddedHomeserver(tmp_path_factory.mktemp("synapse"), free_port(), SERVER_NAME, hubs=HUBS)
    await server.start()
    yield await TestHomeserver.of(server)
    await server.stop()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_base_port() -> int:
    """The first of five ports in a row that nobody listens on, below those that outgoing connections take."""
    while True:
        base = 20_000 + secrets.randbelow(10_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(base, base + 5):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base


async def call(
    method: str, url: str, *, token: str | None = None, json: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """One request as any client would send it: (status, body)."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers, json=json) as answer,
    ):
        return answer.status, await answer.json() if answer.content_type == "application/json" else {}


async def login(url: str, user: str, password: str) -> str:
    """An access token of a new device."""
    identifier = {"type": "m.id.user", "user": user}
    status, body = await call(
        "POST",
        f"{url}/_matrix/client/v3/login",
        json={"type": "m.login.password", "identifier": identifier, "password": password},
    )
    assert status == 200, body
    return str(body["access_token"])
