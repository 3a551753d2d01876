"""An answer goes out before the homeserver is asked for more, and an answer that hangs holds nobody up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hub import flow
from hub.matrix.client import Client, JsonObject
from tests.support.hub import TestHub

pytestmark = pytest.mark.integration


async def test_no_sync_is_open_while_a_lone_answer_is_on_its_way(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await hub.person("nadia")
    room = await hub.meeting(person)
    monkeypatch.setattr(flow, "_SETTLED_SECONDS", 30.0)
    await hub.ask(person, room, "/bonjour")
    told: list[str] = []
    call = Client.call

    async def watched(client: Client, method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        kind = "sync" if "/sync?" in url else "send" if "/send/" in url else None
        if client.user_id != hub.user_id or kind is None:
            return await call(client, method, url, *rest, **more)
        told.append(f"{kind} begins")
        try:
            return await call(client, method, url, *rest, **more)
        finally:
            told.append(f"{kind} ends")

    monkeypatch.setattr(Client, "call", watched)
    await hub.ask(person, room, "/bonjour")
    async with asyncio.timeout(30):
        while told[-1] != "sync begins" or "send ends" not in told:
            await asyncio.sleep(0.01)
    sent = told.index("send begins")
    assert told[sent + 1] == "send ends"
    assert told[:sent].count("sync begins") <= told[:sent].count("sync ends")


async def test_a_room_whose_answer_hangs_keeps_no_other_room_waiting(
    hub: TestHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await hub.person("nadia")
    stuck, free = await hub.meeting(person), await hub.meeting(person)
    loose, call = asyncio.Event(), Client.call

    async def hanging(client: Client, method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        if client.user_id == hub.user_id and "/send/" in url and stuck.removeprefix("!")[:12] in url:
            await loose.wait()
        return await call(client, method, url, *rest, **more)

    monkeypatch.setattr(Client, "call", hanging)
    asked = await person.say(stuck, "/bonjour")
    await hub.ask(person, free, "/bonjour")
    loose.set()
    await person.answer_to(stuck, asked)
