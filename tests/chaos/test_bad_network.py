"""A network that refuses, cuts, delays and loses answers: what Synapse has done already is done once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hub import wiring
from hub.matrix import backfill
from hub.matrix import sync as syncing
from hub.matrix.client import ONE_TIME_KEYS_LOW, path
from hub.matrix.member import Member
from tests.chaos import scale
from tests.chaos.crowd import gathered
from tests.chaos.tally import Tally
from tests.support.hub import from_, in_own_task, settings
from tests.support.proxy import Storm, proxied
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

COMMANDS = 3 * scale.COMMANDS // 10
ROOMS = 6
SHARE = 0.1
PATIENCE_SECONDS = 1.5
ENDPOINTS = frozenset(
    ("sync", "send", "messages", "join", "keys/query", "keys/claim", "keys/upload", "sendToDevice")
)


async def test_an_answer_that_gets_lost_on_the_way_costs_nothing_and_repeats_nothing(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Gaps, and an end of patience, that come soon.
    monkeypatch.setattr(syncing, "TIMELINE_LIMIT", 8)
    monkeypatch.setattr(backfill, "PAGE", 100)
    monkeypatch.setattr(syncing, "LONG_POLL_MS", 2000)
    monkeypatch.setattr(syncing, "_REPLY_GRACE_SECONDS", PATIENCE_SECONDS)
    chance, storm = scale.by_chance("network"), Storm(scale.SEED, SHARE)
    async with proxied(homeserver.url, storm) as url:
        chosen = settings(replace(homeserver, url=url), tmp_path / "var", next(homeserver.hub_names))
        async with in_own_task(wiring.running(chosen, lambda step: None)) as hub:
            client = hub.member.client
            monkeypatch.setattr(client, "call", partial(client.call, timeout=PATIENCE_SECONDS))
            storm.raging = True
            async with gathered(homeserver, hub.member.user_id, hub.db, tmp_path, rooms=ROOMS) as crowd:
                # Who was silent so far has left no keys with the hub: it must claim one.
                quiet = crowd.conversations[0]
                await quiet.speaker.hear(quiet.room_id, from_(crowd.hub))
                await crowd.talk(COMMANDS // 2, chance)
                await empty_the_pool(quiet.speaker.member, hub.member)
                await crowd.talk(COMMANDS - COMMANDS // 2 - ROOMS, chance)
                await crowd.wait_for_the_last_answers()
                for (_, fault), times in storm.met.items():
                    tally.faults[fault] += times
                crowd.judge(tally)
                assert tally.commands == COMMANDS
                await crowd.check_books(hub.db)
                assert {endpoint for endpoint, _ in storm.met} >= ENDPOINTS


async def empty_the_pool(claimer: Member, of: Member) -> None:
    """Take one-time keys as new devices would, until their owner must bring new ones."""
    wanted = {"one_time_keys": {of.user_id: {of.client.device_id: "signed_curve25519"}}}
    for _ in range(ONE_TIME_KEYS_LOW + 5):
        await claimer.client.call("POST", path("keys", "claim"), wanted)
