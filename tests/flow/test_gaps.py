"""What was said while nobody listened, what was said before, and what cannot be read yet."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nio.crypto import OutboundGroupSession

from hub import wiring
from hub.config import Settings
from hub.errors import OperatorError
from hub.intake import ledger
from hub.matrix.batch import Received
from hub.matrix.client import Client, JsonObject, MatrixError, path
from hub.terminal.person import Person, replies_to
from tests.support.hub import TestHub, body, in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = pytest.mark.integration


def start(chosen: Settings) -> AbstractAsyncContextManager[wiring.Running]:
    """A hub of its own."""
    return in_own_task(wiring.running(chosen, lambda step: None))


@pytest.fixture
def chosen(homeserver: TestHomeserver, tmp_path: Path) -> Settings:
    """Settings of a hub that nobody else uses."""
    return settings(homeserver, tmp_path / "var", next(homeserver.hub_names))


def answered(person: Person, room_id: str) -> list[str]:
    """The messages of a room that were answered, in the order of the answers."""
    return [
        event_id
        for message in person.heard
        if message.room_id == room_id and (event_id := replies_to(message)) is not None
    ]


async def test_what_a_short_sync_leaves_out_is_fetched_before_what_came_later(
    chosen: Settings, homeserver: TestHomeserver, tmp_path: Path
) -> None:
    async with start(chosen) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        person = await hub.person("absent")
        long, short = await hub.meeting(person), await hub.meeting(person)
    said = [await person.say(long, "/bonjour") for _ in range(130)]  # a sync shows a hundred
    few = [await person.say(short, "/bonjour") for _ in range(3)]
    async with start(chosen):
        await person.answer_to(long, said[-1])
        await person.answer_to(short, few[-1])
    assert answered(person, long) == said
    assert answered(person, short) == few
    await hub.stack.aclose()


async def test_a_room_whose_past_cannot_be_fetched_keeps_no_other_room_waiting(
    chosen: Settings, homeserver: TestHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(chosen) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        person = await hub.person("absent")
        stuck, other = await hub.meeting(person), await hub.meeting(person)
    said = [await person.say(stuck, "/bonjour") for _ in range(110)]
    elsewhere = await person.say(other, "/bonjour")

    call, broken = Client.call, [True]

    async def fail_there(client: Client, method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        if broken and client.user_id == hub.user_id and url.startswith(path("rooms", stuck, "messages")):
            raise MatrixError(500, {"errcode": "M_UNKNOWN"})
        return await call(client, method, url, *rest, **more)

    monkeypatch.setattr(Client, "call", fail_there)
    async with start(chosen):
        await person.answer_to(other, elsewhere)
        later = await person.say(stuck, "/bonjour")
        again = await person.say(other, "/bonjour")
        await person.answer_to(other, again)
        assert answered(person, stuck) == []
    async with start(chosen):  # it is remembered over a restart
        broken.clear()
        await person.answer_to(stuck, later)
    assert answered(person, stuck) == [*said, later]
    assert answered(person, other) == [elsewhere, again]
    await hub.stack.aclose()


async def test_a_first_start_on_an_old_account_leaves_the_past_alone(
    chosen: Settings, homeserver: TestHomeserver, tmp_path: Path
) -> None:
    async with start(chosen) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        person = await hub.person("ancien")
        room = await hub.meeting(person)
    old = [await person.say(room, "/bonjour") for _ in range(3)]
    for file in chosen.data.glob("parcours.db*"):
        file.unlink()
    async with start(chosen):
        new = await person.say(room, "/bonjour")
        await person.answer_to(room, new)
    assert answered(person, room) == [new]
    assert new not in old
    await hub.stack.aclose()


async def test_what_has_no_key_is_asked_for_again_once_and_answered_when_the_key_comes(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEY_GRACE", timedelta(seconds=0.5))
    person = await hub.person("muet")
    room = await hub.meeting(person)
    outbound, first_key = person.member.outbound, []
    share = outbound._share

    async def keep_it(room_id: str, session: OutboundGroupSession, devices: object) -> None:
        """A client that forgets to give its key to anybody."""
        first_key.append(session.session_key)

    monkeypatch.setattr(outbound, "_share", keep_it)
    first, second = await person.say(room, "/bonjour"), await person.say(room, "/aide")
    asked = await person.hear(room, lambda message: replies_to(message) in (first, second))
    assert replies_to(asked) == first
    assert "clé" in body(asked)

    session = person.member.client.machine.outbound_group_sessions[room]
    allowed, _ = await person.member.trust.recipients(person.member.rooms[room].readers)
    with monkeypatch.context() as late:
        late.setattr(OutboundGroupSession, "session_key", property(lambda _: first_key[0]))
        await share(room, session, allowed)

    def greets(message: Received) -> bool:
        return replies_to(message) == first and message is not asked

    await person.hear(room, greets)
    await person.answer_to(room, second)
    about_keys = [m for m in person.heard if m.room_id == room and "clé qui le déchiffre" in body(m)]
    assert about_keys == [asked]  # once for the key, however many messages it was missing for


async def test_a_second_start_on_the_same_data_is_refused(chosen: Settings) -> None:
    async with start(chosen):
        with pytest.raises(OperatorError) as refused:
            async with start(chosen):
                pass
    assert refused.value.code == "data.in_use"
