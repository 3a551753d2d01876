"""Who is who: other people's identities, their cross-signed devices, and the one policy that decides.

``/keys/query`` is believed only as far as its signatures go. A person's master key is pinned at first sight;
a later change is remembered and reported, never silently followed. nio's own trust marks are not used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from nio.crypto import InboundGroupSession
from nio.responses import KeysQueryResponse
from peewee import PeeweeException

from hub.matrix import signing
from hub.matrix.client import Client, JsonObject, path
from hub.observe import Log, report

log = Log(__name__)

SIGNING_SECONDS = 5.0
ASK_AGAIN_SECONDS = 3600.0
"""So long at most a change stays unseen whose notice was lost on its way between servers."""
DOUBT_SECONDS = 60.0
"""A sender whose device is not to be believed is looked up again once in so long, before it is refused."""
HALF_TOLD_PAUSES = (0.05, 0.2, 0.5, 1.0)  # seconds, before asking again about who was told by half


class Verdict(StrEnum):
    """What the session that carried a message proves about its sender."""

    TRUSTED = "trusted"
    UNSIGNED_DEVICE = "unsigned_device"  # the owner has not vouched for it
    UNKNOWN_DEVICE = "unknown_device"  # deleted, never seen, or not the one it claims to be
    CHANGED_IDENTITY = "changed_identity"  # the owner's master key is not the pinned one
    RESTORED_KEY = "restored_key"  # read with a key out of the backup, which is nobody's
    NOT_ENCRYPTED = "not_encrypted"


RESTORED = "restored"
"""Stands for the sender's keys of a session out of the key backup: whose it was, nothing proves."""

UNPROVEN = (Verdict.UNSIGNED_DEVICE, Verdict.UNKNOWN_DEVICE)
"""What a device may be judged only because the notice of it, or of its signature, has not come yet."""


@dataclass(frozen=True)
class Pin:
    """The master key first seen of a person, and the other one seen since, if any."""

    user_id: str
    master_key: str
    changed_to: str | None = None


class Pins(Protocol):
    """Where pins are kept between starts."""

    async def pin(self, user_id: str, master_key: str) -> Pin:
        """Pin at first sight; remember a different key as ``changed_to``."""
        ...


@dataclass
class PinsInMemory:
    """Pins for a client that forgets with its process."""

    pins: dict[str, Pin] = field(default_factory=dict)

    async def pin(self, user_id: str, master_key: str) -> Pin:
        known = self.pins.setdefault(user_id, Pin(user_id, master_key))
        if known.master_key != master_key:
            known = self.pins[user_id] = Pin(user_id, known.master_key, master_key)
        return known


@dataclass(frozen=True)
class TrustedDevice:
    """A current device as its owner published and signed it; keys in unpadded base64."""

    user_id: str
    device_id: str
    ed25519: str
    curve25519: str
    cross_signed: bool


@dataclass(frozen=True)
class Person:
    """A person's current devices and pinned identity."""

    devices: tuple[TrustedDevice, ...]
    pin: Pin | None
    learned: float = 0.0  # monotonic

    @property
    def changed(self) -> bool:
        """Whether the published identity is another one than the pinned one."""
        return self.pin is not None and self.pin.changed_to is not None


@dataclass(frozen=True)
class Policy:
    """The one place that decides who is trusted; relaxed only by an operator, for a whole deployment."""

    require_cross_signed: bool = True
    refuse_changed_identity: bool = True

    def shares_keys_with(self, person: Person, device: TrustedDevice, *, warning: bool) -> bool:
        """May this device read what we send?

        Whoever comes under a new identity reads our warnings about that and nothing else, until an operator
        has accepted it: it may be the person with a new telephone, or a homeserver that impersonates him.
        """
        if person.changed and self.refuse_changed_identity and not warning:
            return False
        return device.cross_signed or not self.require_cross_signed

    def judge(self, person: Person | None, session: InboundGroupSession) -> Verdict:
        """What a Megolm session proves. Its cleartext labels in the event are not looked at."""
        if session.sender_key == RESTORED:
            return Verdict.RESTORED_KEY
        devices = person.devices if person else ()
        device = next((d for d in devices if d.curve25519 == session.sender_key), None)
        if device is None or device.ed25519 != session.ed25519 or session.forwarding_chain:
            return Verdict.UNKNOWN_DEVICE
        if self.require_cross_signed and not device.cross_signed:
            return Verdict.UNSIGNED_DEVICE
        if self.refuse_changed_identity and person and person.changed:
            return Verdict.CHANGED_IDENTITY
        return Verdict.TRUSTED


@dataclass
class TrustBook:
    """What is currently known of other people's devices; asks the server about those who changed."""

    client: Client
    pins: Pins
    policy: Policy = field(default_factory=Policy)
    own_master_key: str | None = None
    """Ours: whatever the server shows under another one is not us, and gets nothing."""
    people: dict[str, Person] = field(default_factory=dict)
    stale: set[str] = field(default_factory=set)
    changed_identities: dict[str, Pin] = field(default_factory=dict)
    """People seen under a master key that is not the pinned one; the flow reports them."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _doubted: dict[str, float] = field(default_factory=dict)
    _unsigned_since: dict[str, float] = field(default_factory=dict)
    _never_whole: set[str] = field(default_factory=set)

    def mark_stale(self, users: Iterable[str]) -> None:
        """These people's devices changed: ask again before the next decision."""
        self.stale.update(users)

    async def refresh(self, users: Iterable[str]) -> None:
        """Ask the server about those of ``users`` who are unknown or changed. Raises as Client.call does.

        Whose identity changed is looked at every time: an operator may just have accepted it.
        """
        wanted = set(users)
        async with self._asking:
            asked = {
                user
                for user in wanted
                if (known := self.people.get(user)) is None
                or user in self.stale
                or known.changed
                or time.monotonic() - known.learned > ASK_AGAIN_SECONDS
            }
            if not asked:
                return
            # Before the request: a change that arrives while it is under way must mark them stale again.
            self.stale -= asked
            try:
                answer = await self._told(asked)
                # Whose server did not answer stays as known so far, and is asked about again.
                answered = {user for user in asked if isinstance(_of(answer, "device_keys").get(user), dict)}
                self.stale |= asked - answered
                for user_id in answered:
                    await self._learn(user_id, answer)
            except BaseException:
                self.stale |= asked
                raise

    async def doubt(self, users: Iterable[str]) -> None:
        """Look these people up again, now: the word of a new device may have outrun the notice of it."""
        now = time.monotonic()
        self._doubted = {user: at for user, at in self._doubted.items() if now - at < DOUBT_SECONDS}
        doubted = set(users) - self._doubted.keys()
        self._doubted.update(dict.fromkeys(doubted, now))
        self.mark_stale(doubted)
        await self.refresh(doubted)

    async def _told(self, users: set[str]) -> JsonObject:
        """The server's answer about ``users``; asked again at once while it tells somebody by half.

        Synapse does so while it learns of a person on another server: first it knows the devices, and a
        moment later the identity that signed them. Believed as it is, that person would be refused. Who stays
        half told is waited for once, not with every message.
        """
        answer = await self._query(users)
        for pause in HALF_TOLD_PAUSES:
            if not any(_half_told(user, answer) for user in users - self._never_whole):
                break
            await asyncio.sleep(pause)
            answer = await self._query(users)
        self._never_whole -= users
        self._never_whole |= {user for user in users if _half_told(user, answer)}
        return answer

    async def _query(self, users: Iterable[str]) -> JsonObject:
        return await self.client.call(
            "POST", path("keys", "query"), {"device_keys": {user: [] for user in users}}
        )

    async def recipients(
        self, users: Iterable[str], *, warning: bool = False
    ) -> tuple[list[TrustedDevice], list[TrustedDevice]]:
        """The devices of ``users`` that may read what we send, and those that may not; never our own."""
        await self.refresh(users := set(users))
        allowed: list[TrustedDevice] = []
        refused: list[TrustedDevice] = []
        for user in sorted(users & self.people.keys()):
            person = self.people[user]
            for device in person.devices:
                if (user, device.device_id) == (self.client.user_id, self.client.device_id):
                    continue
                may_read = self.policy.shares_keys_with(person, device, warning=warning)
                (allowed if may_read else refused).append(device)
        return allowed, refused

    def judge(self, sender: str, sessions: Iterable[InboundGroupSession]) -> Verdict:
        """The best that any of the sessions known under one id proves for ``sender``."""
        verdicts = [self.policy.judge(self.people.get(sender), session) for session in sessions]
        return min(verdicts, key=list(Verdict).index, default=Verdict.UNKNOWN_DEVICE)

    def _notice_change(self, pin: Pin, devices: Iterable[TrustedDevice]) -> None:
        """Have a changed identity reported, once.

        A client publishes its new identity first and signs its device with it a moment later. The report
        waits for that moment, so that the person can read it, but not long: a forger may never sign.
        """
        known = self.people.get(pin.user_id)
        if not pin.changed_to:
            self._unsigned_since.pop(pin.user_id, None)
        elif known is None or known.pin != pin or pin.user_id in self._unsigned_since:
            since = self._unsigned_since.setdefault(pin.user_id, time.monotonic())
            signed = any(device.cross_signed for device in devices)
            if signed or time.monotonic() - since > SIGNING_SECONDS:
                del self._unsigned_since[pin.user_id]
                self.changed_identities[pin.user_id] = pin
            else:
                self.stale.add(pin.user_id)

    def _tell_nio(self, user_id: str, devices: Mapping[str, Any]) -> None:
        """Let the Olm machine know devices that proved themselves. It is not built for a hostile server.

        All in one write: a device that memory alone knew would be forgotten with the next write that fails,
        and never told again.
        """
        with self.client.machine.together():
            try:
                parsed = KeysQueryResponse.from_dict({"device_keys": {user_id: devices}, "failures": {}})
                if isinstance(parsed, KeysQueryResponse):
                    self.client.machine.handle_response(parsed)
            except PeeweeException:
                raise
            except Exception as fault:
                report(fault, log)

    async def _learn(self, user_id: str, answer: Mapping[str, Any]) -> None:
        master_key, self_signing_key = _identity(user_id, answer)
        if user_id == self.client.user_id and master_key != self.own_master_key:
            log.error("identity.replaced", account=user_id)
            self_signing_key = None
        published = _of(_of(answer, "device_keys"), user_id)
        devices = tuple(
            device
            for device_id, keys in published.items()
            if (device := _device(user_id, device_id, keys, self_signing_key)) is not None
        )
        self._tell_nio(user_id, {device.device_id: published[device.device_id] for device in devices})
        pin = None
        if master_key is not None and user_id != self.client.user_id:
            pin = await self.pins.pin(user_id, master_key)
            self._notice_change(pin, devices)
        self.people[user_id] = Person(devices, pin, time.monotonic())


def _of(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _identity(user_id: str, answer: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """A person's master and self-signing keys, as far as the first vouches for the second."""
    master = _of(_of(answer, "master_keys"), user_id)
    self_signing = _of(_of(answer, "self_signing_keys"), user_id)
    master_key, signing_key = (
        _only_key(user_id, "master", master),
        _only_key(user_id, "self_signing", self_signing),
    )
    if master_key is None or signing_key is None or not signing.signed_by(self_signing, user_id, master_key):
        return master_key, None
    return master_key, signing_key


def _half_told(user_id: str, answer: Mapping[str, Any]) -> bool:
    """Whether devices bear a signature of their owner's identity, and the answer holds no such identity."""
    if user_id in _of(answer, "self_signing_keys"):
        return False
    published = _of(_of(answer, "device_keys"), user_id)
    return any(
        signature != f"ed25519:{device_id}"
        for device_id, keys in published.items()
        if isinstance(keys, dict)
        for signature in _of(_of(keys, "signatures"), user_id)
    )


def _only_key(user_id: str, usage: str, content: Mapping[str, Any]) -> str | None:
    keys = content.get("keys")
    if content.get("user_id") != user_id or content.get("usage") != [usage]:
        return None
    if not isinstance(keys, dict) or len(keys) != 1:
        return None
    key = next(iter(keys.values()))
    return key if isinstance(key, str) else None


def _device(
    user_id: str, device_id: str, keys: Mapping[str, Any], self_signing_key: str | None
) -> TrustedDevice | None:
    """A device that signed its own description; None for anything else."""
    try:
        ed25519, curve25519 = keys["keys"][f"ed25519:{device_id}"], keys["keys"][f"curve25519:{device_id}"]
        if (keys["user_id"], keys["device_id"]) != (user_id, device_id):
            return None
    except (KeyError, TypeError):
        return None
    if not signing.signed_by(keys, user_id, ed25519, device_id):
        return None
    cross_signed = self_signing_key is not None and signing.signed_by(keys, user_id, self_signing_key)
    return TrustedDevice(user_id, device_id, ed25519, curve25519, cross_signed)
