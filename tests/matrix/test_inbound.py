"""Whatever a homeserver may send: nothing breaks, and nothing unproven becomes readable or trusted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nio.crypto import OutboundGroupSession
from unpaddedbase64 import encode_base64

from hub.matrix import backfill
from hub.matrix.account import Account, AccountFile
from hub.matrix.backfill import fill_gaps
from hub.matrix.batch import Received, Synced, Timeline, Undecryptable
from hub.matrix.client import Client, MatrixError
from hub.matrix.inbound import _since_invitation, decrypt, open_event
from hub.matrix.member import Member
from hub.matrix.rooms import Room
from hub.matrix.sync import STATE_AFTER, sync
from hub.matrix.trust import PinsInMemory, TrustBook, Verdict
from hub.seal import MasterKey

HUB, NURSE, ROOM = "@hub:x", "@nurse:x", "!room:x"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def member_in(folder: Path) -> Member:
    account = Account("http://127.0.0.1:1", HUB, "HUBDEVICE", "")
    client = Client(account.homeserver, HUB, account.device_id, folder, "key")
    client.restore_login(HUB, account.device_id, "token")
    file = AccountFile(folder, MasterKey.generate())
    return Member(account, file, client, TrustBook(client, PinsInMemory()))


@pytest_asyncio.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    one = member_in(tmp_path)
    yield one
    await one.close()


def encrypted(session: OutboundGroupSession, inner: object, **changes: Any) -> dict[str, Any]:
    session.shared = True
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "session_id": session.id,
        "ciphertext": session.encrypt(json.dumps(inner)),
    }
    return {
        "type": "m.room.encrypted",
        "event_id": "$e",
        "sender": NURSE,
        "origin_server_ts": 1_700_000_000_000,
        "content": {**content, **changes},
    }


def known_session(member: Member) -> OutboundGroupSession:
    session = OutboundGroupSession()
    key = encode_base64(bytes(32))
    member.client.machine.create_group_session(key, key, ROOM, session.id, session.session_key)
    return session


MESSAGE = {"room_id": ROOM, "type": "m.room.message", "content": {"msgtype": "m.text", "body": "/aide"}}


async def test_a_message_is_read_without_the_labels_beside_it(member: Member) -> None:
    """``sender_key`` and ``device_id`` are cleartext that anybody may write: they are not even needed."""
    event = open_event(
        member, ROOM, encrypted(known_session(member), MESSAGE, device_id="LIES", sender_key="lies")
    )
    assert isinstance(event, Received)
    assert event.content["body"] == "/aide"
    assert event.message_index == 0


async def test_a_message_replayed_into_another_room_stays_shut(member: Member) -> None:
    session = known_session(member)
    moved = encrypted(session, {**MESSAGE, "room_id": "!elsewhere:x"})
    assert isinstance(open_event(member, ROOM, moved), Undecryptable)


async def test_only_the_relation_in_clear_counts(member: Member) -> None:
    inner = {**MESSAGE, "content": {**MESSAGE["content"], "m.relates_to": {"rel_type": "m.replace"}}}  # type: ignore[dict-item]
    event = open_event(member, ROOM, encrypted(known_session(member), inner))
    assert isinstance(event, Received)
    assert event.relates_to == {}


async def test_what_has_no_key_waits_as_it_came(member: Member) -> None:
    raw = encrypted(OutboundGroupSession(), MESSAGE)
    event = open_event(member, ROOM, raw)
    assert isinstance(event, Undecryptable)
    assert event.raw == raw


async def test_a_member_cannot_shorten_a_session_that_we_hold(member: Member) -> None:
    """The lower message index wins: a second copy that starts later must not replace the first."""
    session = known_session(member)
    early = encrypted(session, MESSAGE)
    key = encode_base64(bytes(32))
    member.client.machine.create_group_session(key, key, ROOM, session.id, session.session_key)
    assert isinstance(open_event(member, ROOM, early), Received)


async def test_somebody_who_passes_on_a_session_as_his_own_proves_nothing_and_hides_nothing(
    member: Member,
) -> None:
    session = known_session(member)
    mallory = encode_base64(b"m" * 32)
    member.client.machine.create_group_session(mallory, mallory, ROOM, session.id, session.session_key)
    event = open_event(member, ROOM, encrypted(session, MESSAGE))
    assert isinstance(event, Received)
    assert {one.sender_key for one in event.sessions} == {encode_base64(bytes(32)), mallory}
    assert member.trust.judge(NURSE, event.sessions) is Verdict.UNKNOWN_DEVICE


@contextmanager
def answering(member: Member, answer: object) -> Iterator[None]:
    async def call(*_: object, **__: object) -> object:
        return answer

    member.client.call = call  # type: ignore[method-assign, assignment]
    yield


raw_events = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["m.room.message", "m.room.encrypted", "m.room.member"]) | json_values,
        "event_id": st.text(max_size=5) | json_values,
        "sender": st.just(NURSE) | json_values,
        "origin_server_ts": st.integers() | json_values,
        "state_key": st.just(HUB) | json_values,
        "content": st.fixed_dictionaries(
            {},
            optional={
                "algorithm": st.just("m.megolm.v1.aes-sha2") | json_values,
                "ciphertext": st.just("AwgA") | json_values,
                "session_id": st.just("s") | json_values,
                "sender_key": json_values,
                "m.relates_to": json_values,
                "msgtype": json_values,
                "body": json_values,
            },
        )
        | json_values,
    },
)
rooms = st.fixed_dictionaries(
    {},
    optional={
        "timeline": st.fixed_dictionaries(
            {}, optional={"events": st.lists(raw_events | json_values, max_size=4)}
        )
        | json_values,
        **dict.fromkeys(
            ("state", STATE_AFTER),
            st.fixed_dictionaries({}, optional={"events": st.lists(raw_events, max_size=3)}) | json_values,
        ),
    },
)
to_device = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["m.room.encrypted", "m.room_key", "m.dummy", "m.room_key_request"]),
        "sender": st.just(NURSE) | json_values,
        "content": json_values
        | st.fixed_dictionaries(
            {
                "algorithm": st.just("m.olm.v1.curve25519-aes-sha2"),
                "sender_key": st.text(max_size=44),
                "ciphertext": st.dictionaries(st.text(max_size=44), json_values, max_size=2),
            }
        ),
    }
)
syncs = st.fixed_dictionaries(
    {"next_batch": st.just("s1")},
    optional={
        "to_device": st.fixed_dictionaries({"events": st.lists(to_device | json_values, max_size=4)})
        | json_values,
        "rooms": st.fixed_dictionaries(
            {},
            optional={
                "join": st.dictionaries(st.just(ROOM) | st.text(max_size=5), rooms | json_values, max_size=2),
                "invite": st.dictionaries(st.text(max_size=5), json_values, max_size=2),
                "leave": st.dictionaries(st.text(max_size=5), json_values, max_size=2) | json_values,
            },
        )
        | json_values,
        "device_lists": json_values,
        "device_one_time_keys_count": json_values,
        "device_unused_fallback_key_types": json_values,
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=syncs)
def test_no_sync_breaks_the_hub_or_is_believed(
    answer: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def take_in() -> None:
        member = member_in(tmp_path_factory.mktemp("keys"))
        member.rooms.update(Room(ROOM, encrypted=True, members={HUB: "join", NURSE: "join"}))
        with answering(member, answer):
            batch = decrypt(member, await sync(member, "s0"))
        assert all(event.verdict is Verdict.NOT_ENCRYPTED for event in batch.events)
        assert not batch.keys
        await member.close()

    asyncio.run(take_in())


def member_event(membership: str, user_id: str = HUB) -> dict[str, Any]:
    return {"type": "m.room.member", "state_key": user_id, "content": {"membership": membership}}


def said(text: str) -> dict[str, Any]:
    return {"type": "m.room.message", "content": {"body": text}}


async def test_what_was_said_before_we_were_asked_in_was_not_said_to_us(member: Member) -> None:
    events = (
        member_event("invite"),
        member_event("join"),
        said("first stay"),
        member_event("leave"),
        said("between"),
        member_event("join", NURSE),
        member_event("invite"),
        said("asked in"),
        member_event("join"),
        said("here"),
    )
    heard = [
        event["content"]["body"]
        for event in _since_invitation(member, Timeline(Room(ROOM), events, newly_joined=True))
        if event["type"] == "m.room.message"
    ]
    assert heard == ["asked in", "here"]


async def test_a_batch_that_was_not_kept_is_understood_again_as_if_for_the_first_time(member: Member) -> None:
    """A full disk, or a gap that could not be filled: the second attempt must not take the room for known."""
    joined = {
        "timeline": {"events": [member_event("join"), said("/aide")], "limited": True, "prev_batch": "p"}
    }
    with answering(member, {"next_batch": "s1", "rooms": {"join": {ROOM: joined}}}):
        member.new_keys.add((ROOM, "session"))  # came with the attempt, opens once only
        for _ in range(2):
            synced = await sync(member, "s0")
            (timeline,) = synced.timelines
            assert (timeline.newly_joined, timeline.changed, timeline.gap_from) == (True, True, "p")
            assert synced.keys == {(ROOM, "session")}
        member.move_on(decrypt(member, synced))
        assert not (await sync(member, "s0")).timelines[0].newly_joined
        assert member.new_keys == set()


async def test_a_gap_in_a_room_that_shut_us_out_holds_nothing_up(member: Member) -> None:
    async def refuse(*_: object, **__: object) -> object:
        raise MatrixError(403, {"errcode": "M_FORBIDDEN"})

    member.client.call = refuse  # type: ignore[method-assign, assignment]
    gap = Timeline(Room(ROOM, members={HUB: "join"}), (said("here"),), gap_from="p")
    (filled,) = (await fill_gaps(member, Synced("s0", "s1", timelines=(gap,)))).timelines
    assert filled.events == (said("here"),)


async def test_the_state_after_a_timeline_is_the_state(member: Member) -> None:
    """Where history forked, an event told later may be the older one: it takes nobody back."""
    after = {"events": [member_event("join"), member_event("join", NURSE)]}
    timeline = {"events": [member_event("join", NURSE), member_event("invite", NURSE)]}
    body = {STATE_AFTER: after, "timeline": timeline}
    with answering(member, {"next_batch": "s1", "rooms": {"join": {ROOM: body}}}):
        (told,) = (await sync(member, None)).timelines
    assert told.room.members == {HUB: "join", NURSE: "join"}


async def test_a_gap_is_filled_up_to_the_invitation_however_many_pages_lie_between(member: Member) -> None:
    after_invitation = {"prev_content": {"membership": "invite"}}
    pages = {
        "p": {"chunk": [said("3"), {**member_event("join"), "unsigned": after_invitation}], "end": "q"},
        "q": {"chunk": [said("2"), said("1"), member_event("invite"), said("0")], "end": "r"},
    }

    async def page(method: str, url: str, *_: object, **__: object) -> object:
        return pages[parse_qs(urlsplit(url).query)["from"][0]]

    member.client.call = page  # type: ignore[method-assign, assignment]
    room = Room(ROOM, members={HUB: "join"})
    gap = Timeline(room, (said("4"),), newly_joined=True, gap_from="p")
    (filled,) = (await fill_gaps(member, Synced("s0", "s1", timelines=(gap,)))).timelines
    heard = [
        event["content"]["body"]
        for event in _since_invitation(member, filled)
        if event["type"] == "m.room.message"
    ]
    assert heard == ["1", "2", "3", "4"]


async def test_the_state_beside_a_timeline_is_taken_in(member: Member) -> None:
    """A first sync, or a long absence: who is in a room stands beside the timeline, not in it."""
    encryption = {
        "type": "m.room.encryption",
        "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
    }
    state = {"events": [member_event("join"), member_event("join", NURSE), encryption]}
    body = {"state": state, "timeline": {"events": [member_event("invite", "@new:x")]}}
    with answering(member, {"next_batch": "s1", "rooms": {"join": {ROOM: body}}}):
        (timeline,) = (await sync(member, None)).timelines
    assert timeline.room.members == {HUB: "join", NURSE: "join", "@new:x": "invite"}
    assert timeline.room.encrypted is True


async def test_a_past_that_takes_long_is_fetched_over_several_turns_and_nothing_twice(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full room on a slow homeserver: it holds the others up for a while, and goes on where it was."""
    monkeypatch.setattr(backfill, "ROOM_SECONDS", 0.3)
    asked: list[str] = []

    async def page(method: str, url: str, *_: object, **__: object) -> object:
        await asyncio.sleep(0.05)
        at = parse_qs(urlsplit(url).query)["from"][0]
        asked.append(at)
        if at.startswith("s"):  # what was said between two of our syncs, none of it in this room
            return {"chunk": [], "end": "p20"} if at == "s1" else {"chunk": []}
        number = int(at[1:])
        return {"chunk": [said(str(number))], **({"end": f"p{number - 1}"} if number > 1 else {})}

    member.client.call = page  # type: ignore[method-assign, assignment]
    room = Room(ROOM, members={HUB: "join"})
    turns, timeline = 0, Timeline(room, gap_from="s1", gap_to="s0")
    while True:
        (filled,) = (await fill_gaps(member, Synced("s1", "s2", timelines=(timeline,)))).timelines
        turns += 1
        if not filled.room.late:
            break
        assert filled.events == ()
        assert filled.room.behind == "s0"
        member.rooms.update(filled.room)
        member.backfills[ROOM].not_before = 0.0
        timeline = Timeline(filled.room, gap_from=f"s{turns + 1}", gap_to="s0")
    assert turns > 2
    assert [event["content"]["body"] for event in filled.events] == [str(n) for n in range(1, 21)]
    fetched = [at for at in asked if at.startswith("p")]
    assert len(set(fetched)) == 20
    assert len(fetched) - 20 <= turns  # the page under way as a turn ended, at most
    assert member.backfills == {}
