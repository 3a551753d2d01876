"""Back-fill: what a sync leaves out is fetched before what came later in its room.

A sync shows a hundred events of a room at most. The rest is asked for page by page, up to the last sync or to
our own invitation. So is, for a room whose row was erased or altered, what we knew of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
ROOM_SECONDS = 20.0  # so long one room may hold up the others; then it goes on with a later turn
MOST_PAGES = 1000  # half a million events; no room of ours is so full, but a server may say so for ever
LONGEST_PAUSE = 300.0


@dataclass
class Backfill:
    """How far a room's past was fetched, between two attempts: a large one takes several."""

    top: str | None = None  # the position that it reaches back from
    at: str | None = None  # where to go on; None at its end
    events: list[Mapping[str, Any]] = field(default_factory=list)  # newest first
    pages: int = 0
    failures: int = 0
    not_before: float = 0.0  # monotonic

    def wait(self, *, since_progress: bool) -> None:
        """Come again later; soon, where the homeserver is only slow."""
        self.failures = 0 if since_progress else self.failures + 1
        self.not_before = time.monotonic() + min(2.0**self.failures, LONGEST_PAUSE)

    async def reach_back(self, member: Member, timeline: Timeline, gap_from: str) -> None:
        """Fetch what is missing before ``gap_from``, and keep what was fetched if it ends early."""
        if self.top is None:
            self.top = self.at = gap_from
        elif self.top != gap_from:  # what came since the last attempt
            newer = Backfill(gap_from, gap_from)
            await newer._go_back(member, timeline, self.top)
            self.events, self.top = newer.events + self.events, gap_from
        await self._go_back(member, timeline, timeline.gap_to)
        log.info("sync.gap_filled", room=timeline.room.room_id, count=len(self.events))

    async def _go_back(self, member: Member, timeline: Timeline, until: str) -> None:
        """To the position ``until`` or, where that is empty, to our own invitation."""
        room_id = timeline.room.room_id
        while self.at is not None:
            query = {"dir": "b", "from": self.at, "limit": str(PAGE)}
            if until:
                query["to"] = until
            try:
                page = await member.client.call("GET", path("rooms", room_id, "messages", **query))
            except MatrixError as refused:
                if refused.status not in (403, 404):
                    raise
                # We are out of that room: what was said in it is no longer ours to read, or to wait for.
                log.warning("sync.gap_closed", room=room_id, reason=refused.errcode)
                self.at = None
                return
            chunk = [event for event in list_of(page.get("chunk")) if isinstance(event, dict)]
            self.events += chunk
            self.pages += 1
            arrived = timeline.newly_joined and any(_begins_our_stay(member, event) for event in chunk)
            following = page.get("end")
            at = following if isinstance(following, str) and following != self.at and not arrived else None
            if at is not None and self.pages >= MOST_PAGES:
                log.error("sync.gap_given_up", room=room_id, count=len(self.events))
                at = None
            self.at = at


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
    room = timeline.room
    past = member.backfills.setdefault(room.room_id, Backfill())
    left_behind = replace(room, behind=timeline.gap_to)
    behind = Timeline(left_behind, changed=left_behind != member.rooms.get(room.room_id))
    if time.monotonic() < past.not_before:
        return behind
    pages = past.pages
    try:
        async with asyncio.timeout(ROOM_SECONDS):
            if member.user_id not in room.members:
                room = await _recalled(member, room)
            if timeline.gap_from is not None:
                await past.reach_back(member, timeline, timeline.gap_from)
    except (MatrixError, Unreachable, TimeoutError) as failed:
        if isinstance(failed, MatrixError) and failed.errcode == "M_UNKNOWN_TOKEN":
            raise
        past.wait(since_progress=past.pages > pages)
        log.warning("sync.room_behind", room=room.room_id, reason=type(failed).__name__)
        return behind
    del member.backfills[room.room_id]
    return replace(
        timeline,
        room=replace(room, behind=None),
        events=(*reversed(past.events), *timeline.events),
        changed=timeline.changed or timeline.room.late or room != timeline.room,
    )


async def _recalled(member: Member, room: Room) -> Room:
    """A room as the server describes it, for one that we are in and know nothing of: its row was lost."""
    log.warning("room.recalled", room=room.room_id)
    members = await member.client.call("GET", path("rooms", room.room_id, "members"))
    state = [event for event in list_of(members.get("chunk")) if isinstance(event, dict)]
    for kind in ("m.room.encryption", "m.room.history_visibility"):
        try:
            url = path("rooms", room.room_id, "state", kind)
            content = await member.client.call("GET", url)
        except MatrixError as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
        else:
            state.append({"type": kind, "state_key": "", "content": content})
    return room.after_all(state)


def _begins_our_stay(member: Member, event: Mapping[str, Any]) -> bool:
    """Our invitation, or a join that no invitation came before; a join after one, or a new name, is later."""
    before = dict_of(dict_of(event.get("unsigned")).get("prev_content")).get("membership")
    invited = dict_of(event.get("content")).get("membership") == "invite"
    return is_arrival(member, event) and (invited or before not in ("invite", "join"))
