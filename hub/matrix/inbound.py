"""The receiving half of the way: sync, decrypt, trust; between the first two stands ``backfill.py``.

Each stage takes what the one before gives, so that the whole reads as one expression in ``hub/flow.py``.
Nothing here moves on: a batch that was not kept is asked for again, and every stage can be repeated, until
``Member.move_on`` is told that it was kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nio.crypto import InboundGroupSession
from nio.events import EncryptedToDeviceEvent, RoomKeyEvent, ToDeviceEvent, UnknownToDeviceEvent
from peewee import PeeweeException

from hub.errors import OperatorError
from hub.matrix.client import JsonObject, Unreachable, path
from hub.matrix.rooms import MEGOLM, Room
from hub.matrix.trust import UNPROVEN, Verdict
from hub.matrix.wire import parsed
from hub.observe import Log, report

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

TIMELINE_LIMIT = 100
_SESSION_ID = re.compile(r"[A-Za-z0-9+/]{43}")
LONG_POLL_MS = 30_000
MOST_WITHHELD = 10_000  # remembered; anybody may send us such notices
_REPLY_GRACE_SECONDS = 30.0
STATE_AFTER = "org.matrix.msc4222.state_after"
"""The state at the end of a timeline, where the server tells it (MSC4222; ``state_after`` in the standard).

In a room whose history forks, as one on several servers does, ``state`` and the timeline's own state events
may take somebody back to what they were before: the joined to "invited", the gone to "joined".
"""


@dataclass(frozen=True)
class Received:
    """An event of a room, readable. ``relates_to`` is the cleartext relation, the only one that counts."""

    event_id: str
    room_id: str
    sender: str
    sent_at: datetime
    type: str
    content: Mapping[str, Any]
    relates_to: Mapping[str, Any]
    state_key: str | None = None
    session_id: str | None = None
    message_index: int | None = None
    verdict: Verdict = Verdict.NOT_ENCRYPTED
    sessions: tuple[InboundGroupSession, ...] = ()


@dataclass(frozen=True)
class Undecryptable:
    """An event whose key has not come (yet). ``raw`` is the event as the server gave it."""

    event_id: str
    room_id: str
    sender: str
    sent_at: datetime
    session_id: str
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Withheld:
    """Somebody's device says why it keeps a room key from us; nothing proves that it is theirs."""

    room_id: str
    session_id: str
    sender: str
    code: str


@dataclass(frozen=True)
class ToDevice:
    """What a device of somebody sent to ours, and is neither a key nor for the Olm machine."""

    sender: str
    type: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Invitation:
    """Somebody asks us into a room."""

    room_id: str
    inviter: str
    key: str  # the same for the same invitation, however often it is seen


@dataclass(frozen=True)
class Timeline:
    """What one sync says of a room we are in. ``gap_from``: where to back-fill from, if need be, back to
    ``gap_to`` or, where that is empty, to our own invitation."""

    room: Room
    events: tuple[Mapping[str, Any], ...] = ()
    changed: bool = False
    newly_joined: bool = False
    gap_from: str | None = None
    gap_to: str = ""


@dataclass(frozen=True)
class Synced:
    """One sync, its keys and device changes already taken in."""

    since: str | None
    next_batch: str
    timelines: tuple[Timeline, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    left: tuple[Room, ...] = ()
    keys: frozenset[tuple[str, str]] = frozenset()  # (room id, session id) that arrived
    to_device: tuple[ToDevice, ...] = ()


@dataclass(frozen=True)
class Batch:
    """One sync, decrypted: what the inbox is filled from."""

    next_batch: str
    events: tuple[Received, ...]
    undecryptable: tuple[Undecryptable, ...]
    invitations: tuple[Invitation, ...]
    rooms: tuple[Room, ...]
    keys: frozenset[tuple[str, str]]
    no_longer_waiting: frozenset[str] = frozenset()  # ids of events that a key opened at last
    to_device: tuple[ToDevice, ...] = ()


async def sync(member: Member, since: str | None, *, wait: bool = True) -> Synced:
    """Ask the homeserver what is new, and take in the keys and device changes that it brings."""
    sync_filter = json.dumps(
        {
            "presence": {"types": []},
            "account_data": {"types": []},
            "room": {
                "timeline": {"limit": TIMELINE_LIMIT if since else 1, "lazy_load_members": False},
                "state": {"lazy_load_members": False},
                "ephemeral": {"types": []},
                "account_data": {"types": []},
            },
        }
    )
    # For two minutes Synapse answers an equal first sync out of a cache: an account whose database was lost
    # would be shown a moment before the loss, and take what was said since for new. So no two are equal.
    timeout_ms = (LONG_POLL_MS if wait else 0) if since else secrets.randbelow(10_000)
    query = {
        "filter": sync_filter,
        "timeout": str(timeout_ms),
        "set_presence": "offline",
        "org.matrix.msc4222.use_state_after": "true",
    }
    if since:
        query["since"] = since
    answer = await member.client.call(
        "GET", path("sync", **query), timeout=timeout_ms / 1000 + _REPLY_GRACE_SECONDS
    )
    if not isinstance(answer.get("next_batch"), str):
        raise Unreachable("a sync without a position")
    # To-device messages open once only: what came with an attempt that failed must not be forgotten.
    arrived, others = _take_in_to_device(member, list_of(dict_of(answer.get("to_device")).get("events")))
    member.new_keys |= arrived
    member.to_device += others
    _take_in_devices(member, answer)
    rooms = dict_of(answer.get("rooms"))
    joined = dict_of(rooms.get("join"))
    late = [room for room in member.rooms if room.late and room.room_id not in joined]
    return Synced(
        since=since,
        next_batch=str(answer["next_batch"]),
        timelines=(
            *(_take_in_room(member, room_id, dict_of(body), since) for room_id, body in joined.items()),
            *(Timeline(r, newly_joined=not r.behind, gap_from=since, gap_to=r.behind or "") for r in late),
        ),
        invitations=tuple(
            _invitation(member, room_id, dict_of(body), str(answer["next_batch"]))
            for room_id, body in dict_of(rooms.get("invite")).items()
        ),
        left=tuple(
            replace(member.rooms.get(room_id) or Room(room_id), membership="leave")
            for room_id in dict_of(rooms.get("leave"))
        ),
        keys=frozenset(member.new_keys),
        to_device=tuple(member.to_device),
    )


def decrypt(member: Member, synced: Synced) -> Batch:
    """Make events readable with the keys at hand; the others wait for theirs."""
    read: list[Received] = []
    unread: list[Undecryptable] = []
    for timeline in synced.timelines:
        for raw in _since_invitation(member, timeline):
            try:
                event = open_event(member, timeline.room.room_id, raw)
            except Exception as fault:  # whatever somebody sent: the others' messages do not wait for it
                report(fault, log)
                continue
            if isinstance(event, Received):
                read.append(event)
            elif event is not None:
                unread.append(event)
    return Batch(
        next_batch=synced.next_batch,
        events=tuple(read),
        undecryptable=tuple(unread),
        invitations=synced.invitations,
        rooms=(*(timeline.room for timeline in synced.timelines if timeline.changed), *synced.left),
        keys=synced.keys,
        to_device=synced.to_device,
    )


async def trust(member: Member, batch: Batch) -> Batch:
    """Add to each event what the session that carried it proves about its sender.

    Those whose devices changed are looked at too, so that a new identity is noticed before it speaks.
    """
    senders = {event.sender for event in batch.events if event.sessions}
    await member.trust.refresh(senders | (member.trust.stale & member.trust.people.keys()))
    await member.trust.doubt({e.sender for e in batch.events if judged(member, e).verdict in UNPROVEN})
    return replace(batch, events=tuple(judged(member, event) for event in batch.events))


def judged(member: Member, event: Received) -> Received:
    """One event with its verdict, from the devices known now."""
    if not event.sessions:
        return event
    return replace(event, verdict=member.trust.judge(event.sender, event.sessions))


def open_event(member: Member, room_id: str, raw: Mapping[str, Any]) -> Received | Undecryptable | None:
    """Read one event; None for what is malformed, or ours."""
    content, event_id, sender = raw.get("content"), raw.get("event_id"), raw.get("sender")
    stamp, kind, state_key = raw.get("origin_server_ts"), raw.get("type"), raw.get("state_key")
    if not isinstance(content, dict) or not isinstance(event_id, str) or not isinstance(sender, str):
        return None
    if not isinstance(kind, str) or sender == member.user_id:
        return None
    relates_to = dict_of(content.get("m.relates_to"))
    plain = Received(
        event_id=event_id,
        room_id=room_id,
        sender=sender,
        sent_at=instant(stamp),
        type=kind,
        content=content,
        relates_to=relates_to,
        state_key=state_key if isinstance(state_key, str) else None,
    )
    if kind != "m.room.encrypted" or plain.state_key is not None:
        return plain
    session_id, ciphertext = content.get("session_id"), content.get("ciphertext")
    if (
        content.get("algorithm") != MEGOLM
        or not isinstance(session_id, str)
        or not isinstance(ciphertext, str)
    ):
        return None
    if _SESSION_ID.fullmatch(session_id) is None:
        return None  # an Ed25519 key in unpadded base64, or nothing that anybody could ever read
    opened = _decrypted(member.client.machine.inbound_sessions(room_id, session_id), room_id, ciphertext)
    if opened is None:
        return Undecryptable(event_id, room_id, sender, plain.sent_at, session_id, raw)
    sessions, message_index, inner = opened
    return replace(
        plain,
        type=inner["type"],
        content=inner["content"],
        session_id=session_id,
        message_index=message_index,
        sessions=tuple(sessions),
    )


def _decrypted(
    sessions: Iterable[InboundGroupSession], room_id: str, ciphertext: str
) -> tuple[list[InboundGroupSession], int, JsonObject] | None:
    """The sessions that open a ciphertext (usually one), its place in the ratchet, and what was in it."""
    able: list[InboundGroupSession] = []
    found: tuple[int, JsonObject] | None = None
    for session in sessions:
        try:
            plaintext, message_index = session.decrypt(ciphertext)
            inner = parsed(plaintext)
        except ValueError:
            continue
        # Megolm says nothing about the room: without this check a message could be replayed into another one.
        if not isinstance(inner, dict) or inner.get("room_id") != room_id:
            continue
        if isinstance(inner.get("type"), str) and isinstance(inner.get("content"), dict):
            able.append(session)
            found = found or (message_index, inner)
    return (able, *found) if found else None


def _take_in_to_device(
    member: Member, messages: Iterable[Any]
) -> tuple[frozenset[tuple[str, str]], list[ToDevice]]:
    """Decrypt to-device messages and keep their keys, all in one write; and what else there is in them."""
    arrived: set[tuple[str, str]] = set()
    taken: set[str] = set()
    others: list[ToDevice] = []
    olm = member.client.machine
    with olm.together():
        for raw in messages:
            try:
                # A sync that could not be kept is answered again, with messages that open once only.
                if (fingerprint := _fingerprint(raw)) in member.taken:
                    continue
                taken.add(fingerprint)
                if raw.get("type") == "m.room_key.withheld":
                    _take_in_withheld(member, raw)
                    continue
                event = ToDeviceEvent.parse_event(raw)
                # Verification and key requests are not for nio's half-made handlers.
                encrypted = isinstance(event, EncryptedToDeviceEvent)
                opened = olm.handle_to_device_event(event) if encrypted else None
            except PeeweeException as fault:
                raise OperatorError("matrix.store_unwritable", path=member.client.store_path) from fault
            except Exception as fault:
                # Anybody may send us anything: one message must not cost us the keys behind it.
                log.warning("to_device.malformed", reason=type(fault).__name__)
                continue
            other = _to_device(opened.source if isinstance(opened, UnknownToDeviceEvent) else raw)
            if other is not None:
                others.append(other)
            if isinstance(opened, RoomKeyEvent) and olm.inbound_sessions(opened.room_id, opened.session_id):
                arrived.add((opened.room_id, opened.session_id))
    member.taken |= taken
    return frozenset(arrived), others


def _to_device(raw: object) -> ToDevice | None:
    """A message of a device, in clear or opened; None for what is malformed, or still closed."""
    match raw:
        case {"sender": str(sender), "type": str(kind), "content": dict(content)} if (
            kind != "m.room.encrypted"
        ):
            return ToDevice(sender, kind, content)
    return None


def _fingerprint(raw: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()


def _take_in_withheld(member: Member, raw: Mapping[str, Any]) -> None:
    content, sender = raw["content"], str(raw["sender"])
    if content["code"] == "m.no_olm":
        # They have no way to reach us: let us open one to them.
        member.client.machine._mark_device_for_unwedging(sender, content["sender_key"])
        return
    withheld = Withheld(content["room_id"], content["session_id"], sender, content["code"])
    member.withheld[withheld.room_id, withheld.session_id, sender] = withheld
    while len(member.withheld) > MOST_WITHHELD:
        del member.withheld[next(iter(member.withheld))]
    log.info("room_key.withheld", sender=sender, room=withheld.room_id, reason=withheld.code)


def _take_in_devices(member: Member, answer: Mapping[str, Any]) -> None:
    lists = dict_of(answer.get("device_lists"))
    member.trust.mark_stale(user for user in list_of(lists.get("changed")) if isinstance(user, str))
    for user in list_of(lists.get("left")):
        if isinstance(user, str):
            member.trust.people.pop(user, None)
    count = dict_of(answer.get("device_one_time_keys_count")).get("signed_curve25519", 0)
    member.one_time_keys = count if isinstance(count, int) else 0
    unused = answer.get("device_unused_fallback_key_types")
    member.client.fallback_key_used = isinstance(unused, list) and "signed_curve25519" not in unused


def _take_in_room(member: Member, room_id: str, body: Mapping[str, Any], since: str | None) -> Timeline:
    before = member.rooms.get(room_id)
    newly_joined = before is None or before.membership != "join"
    timeline = dict_of(body.get("timeline"))
    events = [event for event in list_of(timeline.get("events")) if isinstance(event, dict)]
    told_after = STATE_AFTER in body
    told = list_of(dict_of(body.get(STATE_AFTER if told_after else "state")).get("events"))
    state = [event for event in told if isinstance(event, dict)]
    # The state that comes with a join is the whole of it.
    start = Room(room_id) if before is None or newly_joined else before
    room = start.after_all(state if told_after else [*state, *events])
    # A room that we are in and know nothing of, not even our own arrival, is one whose row was lost.
    newly_joined = newly_joined and member.user_id in room.members
    prev_batch = timeline.get("prev_batch")
    limited = bool(timeline.get("limited")) and isinstance(prev_batch, str)
    return Timeline(
        room=room,
        # A first sync shows the past of an account: known, not answered.
        events=() if since is None else tuple(events),
        changed=room != before,
        newly_joined=newly_joined or room.behind == "",
        gap_from=prev_batch if limited else since if room.late else None,
        gap_to="" if newly_joined else (since or "") if room.behind is None else room.behind,
    )


def _invitation(member: Member, room_id: str, body: Mapping[str, Any], next_batch: str) -> Invitation:
    state = [e for e in list_of(dict_of(body.get("invite_state")).get("events")) if isinstance(e, dict)]
    ours = next(
        (e for e in state if e.get("type") == "m.room.member" and e.get("state_key") == member.user_id), {}
    )
    stamp = ours.get("event_id") or next_batch
    return Invitation(room_id, str(ours.get("sender", "")), f"invite:{room_id}:{stamp}")


def _since_invitation(member: Member, timeline: Timeline) -> Iterable[Mapping[str, Any]]:
    """What was said since we were asked in; what was said before was not meant for us."""
    if not timeline.newly_joined:
        return timeline.events
    arrivals = [at for at, event in enumerate(timeline.events) if is_arrival(member, event)]
    if not arrivals:
        return ()
    # Several stays in one room: the invitation that led to this one.
    joins = [at for at in arrivals if dict_of(timeline.events[at].get("content")).get("membership") == "join"]
    invites = [at for at in arrivals if at not in joins and (not joins or at < joins[-1])]
    return timeline.events[(invites or joins)[-1] :]


def is_arrival(member: Member, event: Mapping[str, Any]) -> bool:
    """Whether we were asked in, or came in, with this event."""
    return (
        event.get("type") == "m.room.member"
        and event.get("state_key") == member.user_id
        and dict_of(event.get("content")).get("membership") in ("invite", "join")
    )


def instant(stamp: object) -> datetime:
    """A moment as Matrix tells it, milliseconds since the epoch; whatever is none was long ago."""
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC)  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def dict_of(value: object) -> dict[str, Any]:
    """The value, if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    """The value, if it is a list; else an empty one."""
    return value if isinstance(value, list) else []
