"""A restart asks for what is new, and for nothing else, however many rooms there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub import wiring
from hub.matrix.client import Client, JsonObject, path
from tests.support.hub import TestHub, in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = pytest.mark.integration


async def test_a_restart_fetches_no_state_and_knows_its_rooms(
    homeserver: TestHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        person, other = await hub.person("claire"), await hub.person("denis")
        rooms = [await hub.meeting(person) for _ in range(3)]
        known = {room: running.member.rooms[room] for room in rooms}
    await person.member.client.call("POST", path("rooms", rooms[0], "invite"), {"user_id": other.user_id})

    asked: list[str] = []
    told: list[JsonObject] = []
    call = Client.call

    async def watched(client: Client, method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        answer = await call(client, method, url, *rest, **more)
        if client.user_id == hub.user_id:
            asked.append(url.partition("?")[0])
            told.extend([answer] if "/sync" in url else [])
        return answer

    monkeypatch.setattr(Client, "call", watched)
    async with in_own_task(wiring.running(chosen, lambda step: None)) as again:
        assert not [url for url in asked if "/state" in url or "/members" in url or "/messages" in url]
        told_of = told[0]["rooms"]["join"]  # the last answers may be new to us, too
        assert rooms[0] in told_of
        assert [event for body in told_of.values() for event in body.get("state", {}).get("events", [])] == []
        assert again.member.rooms[rooms[0]].members == {**known[rooms[0]].members, other.user_id: "invite"}
        assert [again.member.rooms[room] for room in rooms[1:]] == [known[room] for room in rooms[1:]]
        await hub.ask(person, rooms[2], "/bonjour")
        assert not [url for url in asked if "/state" in url or "/members" in url]
    await hub.stack.aclose()
