"""The baseline: an account spoken for in plain HTTP. It encrypts, checks and stores nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import uuid4

import aiohttp

from hub.matrix.client import path

FILTER = json.dumps(
    {
        "presence": {"types": []},
        "account_data": {"types": []},
        "room": {"ephemeral": {"types": []}, "account_data": {"types": []}, "timeline": {"limit": 100}},
    }
)


class Raw:
    """One account's requests over kept connections. Any refusal ends the measurement."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @classmethod
    @asynccontextmanager
    async def speaking(cls, url: str, token: str) -> AsyncIterator[Self]:
        """For the length of a block."""
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield cls(session, url)

    async def call(self, method: str, url_path: str, content: Mapping[str, Any] | None = None) -> Any:
        """One request, its JSON answer."""
        async with self._session.request(method, self._url + url_path, json=content) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def send(self, room_id: str, kind: str, content: Mapping[str, Any]) -> str:
        """Send as it is; returns the event id."""
        sent = await self.call("PUT", path("rooms", room_id, "send", kind, uuid4().hex), content)
        return str(sent["event_id"])

    async def sync(self, since: str | None) -> Any:
        """One sync; waits for news after the first."""
        query = {"filter": FILTER, "timeout": "30000", "set_presence": "offline"}
        return await self.call("GET", path("sync", **query, **({"since": since} if since else {})))

    async def create_room(self, *invited: str) -> str:
        """A new encrypted room; returns its id."""
        encryption = {
            "type": "m.room.encryption",
            "state_key": "",
            "content": {"algorithm": "m.megolm.v1.aes-sha2"},
        }
        content = {"preset": "private_chat", "invite": list(invited), "initial_state": [encryption]}
        return str((await self.call("POST", path("createRoom"), content))["room_id"])

    async def last_of(self, room_id: str) -> Mapping[str, Any]:
        """The newest event of a room."""
        page = await self.call("GET", path("rooms", room_id, "messages", dir="b", limit="1"))
        newest: Mapping[str, Any] = page["chunk"][0]
        return newest

    async def send_rate(self, messages: Iterable[tuple[str, Mapping[str, Any]]], at_once: int) -> float:
        """Encrypted events (room id and content) per second, ``at_once`` under way."""
        turns = asyncio.Semaphore(at_once)

        async def one(room_id: str, content: Mapping[str, Any]) -> None:
            async with turns:
                await self.send(room_id, "m.room.encrypted", content)

        began = time.perf_counter()
        sent = await asyncio.gather(*(one(*message) for message in messages))
        return len(sent) / (time.perf_counter() - began)
