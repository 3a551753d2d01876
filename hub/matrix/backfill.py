"""Back-fill: what a sync leaves out is fetched before what came later in its room.

A sync shows a hundred events of a room at most. The rest is asked for page by page, up to the last sync or to
our own invitation. So is, for a room whose row was erased or altered, what we knew of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub.matrix.batch import Synced, Timeline
from hub.matrix.client import MatrixError, Unreachable, path
from hub.matrix.inbound import is_arrival
from hub.matrix.rooms import Room
from hub.matrix.wire import dict_of, list_of
from hub.observe import Log

if TYPE_CHECKING:
    from hub.matrix.member import Member

log = Log(__name__)

PAGE = 500
AT_ONCE = 8
PAGE_SECONDS = 20.0  # so long one room may hold up the others; then it is left for later
LONGEST_PAUSE = 300.0


async def fill_gaps(member: Member, synced: Synced) -> Synced:
    """Fetch what a limited timeline left out, so that nothing later of that room is handled before it.

    A room whose past the homeserver does not give is left behind, and noted as such: what is said there waits
    on the server for a later turn, and the other rooms do not wait at all.
    """
    if synced.since is None:
        return synced
    at_once = asyncio.Semaphore(AT_ONCE)

    async def caught_up(timeline: Timeline) -> Timeline:
        if timeline.gap_from is None and member.user_id in timeline.room.members:
            return timeline
        async with at_once:
            return await _caught_up(member, timeline)

    return replace(synced, timelines=tuple(await asyncio.gather(*map(caught_up, synced.timelines))))


async def _caught_up(member: Member, timeline: Timeline) -> Timeline:
    """A timeline without a gap or, when the homeserver does not give it just now, a room left behind."""
    room, now = timeline.room, time.monotonic()
    left_behind = replace(room, behind=timeline.gap_to)
    failures, not_before = member.backfills.get(room.room_id, (0, now))
    try:
        if now < not_before:
            return Timeline(left_behind, changed=left_behind != member.rooms.get(room.room_id))
        if member.user_id not in room.members:
            room = await _recalled(member, room)
        missing = [] if timeline.gap_from is None else await _missing(member, timeline, timeline.gap_from)
    except (MatrixError, Unreachable) as failed:
        if isinstance(failed, MatrixError) and failed.errcode == "M_UNKNOWN_TOKEN":
            raise
        pause = min(2.0**failures, LONGEST_PAUSE)
        member.backfills[room.room_id] = (failures + 1, time.monotonic() + pause)
        log.warning("sync.room_behind", room=room.room_id, reason=type(failed).__name__)
        return Timeline(left_behind, changed=left_behind != member.rooms.get(room.room_id))
    member.backfills.pop(room.room_id, None)
    return replace(
        timeline,
        room=replace(room, behind=None),
        events=(*missing, *timeline.events),
        changed=timeline.changed or timeline.room.late or room != timeline.room,
    )


async def _recalled(member: Member, room: Room) -> Room:
    """A room as the server describes it, for one that we are in and know nothing of: its row was lost."""
    log.warning("room.recalled", room=room.room_id)
    members = await member.client.call("GET", path("rooms", room.room_id, "members"), timeout=PAGE_SECONDS)
    state = [event for event in list_of(members.get("chunk")) if isinstance(event, dict)]
    for kind in ("m.room.encryption", "m.room.history_visibility"):
        try:
            url = path("rooms", room.room_id, "state", kind)
            content = await member.client.call("GET", url, timeout=PAGE_SECONDS)
        except MatrixError as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
        else:
            state.append({"type": kind, "state_key": "", "content": content})
    return room.after_all(state)


async def _missing(member: Member, timeline: Timeline, gap_from: str) -> list[Mapping[str, Any]]:
    """The events before a timeline, oldest first, back to the last sync or to our own invitation."""
    found: list[Mapping[str, Any]] = []
    at: str | None = gap_from
    while at is not None:
        query = {"dir": "b", "from": at, "limit": str(PAGE)}
        if timeline.gap_to:
            query["to"] = timeline.gap_to
        try:
            url = path("rooms", timeline.room.room_id, "messages", **query)
            page = await member.client.call("GET", url, timeout=PAGE_SECONDS)
        except MatrixError as refused:
            if refused.status not in (403, 404):
                raise
            # We are out of that room by now: what was said in it is no longer ours to read, or to wait for.
            log.warning("sync.gap_closed", room=timeline.room.room_id, reason=refused.errcode)
            break
        chunk = [event for event in list_of(page.get("chunk")) if isinstance(event, dict)]
        found += chunk
        arrived = timeline.newly_joined and any(_begins_our_stay(member, event) for event in chunk)
        following = page.get("end")
        at = following if isinstance(following, str) and following != at and not arrived else None
    log.info("sync.gap_filled", room=timeline.room.room_id, count=len(found))
    return found[::-1]


def _begins_our_stay(member: Member, event: Mapping[str, Any]) -> bool:
    """Our invitation, or a join that no invitation came before; a join after one, or a new name, is later."""
    before = dict_of(dict_of(event.get("unsigned")).get("prev_content")).get("membership")
    invited = dict_of(event.get("content")).get("membership") == "invite"
    return is_arrival(member, event) and (invited or before not in ("invite", "join"))
