"""Ask the homeserver what is new, and take in the keys, the device changes and the rooms that it brings.

Nothing here moves on: a batch that was not kept is asked for again, until ``Member.move_on`` is told that it
was kept.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nio.events import EncryptedToDeviceEvent, RoomKeyEvent, ToDeviceEvent, UnknownToDeviceEvent
from peewee import PeeweeException

from hub.errors import OperatorError
from hub.matrix.batch import Invitation, Synced, Timeline, ToDevice, Withheld
from hub.matrix.client import Unreachable, path
from hub.matrix.rooms import Room
from hub.matrix.wire import dict_of, list_of
from hub.observe import Log

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

TIMELINE_LIMIT = 100
LONG_POLL_MS = 30_000
MOST_WITHHELD = 10_000  # remembered; anybody may send us such notices
_REPLY_GRACE_SECONDS = 30.0
STATE_AFTER = "org.matrix.msc4222.state_after"
"""The state at the end of a timeline, where the server tells it (MSC4222; ``state_after`` in the standard).

In a room whose history forks, as one on several servers does, ``state`` and the timeline's own state events
may take somebody back to what they were before: the joined to "invited", the gone to "joined".
"""


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
    facts = content["room_id"], content["session_id"], sender, content["code"]
    if not all(isinstance(fact, str) for fact in facts):
        raise TypeError("a withheld key whose facts are no text")
    withheld = Withheld(*facts)
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
