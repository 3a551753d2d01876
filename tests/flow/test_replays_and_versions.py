"""The same message again, and rooms of the newest kind."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hub import wiring
from hub.terminal.person import replies_to
from tests.support.hub import TestHub, in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = pytest.mark.integration


async def test_a_message_that_the_server_shows_again_after_a_restart_is_answered_once(
    homeserver: TestHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with AsyncExitStack() as first:
        running = await first.enter_async_context(in_own_task(wiring.running(chosen, lambda step: None)))
        hub = TestHub(running, homeserver, tmp_path / "people")
        person = await hub.person("echo")
        room = await hub.meeting(person)
        sent: list[Any] = []
        put = person.member.outbound._put

        async def remember(*given: Any) -> str:
            sent.append(given)
            return await put(*given)

        monkeypatch.setattr(person.member.outbound, "_put", remember)
        said = await person.say(room, "/bonjour")
        await person.answer_to(room, said)
    async with in_own_task(wiring.running(chosen, lambda step: None)):
        ((room_id, kind, ciphertext, _),) = sent
        again = await put(room_id, kind, ciphertext, uuid4().hex)
        assert again != said
        later = await person.say(room, "/bonjour")
        await person.answer_to(room, later)
    assert [replies_to(m) for m in person.heard if replies_to(m)] == [said, later]
    await hub.stack.aclose()


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_room_of_any_version_that_we_serve_is_served(hub: TestHub, version: str) -> None:
    """Ids of version 12 name no server, and its creators stand in no power levels."""
    person = await hub.person("createur")
    room = await person.member.create_room(
        {
            "preset": "private_chat",
            "room_version": version,
            "invite": [hub.user_id],
            "initial_state": [
                {
                    "type": "m.room.encryption",
                    "state_key": "",
                    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
                }
            ],
        }
    )
    assert (":" in room) == (version == "11")
    await person.hear(room, lambda message: message.sender == hub.user_id)
    await hub.ask(person, room, "/aide")


async def test_a_room_whose_row_was_lost_is_known_again(hub: TestHub) -> None:
    """An erased key, an altered row: what it held is asked of the server, and the past is left alone."""
    person = await hub.person("oublie")
    room = await hub.meeting(person)
    before = await hub.ask(person, room, "/bonjour")
    member = hub.running.member
    async with hub.running.db.transaction() as tx:
        await tx.keys.erase(room)
    del member.rooms.rooms[room]
    said = await person.say(room, "aide")
    await person.answer_to(room, said)
    assert member.rooms[room].members == {person.user_id: "join", hub.user_id: "join"}
    assert member.rooms[room].encrypted is True
    assert [m for m in person.heard if replies_to(m) == before.relates_to["m.in_reply_to"]["event_id"]] == [
        before
    ]
