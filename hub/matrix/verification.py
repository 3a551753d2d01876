"""Verifications under way for one account: who may ask, in which room or to-device, and what success means.

In a room the transaction is the event that asked, to-device it is the id that was chosen by who asked. Events
are followed only within the room, from the person and for the transaction that they belong to; whatever else
looks like one is passed by. Nothing here needs to be encrypted: the code that people compare proves the rest.
What is open lives in memory, and ends with the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hub.matrix import identity
from hub.matrix.batch import Received, ToDevice
from hub.matrix.client import MatrixError
from hub.matrix.inbound import instant
from hub.matrix.outbound import NotEncrypted, NotInRoom
from hub.matrix.sas import LASTS, METHOD, Cancel, Message, Party, Stage, Verification, cancellation
from hub.observe import Log

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

REQUEST = "m.key.verification.request"
_CLOCKS_DIFFER = timedelta(minutes=5)

Admits = Callable[[str], Awaitable[bool]]
"""Whether this person may verify us at all."""


def concerns(event: Received | ToDevice) -> bool:
    """Whether an event belongs to some verification."""
    if isinstance(event, Received) and event.state_key is not None:
        return False
    asks = event.type == "m.room.message" and event.content.get("msgtype") == REQUEST
    return asks or event.type.startswith("m.key.verification.")


@dataclass(frozen=True)
class Way:
    """How the two devices talk: by a room, or from device to device."""

    user_id: str
    device_id: str
    transaction: str
    room_id: str | None


@dataclass(frozen=True)
class _Letter:
    way: Way
    kind: str
    content: Mapping[str, Any]
    txn_id: str = field(default_factory=lambda: uuid4().hex)


@dataclass
class Verifications:
    """What is open, and what is still to be sent because of it."""

    member: Member
    open: dict[Way, Verification] = field(default_factory=dict)
    _outgoing: deque[_Letter] = field(default_factory=deque)
    _over: set[Way] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        """Whether something is open, or still to be sent."""
        return bool(self.open or self._outgoing)

    async def hear(self, event: Received | ToDevice, now: datetime, admits: Admits) -> None:
        """Follow one event. Raises as Client.call does."""
        room_id = event.room_id if isinstance(event, Received) else None
        if event.type in (REQUEST, "m.room.message"):
            asked = _asked(event, self.member.user_id, now)
            # A transaction counts once, however often somebody repeats its beginning.
            if asked is not None and asked[0] not in self.open and asked[0] not in self._over:
                await self._asked(*asked, admits)
            return
        transaction = _transaction(event)
        for way, verification in self.open.items():
            if (way.user_id, way.room_id, way.transaction) == (event.sender, room_id, transaction):
                # The relation is in clear beside what was encrypted; who started counts it as said.
                said = dict(event.content)
                if isinstance(event, Received):
                    said["m.relates_to"] = event.relates_to
                self._say(way, verification.hear(event.type, said))
                return
        device_id = event.content.get("from_device")
        if room_id is None and event.type.endswith(".start") and isinstance(device_id, str) and transaction:
            # Begun before we were restarted, or without having asked.
            code = Cancel.UNKNOWN_TRANSACTION
            self.decline(Way(event.sender, device_id, transaction, None), code)

    async def _asked(self, way: Way, at: datetime, admits: Admits) -> None:
        room = self.member.rooms.joined(way.room_id) if way.room_id else None
        if way.room_id is not None and (
            room is None or not room.encrypted or way.user_id not in room.members
        ):
            return
        if not await admits(way.user_id):
            log.warning("verification.not_admitted", sender=way.user_id)
            self.decline(way, Cancel.USER)
            return
        theirs = await self._party(way.user_id, way.device_id)
        if theirs is None:
            log.warning("verification.device_untrusted", sender=way.user_id, device=way.device_id)
            self.decline(way, Cancel.KEY_MISMATCH)
            return
        for former, verification in self.open.items():
            if former.user_id == way.user_id:  # who asks again has given up what was before
                self._say(former, verification.cancel(Cancel.USER))
        self.open[way] = Verification(way.transaction, self._ours(), theirs, at)

    def take(self, way: Way) -> None:
        """Our side is ready."""
        self._say(way, self.open[way].take())

    def confirm(self, way: Way) -> None:
        """Our side sees the same code."""
        self._say(way, self.open[way].confirm())

    def refuse(self, way: Way) -> None:
        """Our side sees another code, or does not want to."""
        self._say(way, self.open[way].refuse())

    def decline(self, way: Way, code: Cancel) -> None:
        """Say no to what is not open here."""
        self._say(way, [cancellation(code)])

    def expire(self, now: datetime) -> None:
        """Give up what takes too long."""
        for way, verification in self.open.items():
            self._say(way, verification.expire(now))

    def forget(self, way: Way) -> None:
        """It is over, and all is done that follows from it."""
        del self.open[way]
        self._over.add(way)

    async def send(self) -> None:
        """Send what is to be sent, oldest first. Raises as Client.call does when the homeserver is
        not able to: what is left is sent by the next call."""
        while self._outgoing:
            letter = self._outgoing[0]
            try:
                await self._send(letter)
            except (MatrixError, NotInRoom, NotEncrypted) as refused:
                if isinstance(refused, MatrixError) and refused.passing:
                    raise
                log.warning("verification.not_sent", reason=type(refused).__name__, kind=letter.kind)
            self._outgoing.popleft()

    async def vouch(self, verification: Verification) -> bool:
        """Sign the master key that a verification proved; whether there was one. Raises as Client.call does,
        and OperatorError when the homeserver does not take the signature."""
        master_keys = verification.proven - {verification.theirs.device_key}
        seeds = self.member.account.seeds
        if verification.stage is not Stage.VERIFIED or seeds is None or not master_keys:
            return False
        key = verification.theirs.keys[next(iter(master_keys))]
        await identity.vouch_for(self.member.client, seeds, verification.theirs.user_id, key)
        return True

    def _ours(self) -> Party:
        client, master_key = self.member.client, self.member.trust.own_master_key
        device_id = str(client.device_id)
        keys = {f"ed25519:{device_id}": str(client.machine.account.identity_keys["ed25519"])}
        if master_key is not None:
            keys[f"ed25519:{master_key}"] = master_key
        return Party(client.user_id, device_id, keys)

    async def _party(self, user_id: str, device_id: str) -> Party | None:
        """Their side with its keys; None unless their pinned identity vouches for the device."""
        trust = self.member.trust
        trust.mark_stale([user_id])
        await trust.refresh([user_id])
        person = trust.people.get(user_id)
        device = next((d for d in person.devices if d.device_id == device_id), None) if person else None
        if (
            person is None
            or device is None
            or not device.cross_signed
            or person.pin is None
            or person.changed
        ):
            return None
        master_key = person.pin.master_key
        keys = {f"ed25519:{device_id}": device.ed25519, f"ed25519:{master_key}": master_key}
        return Party(user_id, device_id, keys)

    def _say(self, way: Way, messages: list[Message]) -> None:
        self._outgoing.extend(_Letter(way, kind, content) for kind, content in messages)

    async def _send(self, letter: _Letter) -> None:
        way, outbound = letter.way, self.member.outbound
        if way.room_id is None:
            content = {**letter.content, "transaction_id": way.transaction}
            await outbound.to_device(letter.kind, {way.user_id: {way.device_id: content}}, letter.txn_id)
        else:
            relation = {"rel_type": "m.reference", "event_id": way.transaction}
            content = {**letter.content, "m.relates_to": relation}
            await outbound.send(way.room_id, letter.kind, content, letter.txn_id)


def _asked(event: Received | ToDevice, us: str, now: datetime) -> tuple[Way, datetime] | None:
    """Where a request leads, and when it was made; None when it is not for us, too old, or without a method
    that we know."""
    content, device_id, methods = (
        event.content,
        event.content.get("from_device"),
        event.content.get("methods"),
    )
    if not isinstance(device_id, str) or not isinstance(methods, list) or METHOD not in methods:
        return None
    transaction: object
    if isinstance(event, Received):
        meant = event.type == "m.room.message" and content.get("to") == us
        sent_at, transaction, room_id = event.sent_at, event.event_id, event.room_id
    else:
        meant = event.type == REQUEST
        sent_at, transaction, room_id = instant(content.get("timestamp")), content.get("transaction_id"), None
    if not meant or not isinstance(transaction, str) or not -_CLOCKS_DIFFER <= now - sent_at < LASTS:
        return None
    return Way(event.sender, device_id, transaction, room_id), min(sent_at, now)


def _transaction(event: Received | ToDevice) -> str | None:
    if isinstance(event, ToDevice):
        found = event.content.get("transaction_id")
    else:
        is_reference = event.relates_to.get("rel_type") == "m.reference"
        found = event.relates_to.get("event_id") if is_reference else None
    return found if isinstance(found, str) else None
