"""A real Matrix client (matrix-js-sdk with its Rust crypto) for the tests: one Node process a device.

    async with JsClient.start(url, user_id, password) as nurse:
        await nurse.bootstrap_cross_signing(password)
        room_id = await nurse.create_room("Parcours", invite=[hub])
        asked = await nurse.send_text(room_id, "/aide")
        answer = await nurse.wait_for_message(room_id, sender=hub, reply_to=asked)

Waiting is driven by what the client announces, never by polling. A wait in vain raises NotSeen, which tells
what was there instead: ids, types and failure codes, never words.
"""

# ruff: noqa: ASYNC109 - only a wait that knows its own deadline can tell what was there instead

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")

HERE = Path(__file__).parent
PATIENCE = 30.0
"""Seconds that a request or a wait may take."""
LONGEST_LINE = 64 * 1024 * 1024

Isolation = Literal["only_signed", "all"]
"""only_signed: write to, and read from, cross-signed devices only (MSC4153). all: no such rule."""


class JsError(Exception):
    """The client refused or failed: `name` is the JavaScript error's, `errcode` the homeserver's, if any."""

    def __init__(self, command: str, name: str, errcode: str | None, message: str) -> None:
        super().__init__(f"{command}: {name}: {message}")
        self.name = name
        self.errcode = errcode


class JsEnded(Exception):
    """The Node process is gone; the text is the end of what it wrote on standard error."""


class NotSeen(AssertionError):
    """Waited in vain."""


@dataclass(frozen=True)
class Message:
    """An event of a room's timeline, as this client sees it just now (after later edits and redactions)."""

    room_id: str
    event_id: str
    sender: str
    type: str  # the clear type; m.room.message when it cannot be read
    state_key: str | None
    content: Mapping[str, Any]  # the clear content; empty when it cannot be read
    body: str
    formatted_body: str | None
    reply_to: str | None
    replaces: str | None  # this event is itself an edit, of that event
    edited: bool
    redacted: bool
    encrypted: bool
    session_id: str | None
    decryption_failure: str | None  # a sentence
    failure_code: str | None  # js-sdk's DecryptionFailureCode
    shield: Literal["none", "grey", "red"]
    shield_reason: str | None  # js-sdk's EventShieldReason
    txn: str | None  # only on events that this very device sent


@dataclass(frozen=True)
class Withheld:
    """A sender's notice that it keeps a room key from this device (`m.room_key.withheld`)."""

    sender: str
    code: str
    room_id: str | None
    session_id: str | None


@dataclass(frozen=True)
class Bundle:
    """A sender's offer of the keys to what was said in a room before (MSC4268)."""

    type: str
    sender: str
    room_id: str


@dataclass(frozen=True)
class DeviceStatus:
    known: bool
    signed_by_owner: bool
    cross_signing_verified: bool  # signed by an owner whom this user verified
    locally_verified: bool


@dataclass(frozen=True)
class UserStatus:
    known: bool  # has an identity that we have seen
    verified: bool
    was_verified: bool
    needs_approval: bool  # the identity changed since we first saw it


@dataclass(frozen=True)
class VerificationStatus:
    phase: Literal["unsent", "requested", "ready", "started", "cancelled", "done"]
    emoji: list[str] | None  # seven English names, once there is a code to compare
    decimals: list[int] | None
    cancelled_by: str | None
    code: str | None  # why it was cancelled


class JsClient:
    """One signed-in device. Made by `start`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.user_id = ""
        self.device_id = ""
        self.withheld: list[Withheld] = []
        self.bundles: list[Bundle] = []  # of keys to the past of a room, that somebody offered
        self._seen: dict[str, dict[str, Message]] = {}
        self._process = process
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._happened = asyncio.Condition()
        self._moment = 0  # counts what was announced
        self._ended = False
        self.log: deque[str] = deque(maxlen=400)  # what it wrote on standard error

    def __repr__(self) -> str:
        return f"JsClient({self.user_id}, {self.device_id})"

    # ---- its life

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        homeserver_url: str,
        user_id: str,
        password: str,
        *,
        device_name: str = "Element",
        isolation: Isolation = "only_signed",
        log_level: Literal["silent", "error", "warn", "info", "debug"] = "error",
    ) -> AsyncIterator[Self]:
        """Sign in on a new device; ready once it synced and published its keys. Ends with the block."""
        if not (HERE / "node_modules").is_dir():
            raise RuntimeError("the JavaScript client is not installed: run `npm ci` in tests/interop")
        process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / "client.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )
        client = cls(process)
        listening = [asyncio.create_task(client._listen()), asyncio.create_task(client._collect_log())]
        try:
            account = await client._ask(
                "sign_in",
                url=homeserver_url,
                user_id=user_id,
                password=password,
                device_name=device_name,
                isolation=isolation,
                log_level=log_level,
            )
            client.user_id, client.device_id = account["user_id"], account["device_id"]
            yield client
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await asyncio.gather(*listening)

    async def logout(self) -> None:
        """End the session on the server: the device and its keys are deleted there."""
        await self._ask("logout")

    # ---- its identity

    async def bootstrap_cross_signing(self, password: str) -> str:
        """Create the user's identity and sign this device with it; returns the public master key."""
        return str(await self._ask("bootstrap_cross_signing", password=password))

    async def reset_cross_signing(self, password: str) -> str:
        """Replace the user's identity by a new one; returns the new public master key."""
        return str(await self._ask("reset_cross_signing", password=password))

    async def create_recovery_key(self) -> str:
        """Put the identity into secret storage; returns the recovery key, for `recover` on another device."""
        return str(await self._ask("create_recovery_key"))

    async def recover(self, recovery_key: str) -> str:
        """Fetch the identity from secret storage, sign this device with it; returns the public master key."""
        return str(await self._ask("recover", recovery_key=recovery_key))

    async def restore_backup(self) -> int:
        """Take the room keys out of the server-side backup, after `recover`; returns how many."""
        return int(await self._ask("restore_backup"))

    async def only_verified(self, on: bool) -> None:
        """Give room keys to devices of verified people only, as Element does when it is told to."""
        await self._ask("only_verified", on=on)

    async def set_isolation(self, isolation: Isolation) -> None:
        await self._ask("set_isolation", isolation=isolation)

    async def device_status(self, user_id: str, device_id: str) -> DeviceStatus:
        return DeviceStatus(**await self._ask("device_status", user_id=user_id, device_id=device_id))

    async def user_status(self, user_id: str) -> UserStatus:
        return UserStatus(**await self._ask("user_status", user_id=user_id))

    async def wait_for_device(
        self, user_id: str, device_id: str, *, timeout: float = PATIENCE, **wanted: bool
    ) -> DeviceStatus:
        """Until these fields of the device's status are as wanted: `signed_by_owner=True`."""
        return await self._until_status(lambda: self.device_status(user_id, device_id), wanted, timeout)

    async def wait_for_user(self, user_id: str, *, timeout: float = PATIENCE, **wanted: bool) -> UserStatus:
        """Until these fields of the user's status are as wanted: `needs_approval=True`."""
        return await self._until_status(lambda: self.user_status(user_id), wanted, timeout)

    # ---- verification by emoji

    async def request_verification(
        self, user_id: str, *, room_id: str | None = None, device_id: str | None = None
    ) -> str:
        """Ask in a room, or else a device directly. Returns the transaction's id."""
        return str(
            await self._ask("request_verification", user_id=user_id, room_id=room_id, device_id=device_id)
        )

    async def verification(self, transaction: str) -> VerificationStatus:
        return VerificationStatus(**await self._ask("verification_status", id=transaction))

    async def wait_for_verification(
        self, transaction: str, phase: str, *, timeout: float = PATIENCE
    ) -> VerificationStatus:
        """Until it has come so far."""
        return await self._until(
            lambda: self.verification(transaction),
            lambda status: status.phase == phase,
            timeout,
            lambda status: f"{self} sees {status}",
        )

    async def wait_for_code(self, transaction: str, *, timeout: float = PATIENCE) -> VerificationStatus:
        """Until there is a code to compare."""
        return await self._until(
            lambda: self.verification(transaction),
            lambda status: status.decimals is not None,
            timeout,
            lambda status: f"{self} sees {status}",
        )

    async def start_sas(self, transaction: str) -> None:
        """Once the other side is ready: compare emoji."""
        await self._ask("start_sas", id=transaction)

    async def confirm_sas(self, transaction: str) -> None:
        await self._ask("confirm_sas", id=transaction)

    async def mismatch_sas(self, transaction: str) -> None:
        """The codes are not the same."""
        await self._ask("mismatch_sas", id=transaction)

    async def cancel_verification(self, transaction: str) -> None:
        await self._ask("cancel_verification", id=transaction)

    # ---- rooms

    async def create_room(
        self,
        name: str,
        invite: Sequence[str] = (),
        *,
        direct: bool = True,
        version: str | None = None,
        encrypted: bool = True,
    ) -> str:
        """Returns the room's id, once this client sees it whole: encryption and invitations included."""
        return str(
            await self._ask(
                "create_room",
                name=name,
                invite=list(invite),
                direct=direct,
                version=version,
                encrypted=encrypted,
            )
        )

    async def invite(self, room_id: str, user_id: str) -> None:
        await self._ask("invite", room_id=room_id, user_id=user_id)

    async def join(self, room_id: str) -> None:
        await self._ask("join", room_id=room_id)

    async def leave(self, room_id: str) -> None:
        await self._ask("leave", room_id=room_id)

    async def kick(self, room_id: str, user_id: str) -> None:
        await self._ask("kick", room_id=room_id, user_id=user_id)

    async def memberships(self, room_id: str) -> dict[str, str]:
        """User id -> join, invite, leave or ban."""
        return dict(await self._ask("memberships", room_id=room_id))

    async def wait_for_member(
        self, room_id: str, user_id: str, membership: str = "join", *, timeout: float = PATIENCE
    ) -> None:
        async def now() -> str | None:
            return (await self.memberships(room_id)).get(user_id)

        await self._until(
            now,
            lambda found: found == membership,
            timeout,
            lambda found: f"{user_id} in {room_id} is {found}",
        )

    async def wait_for_invite(self, room_id: str | None = None, *, timeout: float = PATIENCE) -> str:
        """Until invited, to that room or to any: returns the room's id."""

        async def now() -> list[str]:
            return list(await self._ask("invites"))

        def wanted(rooms: list[str]) -> bool:
            return room_id in rooms if room_id else bool(rooms)

        rooms = await self._until(now, wanted, timeout, lambda rooms: f"{self.user_id} is invited to {rooms}")
        return room_id or rooms[0]

    # ---- words

    async def send_text(
        self,
        room_id: str,
        body: str,
        *,
        mentions: Sequence[str] | None = None,
        formatted: str | None = None,
        reply_to: str | None = None,
    ) -> str:
        """Returns the event id."""
        content = _text(body, formatted)
        if mentions is not None:
            content["m.mentions"] = {"user_ids": list(mentions)}
        if reply_to is not None:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        return await self.send_event(room_id, "m.room.message", content)

    async def edit(self, room_id: str, event_id: str, body: str, *, formatted: str | None = None) -> str:
        """Replace the words of an own message; returns the edit's event id."""
        content = {
            **_text(f"* {body}", None),
            "m.new_content": _text(body, formatted),
            "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
        }
        return await self.send_event(room_id, "m.room.message", content)

    async def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """Encrypted when the room is (reactions excepted: they never are). Returns the event id."""
        return str(await self._ask("send_event", room_id=room_id, type=event_type, content=dict(content)))

    async def send_clear(self, room_id: str, event_type: str, content: Mapping[str, Any]) -> str:
        """In clear text whatever the room says, as no honest client would. Returns the event id."""
        return str(await self._ask("send_clear", room_id=room_id, type=event_type, content=dict(content)))

    async def send_state(
        self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = ""
    ) -> str:
        return str(
            await self._ask(
                "send_state", room_id=room_id, type=event_type, state_key=state_key, content=dict(content)
            )
        )

    async def redact(self, room_id: str, event_id: str) -> str:
        return str(await self._ask("redact", room_id=room_id, event_id=event_id))

    async def timeline(self, room_id: str) -> list[Message]:
        """Every event of the live timeline, oldest first, described anew (shields included)."""
        return [Message(**event) for event in await self._ask("timeline", room_id=room_id)]

    async def wait_for_message(
        self,
        room_id: str,
        *,
        sender: str | None = None,
        contains: str | None = None,
        reply_to: str | None = None,
        event_id: str | None = None,
        event_type: str | None = "m.room.message",
        where: Callable[[Message], bool] | None = None,
        timeout: float = PATIENCE,
    ) -> Message:
        """The first readable event like this, whether it is there already or still to come.

        An edit is found as the message it edits, with its new words. `event_type=None` takes any, even state.
        """

        def like_this(message: Message) -> bool:
            return (
                message.decryption_failure is None
                and message.replaces is None
                and not message.redacted
                and event_type in (None, message.type)
                and sender in (None, message.sender)
                and reply_to in (None, message.reply_to)
                and event_id in (None, message.event_id)
                and (contains is None or contains in message.body)
                and (where is None or where(message))
            )

        return await self._until_seen(room_id, like_this, timeout)

    async def wait_for_failure(
        self,
        room_id: str,
        *,
        sender: str | None = None,
        event_id: str | None = None,
        code: str | None = None,
        timeout: float = PATIENCE,
    ) -> Message:
        """The first event that this client cannot read, for this DecryptionFailureCode or for any."""

        def like_this(message: Message) -> bool:
            return (
                message.decryption_failure is not None
                and sender in (None, message.sender)
                and event_id in (None, message.event_id)
                and code in (None, message.failure_code)
            )

        return await self._until_seen(room_id, like_this, timeout)

    async def wait_for_withheld(
        self, *, sender: str | None = None, room_id: str | None = None, timeout: float = PATIENCE
    ) -> Withheld:
        """The first notice of a withheld key from that sender, for that room (`m.no_olm` names no room)."""

        async def now() -> list[Withheld]:
            return [w for w in self.withheld if sender in (None, w.sender) and room_id in (None, w.room_id)]

        found = await self._until(now, bool, timeout, lambda _: f"notices so far: {self.withheld}")
        return found[0]

    # ---- the wire

    async def _ask(self, command: str, **args: object) -> Any:
        stdin = self._process.stdin
        assert stdin is not None
        if self._ended:
            raise self._end()
        request = next(self._ids)
        answer = self._answers[request] = asyncio.get_running_loop().create_future()
        stdin.write(json.dumps({"id": request, "do": command, "with": args}).encode() + b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                outcome = await answer
        except TimeoutError as error:
            raise NotSeen(f"{self} did not answer {command}") from error
        finally:
            del self._answers[request]
        if "error" in outcome:
            raise JsError(command, **outcome["error"])
        return outcome["ok"]

    async def _listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        async for line in stdout:
            match json.loads(line):
                case {"id": int(request)} as outcome:
                    answer = self._answers.get(request)
                    if answer is not None and not answer.done():
                        answer.set_result(outcome)
                    continue
                case {"seen": event}:
                    message = Message(**event)
                    self._seen.setdefault(message.room_id, {})[message.event_id] = message
                case {"withheld": notice}:
                    self.withheld.append(Withheld(**notice))
                case {"bundle": offer}:
                    self.bundles.append(Bundle(**offer))
            await self._tell()
        self._ended = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(self._end())
        await self._tell()

    def _end(self) -> JsEnded:
        return JsEnded("\n".join(self.log))

    async def _tell(self) -> None:
        async with self._happened:
            self._moment += 1
            self._happened.notify_all()

    async def _collect_log(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        async for line in stderr:
            self.log.append(line.decode(errors="replace").rstrip())

    async def _until(
        self,
        now: Callable[[], Awaitable[T]],
        wanted: Callable[[T], bool],
        timeout: float,
        instead: Callable[[T], str],
    ) -> T:
        """Look again after each announcement; one that comes while looking is not missed."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            moment = self._moment
            found = await now()
            if wanted(found):
                return found
            if self._ended:
                raise self._end()
            try:
                async with asyncio.timeout_at(deadline), self._happened:
                    while self._moment == moment:
                        await self._happened.wait()
            except TimeoutError:
                raise NotSeen(instead(found)) from None

    async def _until_seen(
        self, room_id: str, like_this: Callable[[Message], bool], timeout: float
    ) -> Message:
        async def now() -> list[Message]:
            return list(self._seen.get(room_id, {}).values())

        def told(messages: list[Message]) -> str:
            lines = [
                f"{m.event_id} {m.type} from {m.sender}" + (f" ({m.failure_code})" if m.failure_code else "")
                for m in messages
            ]
            return "\n  ".join([f"not seen by {self}; in {room_id} there is:", *lines])

        found = await self._until(now, lambda messages: any(map(like_this, messages)), timeout, told)
        return next(filter(like_this, found))

    async def _until_status(
        self, now: Callable[[], Awaitable[T]], wanted: Mapping[str, bool], timeout: float
    ) -> T:
        return await self._until(
            now,
            lambda status: all(getattr(status, field) == value for field, value in wanted.items()),
            timeout,
            lambda status: f"{self} sees {status}",
        )


def _text(body: str, formatted: str | None) -> dict[str, Any]:
    html = {"format": "org.matrix.custom.html", "formatted_body": formatted} if formatted else {}
    return {"msgtype": "m.text", "body": body, **html}
