"""The sending half of the way: share the room key, encrypt, send. Fail closed.

For each message the devices that may read it are compared with those that already hold the room key: missing
ones get it from here on; a device that may no longer read makes a new key. So a device that was out of reach
(no one-time key, a dead federation link) is tried again with the next message, and nobody who left reads on.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nio.crypto import OutboundGroupSession

from hub.matrix.client import JsonObject, MatrixError, path
from hub.matrix.olm import SHARED_HISTORY
from hub.matrix.rooms import MEGOLM, Room
from hub.matrix.trust import TrustedDevice

if TYPE_CHECKING:
    from hub.matrix.member import Member

DEVICES_PER_REQUEST = 20
SHORTEST_ROTATION_MS = 3_600_000  # no administrator of a room can make every message a new key
CLAIM_AGAIN_SECONDS = 60.0  # a device without one-time keys is not asked for one with every message


_Name = tuple[str, str, str]
"""Who, which device, and with which key: one that comes back under its old name with new keys is another."""


def _name(device: TrustedDevice) -> _Name:
    return device.user_id, device.device_id, device.curve25519


class NotEncrypted(Exception):
    """The room is not encrypted, or not known to be: nothing may be said there."""


class NotInRoom(Exception):
    """We are not in the room (yet)."""


@dataclass
class Outbound:
    """Sends for one account; one message at a time per room, so that order and ratchet agree."""

    member: Member
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _claimed: dict[tuple[str, str], float] = field(default_factory=dict)
    _withheld: set[tuple[str, _Name]] = field(default_factory=set)  # session id and device
    _history: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """By session id, as it was at its start: history_visibility, and whether later members may read."""

    async def send(
        self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str, *, warning: bool = False
    ) -> str:
        """Encrypt and send; returns the event id. The same ``txn_id`` again is the same event to the server.

        ``warning``: also readable for people under a changed identity (see ``trust.Policy``). Raises
        NotEncrypted, NotInRoom, and as Client.call does.
        """
        async with self._turns[room_id]:
            room = await self._known(room_id)
            if not room.encrypted:
                raise NotEncrypted
            encrypted = await self._encrypt(room, kind, content, warning)
            return await self._put(room_id, "m.room.encrypted", encrypted, txn_id)

    async def send_in_clear(self, room_id: str, content: Mapping[str, Any], txn_id: str) -> str:
        """A fixed sentence into a room that is known not to be encrypted. Never for facts about anybody."""
        async with self._turns[room_id]:
            room = await self._known(room_id)
            if room.encrypted:
                raise NotEncrypted
            return await self._put(room_id, "m.room.message", content, txn_id)

    async def _known(self, room_id: str) -> Room:
        """The room with its encryption known for certain, by the server's word if need be."""
        room = self.member.rooms.joined(room_id)
        if room is None:
            raise NotInRoom
        if room.encrypted is None:
            try:
                found = await self.member.client.call(
                    "GET", path("rooms", room_id, "state", "m.room.encryption")
                )
            except MatrixError as refused:
                if refused.errcode != "M_NOT_FOUND":
                    raise
                # A sync may have brought encryption, or a leave, meanwhile: what it said stands.
                now = self.member.rooms[room_id]
                return now if now.encrypted else self.member.rooms.update(replace(now, encrypted=False))
            event = {"type": "m.room.encryption", "state_key": "", "content": found}
            room = self.member.rooms.update(self.member.rooms[room_id].after(event))
        return room

    async def _put(self, room_id: str, kind: str, content: Mapping[str, Any], txn_id: str) -> str:
        answer = await self.member.client.call("PUT", path("rooms", room_id, "send", kind, txn_id), content)
        return str(answer["event_id"])

    async def _encrypt(self, room: Room, kind: str, content: Mapping[str, Any], warning: bool) -> JsonObject:
        allowed, refused = await self.member.trust.recipients(room.readers, warning=warning)
        passed_on = await self.member.shares_history(room.room_id)
        session = self._session(room, {_name(device) for device in allowed}, passed_on)
        await self._share(room.room_id, session, allowed)
        await self._withhold(room.room_id, session, refused, "m.unverified")
        relation = content.get("m.relates_to")
        inner = {key: value for key, value in content.items() if key != "m.relates_to"}
        plaintext = json.dumps({"room_id": room.room_id, "type": kind, "content": inner}, ensure_ascii=False)
        encrypted: JsonObject = {
            "algorithm": MEGOLM,
            "ciphertext": session._session.encrypt(plaintext.encode()).to_base64(),
            "session_id": session.id,
            "sender_key": self.member.client.machine.account.identity_keys["curve25519"],
            "device_id": self.member.client.device_id,
        }
        session.message_count += 1
        if relation is not None:
            encrypted["m.relates_to"] = relation
        return encrypted

    def _session(self, room: Room, readers: set[_Name], passed_on: bool) -> OutboundGroupSession:
        """The room's current key, or a new one: when it is used up, when somebody may no longer read, or when
        it is no longer as it was who may read from when on."""
        olm = self.member.client.machine
        session = olm.outbound_group_sessions.get(room.room_id)
        if (
            session is None
            or session.expired
            or session.users_shared_with - readers
            or self._history.get(session.id) != (room.history_visibility, passed_on)
        ):
            self._withheld = {told for told in self._withheld if session is None or told[0] != session.id}
            self._history.pop(session.id if session else "", None)
            olm.create_outbound_group_session(room.room_id)
            session = olm.outbound_group_sessions[room.room_id]
            self._history[session.id] = room.history_visibility, passed_on
            session.max_messages = room.rotation_messages
            session.max_age = timedelta(milliseconds=max(room.rotation_ms, SHORTEST_ROTATION_MS))
            if passed_on:
                olm.may_pass_on(room.room_id, olm.account.identity_keys["curve25519"], session.id)
        return session

    async def _share(
        self, room_id: str, session: OutboundGroupSession, devices: Iterable[TrustedDevice]
    ) -> None:
        """Give the key to the devices that lack it."""
        missing = [d for d in devices if _name(d) not in session.users_shared_with]
        if not missing:
            return
        content: JsonObject = {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": session.id,
            "session_key": session.session_key,
        }
        if self._history[session.id][1]:
            content[SHARED_HISTORY] = True
        async for reached in self.send_olm("m.room_key", content, missing):
            session.users_shared_with.update(map(_name, reached))
        unreachable = [d for d in missing if _name(d) not in session.users_shared_with]
        await self._withhold(room_id, session, unreachable, "m.no_olm")

    async def send_olm(
        self, kind: str, content: JsonObject, devices: Iterable[TrustedDevice]
    ) -> AsyncIterator[list[TrustedDevice]]:
        """Send to devices, encrypted for each; yields those that were reached, some at a time."""
        olm = self.member.client.machine
        await self._open_olm_sessions(devices := list(devices))
        reachable = [d for d in devices if olm.session_store.get(d.curve25519) is not None]
        for at in range(0, len(reachable), DEVICES_PER_REQUEST):
            some = reachable[at : at + DEVICES_PER_REQUEST]
            messages: defaultdict[str, JsonObject] = defaultdict(dict)
            with olm.together():
                for device in some:
                    messages[device.user_id][device.device_id] = olm.encrypt_to(device, kind, content)
            await self.to_device("m.room.encrypted", messages)
            yield some

    async def _open_olm_sessions(self, devices: Iterable[TrustedDevice]) -> None:
        now = time.monotonic()
        self._claimed = {name: at for name, at in self._claimed.items() if now - at < CLAIM_AGAIN_SECONDS}
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for device in devices:
            name = (device.user_id, device.device_id)
            if self.member.client.machine.session_store.get(device.curve25519) is not None:
                continue
            if name not in self._claimed:
                wanted[device.user_id].append(device.device_id)
        if wanted:
            silent = await self.member.client.claim_keys(wanted)
            # Only once it was answered: a claim that failed is made again with the next attempt.
            self._claimed.update(
                {
                    (user, name): now
                    for user, names in wanted.items()
                    if user.partition(":")[2] not in silent
                    for name in names
                }
            )

    async def _withhold(
        self, room_id: str, session: OutboundGroupSession, devices: Iterable[TrustedDevice], code: str
    ) -> None:
        """Tell devices once per key why they cannot read: their owners see a reason, not a riddle."""
        told = [d for d in devices if (session.id, _name(d)) not in self._withheld]
        if not told:
            return
        content: JsonObject = {
            "algorithm": MEGOLM,
            "code": code,
            "sender_key": self.member.client.machine.account.identity_keys["curve25519"],
            "from_device": self.member.client.device_id,
        }
        if code != "m.no_olm":
            content |= {"room_id": room_id, "session_id": session.id}
        messages: defaultdict[str, JsonObject] = defaultdict(dict)
        for device in told:
            messages[device.user_id][device.device_id] = content
        await self.to_device("m.room_key.withheld", messages)
        self._withheld.update((session.id, _name(d)) for d in told)

    async def to_device(
        self, kind: str, messages: Mapping[str, JsonObject], txn_id: str | None = None
    ) -> None:
        """Send to devices as it is: user id → device id → content."""
        await self.member.client.call(
            "PUT", path("sendToDevice", kind, txn_id or uuid4().hex), {"messages": dict(messages)}
        )
