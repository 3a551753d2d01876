"""The receiving half of the way, after ``sync.py`` and ``backfill.py``: decrypt, trust.

Each stage takes what the one before gives, so that the whole reads as one expression in ``hub/flow.py``, and
every stage can be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nio.crypto import InboundGroupSession

from hub.matrix.batch import Batch, Received, Synced, Timeline, Undecryptable
from hub.matrix.client import JsonObject
from hub.matrix.rooms import MEGOLM
from hub.matrix.trust import UNPROVEN
from hub.matrix.wire import dict_of, parsed
from hub.observe import Log, report

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

_SESSION_ID = re.compile(r"[A-Za-z0-9+/]{43}")


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
