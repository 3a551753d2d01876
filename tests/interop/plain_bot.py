"""A Matrix bot as most people write one with matrix-nio: it encrypts, and vouches for nothing.

It is here for comparison. What clients make of its messages is what they would make of the hub's, had the hub
no identity of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import nio

PATIENCE = 30.0
"""Seconds that a wait may take."""


class PlainBot:
    """Joins where it is invited, answers whatever it can read, complains of the rest. Made by `start`."""

    def __init__(self, client: nio.AsyncClient) -> None:
        self.user_id: str = client.user_id
        self.read: set[str] = set()
        self.unread: set[str] = set()
        self._client = client
        self._happened = asyncio.Condition()
        client.add_event_callback(self._invited, nio.InviteMemberEvent)
        client.add_event_callback(self._read, nio.RoomMessageText)
        client.add_event_callback(self._not_read, nio.MegolmEvent)

    @classmethod
    @asynccontextmanager
    async def start(cls, homeserver: str, user_id: str, password: str, store: Path) -> AsyncIterator[Self]:
        """Signed in, its keys published, serving to the end of the block. ``store``: an existing folder."""
        client = nio.AsyncClient(
            homeserver,
            user_id,
            store_path=str(store),
            config=nio.AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True),
        )
        answer = await client.login(password, "A plain bot")
        assert isinstance(answer, nio.LoginResponse), answer
        await client.sync(full_state=True)  # what was said before is not for us
        await client.keys_upload()
        bot = cls(client)
        serving = asyncio.create_task(client.sync_forever(timeout=30_000, full_state=True))
        try:
            yield bot
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await client.close()

    async def until_read(self, event_id: str) -> None:
        """Until the bot has read (and answered) this message."""
        await self._until(lambda: event_id in self.read)

    async def until_unread(self, event_id: str) -> None:
        """Until the bot has found that it cannot read this message."""
        await self._until(lambda: event_id in self.unread)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE), self._happened:
            await self._happened.wait_for(holds)

    async def _invited(self, room: nio.MatrixInvitedRoom, event: nio.InviteMemberEvent) -> None:
        if event.membership == "invite" and event.state_key == self.user_id:
            await self._client.join(room.room_id)

    async def _read(self, room: nio.MatrixRoom, event: nio.RoomMessageText) -> None:
        if event.sender != self.user_id:
            await self._say(room, f"Vous avez dit : {event.body}")
            await self._note(self.read, event.event_id)

    async def _not_read(self, room: nio.MatrixRoom, event: nio.MegolmEvent) -> None:
        await self._say(room, "Je n'ai pas pu vous lire.")
        await self._note(self.unread, event.event_id)

    async def _say(self, room: nio.MatrixRoom, body: str) -> None:
        await self._client.room_send(
            room.room_id,
            "m.room.message",
            {"msgtype": "m.text", "body": body},
            ignore_unverified_devices=True,
        )

    async def _note(self, events: set[str], event_id: str) -> None:
        async with self._happened:
            events.add(event_id)
            self._happened.notify_all()
