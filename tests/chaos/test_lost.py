"""What a hub can lose: its key store, its token."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import AbstractAsyncContextManager, closing
from datetime import timedelta
from pathlib import Path

import pytest

from hub import wiring
from hub.config import Settings
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.intake import ledger
from hub.terminal.person import Person, replies_to
from tests.chaos.tally import Tally
from tests.support.hub import TestHub, body, in_own_task, settings
from tests.support.synapse import HUBS, SERVER_NAME, TestHomeserver, free_port

pytestmark = [pytest.mark.chaos, pytest.mark.integration]


def start(chosen: Settings) -> AbstractAsyncContextManager[wiring.Running]:
    return in_own_task(wiring.running(chosen, lambda step: None))


def answers(person: Person, hub: str) -> Counter[str | None]:
    return Counter(replies_to(message) for message in person.heard if message.sender == hub)


async def test_a_lost_key_store_makes_a_new_device_and_says_what_it_could_not_read(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEY_GRACE", timedelta(seconds=0.5))
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with start(chosen) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        person = await hub.person("fidele")
        room, device = await hub.meeting(person), running.member.client.device_id
        await hub.ask(person, room, "/bonjour")
    for file in (tmp_path / "var" / "hub" / "keys").iterdir():
        file.unlink()
    unread = [await person.say(room, "/bonjour") for _ in range(2)]
    async with start(chosen) as running:
        assert running.member.client.device_id != device
        asked = await person.answer_to(room, unread[0])
        assert "clé" in body(asked)
        said = [await person.say(room, "/bonjour") for _ in range(5)]
        for event_id in said:
            await person.answer_to(room, event_id)
    heard = answers(person, running.member.user_id)
    tally.faults["key store lost"] += 1
    tally.commands, tally.answered = len(said), sum(heard[event_id] > 0 for event_id in said)
    assert [heard[event_id] for event_id in (*unread, *said)] == [1, 0] + [1] * len(said)
    await hub.stack.aclose()


async def test_a_token_that_ran_out_is_replaced_and_the_device_stays(tmp_path: Path, tally: Tally) -> None:
    """A soft logout: the homeserver asks for the password again, and keeps the device and its keys."""
    synapse = EmbeddedHomeserver(tmp_path / "synapse", free_port(), SERVER_NAME, hubs=HUBS)
    await synapse.start()
    try:
        homeserver = await TestHomeserver.of(synapse)
        chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
        async with start(chosen) as running:
            hub = TestHub(running, homeserver, tmp_path / "people")
            person = await hub.person("fidele")
            room, device = await hub.meeting(person), running.member.client.device_id
        said = [await person.say(room, "/bonjour") for _ in range(3)]
        await synapse.stop()
        with closing(sqlite3.connect(tmp_path / "synapse" / "homeserver.db")) as database, database:
            database.execute(
                "UPDATE access_tokens SET valid_until_ms = 1 WHERE user_id = ?", (running.member.user_id,)
            )
        await synapse.start()
        async with start(chosen) as running:
            assert running.member.client.device_id == device
            for event_id in said:
                await person.answer_to(room, event_id)
        heard = answers(person, running.member.user_id)
        tally.faults["soft logout"] += 1
        tally.commands, tally.answered = len(said), sum(heard[event_id] > 0 for event_id in said)
        assert [heard[event_id] for event_id in said] == [1] * len(said)
        await hub.stack.aclose()
    finally:
        await synapse.stop()
