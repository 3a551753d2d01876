"""A homeserver that goes away and comes back, again and again: no command is lost, and none is doubled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from signal import SIGKILL

import pytest

from hub import wiring
from hub.homeserver.embedded import EmbeddedHomeserver
from tests.chaos import scale
from tests.chaos.crowd import gathered
from tests.chaos.tally import Tally
from tests.support.hub import in_own_task, settings
from tests.support.synapse import HUBS, SERVER_NAME, TestHomeserver, free_port

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

COMMANDS = 2 * scale.COMMANDS // 5
OUTAGES = 10 if scale.LONG else 2
ROOMS = 4


async def test_a_homeserver_that_comes_and_goes_costs_no_command(tmp_path: Path, tally: Tally) -> None:
    chance = scale.by_chance("homeserver")
    synapse = EmbeddedHomeserver(tmp_path / "synapse", free_port(), SERVER_NAME, hubs=HUBS)
    await synapse.start()
    try:
        homeserver = await TestHomeserver.of(synapse)
        chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
        async with in_own_task(wiring.running(chosen, lambda step: None)) as hub:
            user_id, share = hub.member.user_id, (COMMANDS - ROOMS) // OUTAGES
            async with gathered(homeserver, user_id, hub.db, tmp_path, rooms=ROOMS) as crowd:
                for outage in range(OUTAGES):
                    async with asyncio.TaskGroup() as meanwhile:
                        talking = meanwhile.create_task(crowd.talk(share, chance))
                        await crowd.has_said(chance.randrange(1, share // 2))  # in the midst of it
                        assert not talking.done()
                        if outage % 2:
                            os.kill(
                                int((tmp_path / "synapse" / "homeserver.pid").read_text().split()[0]), SIGKILL
                            )
                        await synapse.stop()
                        tally.faults["homeserver killed" if outage % 2 else "homeserver stopped"] += 1
                        await noticed(hub)
                        await synapse.start()
                await crowd.talk(COMMANDS - ROOMS - OUTAGES * share, chance)
                await crowd.wait_for_the_last_answers()
                crowd.judge(tally)
                assert tally.commands == COMMANDS
                await crowd.check_books(hub.db)
    finally:
        await synapse.stop()


async def noticed(hub: wiring.Running) -> None:
    """Wait until the hub has met the silence."""
    async with asyncio.timeout(60):
        while hub.flow.connected:
            await asyncio.sleep(0.05)
