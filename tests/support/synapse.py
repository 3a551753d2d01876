"""A real Synapse for the tests: one for the whole session, accounts on it, and requests to it."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from hub.homeserver import accounts
from hub.homeserver.embedded import EmbeddedHomeserver


@dataclass(frozen=True)
class TestHomeserver:
    """What a test needs of it."""

    __test__ = False  # a name for people, not for pytest

    url: str
    server_name: str
    registration_secret: str = field(repr=False)
    log: Path

    async def new_user(self, prefix: str = "user", *, admin: bool = False) -> tuple[str, str]:
        """A fresh account: (user id, password)."""
        password = secrets.token_urlsafe(12)
        user_id = await accounts.register(
            self.url, self.registration_secret, f"{prefix}-{secrets.token_hex(4)}", password, admin=admin
        )
        assert user_id is not None
        return user_id, password


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def homeserver(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TestHomeserver]:
    """A running embedded Synapse, shared by all tests: make accounts and rooms of your own on it."""
    server = EmbeddedHomeserver(tmp_path_factory.mktemp("synapse"), free_port(), "hub.localhost")
    await server.start()
    yield TestHomeserver(server.url, server.server_name, server.registration_secret, server.log)
    await server.stop()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
