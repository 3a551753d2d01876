"""A person at a terminal: an encrypted client that says things and hears the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from uuid import uuid4

from hub.matrix.account import AccountFile
from hub.matrix.backfill import fill_gaps
from hub.matrix.batch import Batch, Received, Undecryptable
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.inbound import decrypt, open_event, trust
from hub.matrix.member import Member, new_account
from hub.matrix.rooms import Room
from hub.matrix.sync import sync
from hub.matrix.trust import PinsInMemory, Policy
from hub.observe import Log
from hub.seal import Master
from hub.terminal.cast import Credentials

log = Log(__name__)

T = TypeVar("T")

ANSWER_SECONDS = 60.0
Listener = Callable[[Received], None]


@dataclass
class Person:
    """Signed in and listening. ``heard`` has every message of the rooms, oldest first."""

    name: str
    member: Member
    heard: list[Received] = field(default_factory=list)
    invitations: dict[str, str] = field(default_factory=dict)  # room id → who asks
    listeners: list[Listener] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _unread: dict[str, Undecryptable] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def at(
        cls, homeserver: str, credentials: Credentials, folder: Path, master: Master
    ) -> AsyncIterator[Self]:
        """A person, for the length of a block. ``folder`` keeps the device between two times."""
        file = AccountFile(folder, master)
        account = file.load()
        if account is None or account.password != credentials.password or account.homeserver != homeserver:
            account = file.save(new_account(homeserver, credentials.user_id, credentials.password))
        member = await Member.open(file, account, PinsInMemory(), Policy())
        person = cls(credentials.display_name, member)
        since = await person.turn(None)
        listening = asyncio.create_task(person._listen(since))
        try:
            yield person
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await member.close()

    @property
    def user_id(self) -> str:
        """The Matrix id."""
        return self.member.user_id

    async def say(self, room_id: str, text: str, **more: Any) -> str:
        """Say something, as fast as the homeserver lets us; returns the event id."""
        content, txn_id = {"msgtype": "m.text", "body": text, "m.mentions": {}, **more}, uuid4().hex
        while True:
            try:
                return await self.member.outbound.send(room_id, "m.room.message", content, txn_id)
            except MatrixError as refused:
                if refused.errcode != "M_LIMIT_EXCEEDED":
                    raise
                await asyncio.sleep(refused.retry_after or 1)

    async def meet(self, *user_ids: str) -> str:
        """A new encrypted room with these people; returns its id once we are in it."""
        room_id = await self.member.create_room(
            {
                "preset": "trusted_private_chat" if len(user_ids) == 1 else "private_chat",
                "is_direct": len(user_ids) == 1,
                "invite": list(user_ids),
                "initial_state": [
                    {
                        "type": "m.room.encryption",
                        "state_key": "",
                        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
                    },
                    {
                        "type": "m.room.history_visibility",
                        "state_key": "",
                        "content": {"history_visibility": "invited"},
                    },
                ],
            }
        )
        # A sync may show a room half made: what is said before the invitations are known is for nobody.
        await self.until(lambda: self._made(room_id, user_ids))
        return room_id

    def _made(self, room_id: str, invited: Iterable[str]) -> Room | None:
        room = self.member.rooms.joined(room_id)
        return room if room and room.encrypted and set(invited) <= room.members.keys() else None

    async def hear(
        self, room_id: str, said: Callable[[Received], bool], seconds: float = ANSWER_SECONDS
    ) -> Received:
        """Wait for a message of a room. Raises TimeoutError."""
        return await self.until(
            lambda: next((m for m in self.heard if m.room_id == room_id and said(m)), None), seconds
        )

    async def answer_to(self, room_id: str, event_id: str, seconds: float = ANSWER_SECONDS) -> Received:
        """Wait for the reply to a message. Raises TimeoutError."""
        return await self.hear(room_id, lambda message: replies_to(message) == event_id, seconds)

    async def until(self, found: Callable[[], T | None], seconds: float = ANSWER_SECONDS) -> T:
        """Wait until ``found`` gives something, looking after each sync. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._news:
            while (value := found()) is None:
                await self._news.wait()
            return value

    async def turn(self, since: str | None) -> str:
        """One sync, understood; returns the next position."""
        member = self.member
        batch = decrypt(member, await fill_gaps(member, await sync(member, since)))
        batch = await trust(member, replace(batch, events=(*self._opened(batch), *batch.events)))
        await member.keep_up()
        async with self._news:
            member.move_on(batch)
            self._take_in(batch)
            self._news.notify_all()
        return batch.next_batch

    def _opened(self, batch: Batch) -> list[Received]:
        """What could not be read before and can be now."""
        for unread in batch.undecryptable:
            self._unread[unread.event_id] = unread
        tried = [open_event(self.member, one.room_id, one.raw) for one in self._unread.values() if batch.keys]
        opened = [event for event in tried if isinstance(event, Received)]
        for event in opened:
            del self._unread[event.event_id]
        return opened

    def _take_in(self, batch: Batch) -> None:
        for invitation in batch.invitations:
            self.invitations[invitation.room_id] = invitation.inviter
        for event in batch.events:
            if event.type == "m.room.message":
                self.heard.append(event)
                for listener in self.listeners:
                    listener(event)

    async def _listen(self, since: str) -> None:
        while True:
            try:
                since = await self.turn(since)
            except (Unreachable, MatrixError) as failed:
                log.warning("sync.failed", reason=type(failed).__name__)
                await asyncio.sleep(1)


def replies_to(message: Received) -> str | None:
    """The event that a message answers."""
    replied = message.relates_to.get("m.in_reply_to")
    return replied.get("event_id") if isinstance(replied, dict) else None
