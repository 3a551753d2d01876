"""The receiving half of the way: sync, back-fill, decrypt, trust.

Each stage takes what the one before gives, so that the whole reads as one expression in ``hub/flow.py``.
Nothing here moves on: a batch that was not kept is asked for again, and every stage can be repeated, until
``Member.move_on`` is told that it was kept.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nio.crypto import InboundGroupSession
from nio.events import EncryptedToDeviceEvent, RoomKeyEvent, ToDeviceEvent
from peewee import PeeweeException

from hub.errors import OperatorError
from hub.matrix.client import JsonObject, MatrixError, Unreachable, path
from hub.matrix.rooms import MEGOLM, Room
from hub.matrix.trust import Verdict
from hub.observe import Log, report

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

TIMELINE_LIMIT = 100
BACKFILL_PAGE = 500
BACKFILLS_AT_ONCE = 8
BACKFILL_SECONDS = (
    20.0  # a page of one room's past may hold up the others so long, and is then left for later
)
LONGEST_BACKFILL_PAUSE = 300.0
_SESSION_ID = re.compile(r"[A-Za-z0-9+/]{43}")
LONG_POLL_MS = 30_000
_REPLY_GRACE_SECONDS = 30.0


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
    query = {"filter": sync_filter, "timeout": str(timeout_ms), "set_presence": "offline"}
    if since:
        query["since"] = since
    answer = await member.client.call(
        "GET", path("sync", **query), timeout=timeout_ms / 1000 + _REPLY_GRACE_SECONDS
    )
    if not isinstance(answer.get("next_batch"), str):
        raise Unreachable("a sync without a position")
    # To-device messages open once only: what came with an attempt that failed must not be forgotten.
    member.new_keys |= _take_in_to_device(member, answer)
    _take_in_devices(member, answer)
    rooms = _dict(answer.get("rooms"))
    joined = _dict(rooms.get("join"))
    late = [room for room in member.rooms if room.late and room.room_id not in joined]
    return Synced(
        since=since,
        next_batch=str(answer["next_batch"]),
        timelines=(
            *(_take_in_room(member, room_id, _dict(body), since) for room_id, body in joined.items()),
            *(Timeline(r, newly_joined=not r.behind, gap_from=since, gap_to=r.behind or "") for r in late),
        ),
        invitations=tuple(
            _invitation(member, room_id, _dict(body), str(answer["next_batch"]))
            for room_id, body in _dict(rooms.get("invite")).items()
        ),
        left=tuple(
            replace(member.rooms.get(room_id) or Room(room_id), membership="leave")
            for room_id in _dict(rooms.get("leave"))
        ),
        keys=frozenset(member.new_keys),
    )


async def fill_gaps(member: Member, synced: Synced) -> Synced:
    """Fetch what a limited timeline left out, so that nothing later of that room is handled before it.

    A room whose past the homeserver does not give is left behind, and noted as such: what is said there waits
    on the server for a later turn, and the other rooms do not wait at all.
    """
    at_once = asyncio.Semaphore(BACKFILLS_AT_ONCE)

    async def filled(timeline: Timeline) -> Timeline:
        if timeline.gap_from is None or synced.since is None:
            return timeline
        async with at_once:
            missing = await _fetched(member, timeline)
        if missing is None:
            room = replace(timeline.room, behind=timeline.gap_to)
            return Timeline(room, changed=room != member.rooms.get(room.room_id))
        room = replace(timeline.room, behind=None)
        changed = timeline.changed or timeline.room.late
        return replace(timeline, room=room, events=(*missing, *timeline.events), changed=changed)

    return replace(synced, timelines=tuple(await asyncio.gather(*map(filled, synced.timelines))))


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
    )


async def trust(member: Member, batch: Batch) -> Batch:
    """Add to each event what the session that carried it proves about its sender.

    Those whose devices changed are looked at too, so that a new identity is noticed before it speaks.
    """
    senders = {event.sender for event in batch.events if event.sessions}
    await member.trust.refresh(senders | (member.trust.stale & member.trust.people.keys()))
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
    relates_to = _dict(content.get("m.relates_to"))
    plain = Received(
        event_id=event_id,
        room_id=room_id,
        sender=sender,
        sent_at=_instant(stamp),
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
            inner = json.loads(plaintext)
        except (ValueError, RecursionError):
            continue
        # Megolm says nothing about the room: without this check a message could be replayed into another one.
        if not isinstance(inner, dict) or inner.get("room_id") != room_id:
            continue
        if isinstance(inner.get("type"), str) and isinstance(inner.get("content"), dict):
            able.append(session)
            found = found or (message_index, inner)
    return (able, *found) if found else None


def _take_in_to_device(member: Member, answer: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Decrypt to-device messages and keep their keys, all in one write."""
    arrived: set[tuple[str, str]] = set()
    olm = member.client.machine
    with olm.together():
        for raw in _list(_dict(answer.get("to_device")).get("events")):
            try:
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
            if isinstance(opened, RoomKeyEvent) and olm.inbound_sessions(opened.room_id, opened.session_id):
                arrived.add((opened.room_id, opened.session_id))
    return frozenset(arrived)


def _take_in_devices(member: Member, answer: Mapping[str, Any]) -> None:
    lists = _dict(answer.get("device_lists"))
    member.trust.mark_stale(user for user in _list(lists.get("changed")) if isinstance(user, str))
    for user in _list(lists.get("left")):
        if isinstance(user, str):
            member.trust.people.pop(user, None)
    count = _dict(answer.get("device_one_time_keys_count")).get("signed_curve25519", 0)
    member.one_time_keys = count if isinstance(count, int) else 0
    unused = answer.get("device_unused_fallback_key_types")
    member.client.fallback_key_used = isinstance(unused, list) and "signed_curve25519" not in unused


def _take_in_room(member: Member, room_id: str, body: Mapping[str, Any], since: str | None) -> Timeline:
    before = member.rooms.get(room_id)
    newly_joined = before is None or before.membership != "join"
    timeline = _dict(body.get("timeline"))
    events = [event for event in _list(timeline.get("events")) if isinstance(event, dict)]
    state = [event for event in _list(_dict(body.get("state")).get("events")) if isinstance(event, dict)]
    start = replace(before or Room(room_id), membership="join")
    if newly_joined:
        # The state that comes with a join is the whole of it.
        start = replace(start, members={}, behind=None)
    room = start.after_all([*state, *events])
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
    state = [e for e in _list(_dict(body.get("invite_state")).get("events")) if isinstance(e, dict)]
    ours = next(
        (e for e in state if e.get("type") == "m.room.member" and e.get("state_key") == member.user_id), {}
    )
    stamp = ours.get("event_id") or next_batch
    return Invitation(room_id, str(ours.get("sender", "")), f"invite:{room_id}:{stamp}")


async def _fetched(member: Member, timeline: Timeline) -> list[Mapping[str, Any]] | None:
    """The events that are missing before a timeline; None when they cannot be had just now."""
    room_id, now = timeline.room.room_id, time.monotonic()
    failures, not_before = member.backfills.get(room_id, (0, now))
    if now < not_before:
        return None
    try:
        missing = await _missing(member, timeline)
    except (MatrixError, Unreachable) as failed:
        if isinstance(failed, MatrixError) and failed.errcode == "M_UNKNOWN_TOKEN":
            raise
        pause = min(2.0**failures, LONGEST_BACKFILL_PAUSE)
        member.backfills[room_id] = (failures + 1, time.monotonic() + pause)
        log.warning("sync.room_behind", room=room_id, reason=type(failed).__name__)
        return None
    member.backfills.pop(room_id, None)
    return missing


async def _missing(member: Member, timeline: Timeline) -> list[Mapping[str, Any]]:
    """The events before a timeline, oldest first, back to the last sync or to our own invitation."""
    found: list[Mapping[str, Any]] = []
    at = timeline.gap_from
    while at is not None:
        query = {"dir": "b", "from": at, "limit": str(BACKFILL_PAGE)}
        if timeline.gap_to:
            query["to"] = timeline.gap_to
        try:
            url = path("rooms", timeline.room.room_id, "messages", **query)
            page = await member.client.call("GET", url, timeout=BACKFILL_SECONDS)
        except MatrixError as refused:
            if refused.status not in (403, 404):
                raise
            # We are out of that room by now: what was said in it is no longer ours to read, or to wait for.
            log.warning("sync.gap_closed", room=timeline.room.room_id, reason=refused.errcode)
            break
        chunk = [event for event in _list(page.get("chunk")) if isinstance(event, dict)]
        found += chunk
        arrived = timeline.newly_joined and any(_is_arrival(member, event) for event in chunk)
        following = page.get("end")
        at = following if isinstance(following, str) and following != at and not arrived else None
    log.info("sync.gap_filled", room=timeline.room.room_id, count=len(found))
    return found[::-1]


def _since_invitation(member: Member, timeline: Timeline) -> Iterable[Mapping[str, Any]]:
    """What was said since we were asked in; what was said before was not meant for us."""
    if not timeline.newly_joined:
        return timeline.events
    arrivals = [at for at, event in enumerate(timeline.events) if _is_arrival(member, event)]
    if not arrivals:
        return ()
    # Several stays in one room: the invitation that led to this one.
    joins = [at for at in arrivals if _dict(timeline.events[at].get("content")).get("membership") == "join"]
    invites = [at for at in arrivals if at not in joins and (not joins or at < joins[-1])]
    return timeline.events[(invites or joins)[-1] :]


def _is_arrival(member: Member, event: Mapping[str, Any]) -> bool:
    return (
        event.get("type") == "m.room.member"
        and event.get("state_key") == member.user_id
        and _dict(event.get("content")).get("membership") in ("invite", "join")
    )


def _instant(stamp: object) -> datetime:
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC)  # type: ignore[operator]
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
