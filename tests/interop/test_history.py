"""Who is invited later reads what was said before where the room allows it, and nowhere else."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from hub.matrix.batch import Received
from hub.matrix.client import path
from hub.matrix.history import BUNDLE
from hub.matrix.inbound import open_event
from tests.interop.conftest import JsPeople
from tests.interop.js import JsClient
from tests.interop.test_hub_and_js import ask, enrolled
from tests.support.hub import TestHub

pytestmark = [pytest.mark.interop, pytest.mark.integration]


async def room_of_the_hub(hub: TestHub, nadia: JsClient) -> str:
    """A room that the hub made, whose server shows its past to everybody in it; the nurse is there."""
    state = [
        ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
        ("m.room.history_visibility", {"history_visibility": "shared"}),
    ]
    room_id = await hub.running.member.create_room(
        {
            "preset": "private_chat",
            "initial_state": [{"type": kind, "state_key": "", "content": content} for kind, content in state],
        }
    )
    await hub.running.member.invite(room_id, nadia.user_id)
    await enter(nadia, room_id)
    return room_id


async def enter(person: JsClient, room_id: str) -> None:
    await person.wait_for_invite(room_id)
    await person.join(room_id)


async def says(hub: TestHub, room_id: str, listener: JsClient, text: str) -> str:
    """The hub says something, once it knows that the listener is there; the id of the event."""
    member = hub.running.member
    async with asyncio.timeout(30):
        while (room := member.rooms.joined(room_id)) is None or listener.user_id not in room.members:
            await asyncio.sleep(0.05)
    content = {"msgtype": "m.text", "body": text}
    event_id = await member.outbound.send(room_id, "m.room.message", content, uuid4().hex)
    await listener.wait_for_message(room_id, event_id=event_id)
    return event_id


def allow(hub: TestHub, monkeypatch: pytest.MonkeyPatch, allowed: bool) -> None:
    """What a pathway will say about the rooms of this test."""

    async def shares(room_id: str) -> bool:
        return allowed

    monkeypatch.setattr(hub.running.member, "shares_history", shares)


async def test_who_is_invited_with_history_reads_what_was_said(
    hub: TestHub, people: JsPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(hub, monkeypatch, True)
    nadia, claire = await asyncio.gather(people.new("nadia"), people.new("claire"))
    room_id = await room_of_the_hub(hub, nadia)
    of_hub = await says(hub, room_id, nadia, "Rendez-vous jeudi.")
    of_nadia = await nadia.send_text(room_id, "C'est noté.")
    asked = await ask(hub, nadia, room_id, "Parcours: aide")  # so that the hub has her key by now

    await hub.running.member.invite(room_id, claire.user_id, with_history=True)
    await enter(claire, room_id)

    assert (await claire.wait_for_message(room_id, event_id=of_hub)).body == "Rendez-vous jeudi."
    assert (await claire.wait_for_message(room_id, event_id=of_nadia)).body == "C'est noté."
    assert asked.sender == hub.user_id
    assert [(offer.type, offer.sender) for offer in claire.bundles] == [(BUNDLE, hub.user_id)]


@pytest.mark.parametrize(("allowed", "with_history"), [(False, True), (True, False), (False, False)])
async def test_nobody_else_does(
    hub: TestHub, people: JsPeople, monkeypatch: pytest.MonkeyPatch, allowed: bool, with_history: bool
) -> None:
    allow(hub, monkeypatch, allowed)
    nadia, claire = await asyncio.gather(people.new("nadia"), people.new("claire"))
    room_id = await room_of_the_hub(hub, nadia)
    of_hub = await says(hub, room_id, nadia, "Rendez-vous jeudi.")
    of_nadia = await nadia.send_text(room_id, "C'est noté.")
    await ask(hub, nadia, room_id, "Parcours: aide")

    await hub.running.member.invite(room_id, claire.user_id, with_history=with_history)
    await enter(claire, room_id)
    await says(hub, room_id, claire, "Bienvenue.")

    for before in (of_hub, of_nadia):
        await claire.wait_for_failure(room_id, event_id=before)
    assert claire.bundles == []


@pytest.mark.parametrize("allowed", [True, False])
async def test_what_the_hub_said_is_passed_on_by_others_only_where_it_marked_it(
    hub: TestHub, people: JsPeople, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    allow(hub, monkeypatch, allowed)
    nadia, claire = await asyncio.gather(people.new("nadia"), people.new("claire"))
    room_id = await room_of_the_hub(hub, nadia)
    of_hub = await says(hub, room_id, nadia, "Rendez-vous jeudi.")
    of_nadia = await nadia.send_text(room_id, "C'est noté.")

    await nadia.invite(room_id, claire.user_id)  # Element shares what it may by itself
    await enter(claire, room_id)

    await claire.wait_for_message(room_id, event_id=of_nadia)
    if allowed:
        await claire.wait_for_message(room_id, event_id=of_hub)
    else:
        await claire.wait_for_failure(room_id, event_id=of_hub)


async def test_the_hub_does_not_take_the_past_that_it_is_offered(hub: TestHub, people: JsPeople) -> None:
    nadia, claire = await asyncio.gather(enrolled(hub, people, "nadia"), enrolled(hub, people, "claire"))
    room_id = await nadia.create_room("Équipe", invite=[claire.user_id], direct=False)
    await enter(claire, room_id)
    before = await nadia.send_text(room_id, "Entre nous.")
    session_id = (await claire.wait_for_message(room_id, event_id=before)).session_id

    await nadia.invite(room_id, hub.user_id)
    await nadia.wait_for_member(room_id, hub.user_id)
    answer = await ask(hub, nadia, room_id, "Parcours: aide")

    member = hub.running.member
    known = member.client.machine.inbound_sessions(room_id, str(session_id))
    assert all(session.first_known_index > 0 for session in known)  # not what was said first
    raw = await member.client.call("GET", path("rooms", room_id, "event", str(answer.reply_to)))
    assert isinstance(open_event(member, room_id, raw), Received)
