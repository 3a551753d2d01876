"""The clock jumps by hours, both ways, while the hub runs: nothing waits for it, and nothing is doubled.

The hub runs in this process, whose wall clock is set. The homeserver's, and time as such (``monotonic``), go
on as they were.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from hub import lease, wiring
from hub.lease import Holder
from tests.chaos import scale
from tests.chaos.crowd import gathered
from tests.chaos.tally import Tally
from tests.support.hub import in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

COMMANDS = scale.COMMANDS // 4
ROOMS = 3
JUMPS = 12 if scale.LONG else 4
LONGEST_JUMP = timedelta(hours=12)


async def test_a_clock_that_jumps(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_SECONDS", 0.2)
    chance = scale.by_chance("clock")
    chosen = settings(homeserver, tmp_path / "var", f"horloge-{scale.SEED}")
    async with (
        in_own_task(wiring.running(chosen, lambda step: None)) as hub,
        gathered(homeserver, hub.member.user_id, hub.db, tmp_path, rooms=ROOMS) as crowd,
    ):
        share = (COMMANDS - ROOMS) // JUMPS
        for jump in range(JUMPS):
            async with asyncio.TaskGroup() as meanwhile:
                meanwhile.create_task(crowd.talk(share, chance))
                await asyncio.sleep(chance.uniform(0, 0.3))
                by = chance.uniform(0.1, 1) * LONGEST_JUMP * (-1) ** jump
                with time_machine.travel(datetime.now(UTC) + by, tick=True):
                    await asyncio.sleep(chance.uniform(0.2, 1))
            tally.faults["jump forwards" if by > timedelta(0) else "jump backwards"] += 1
            tally.faults["jump back"] += 1
        await crowd.talk(COMMANDS - ROOMS - JUMPS * share, chance)
        await crowd.wait_for_the_last_answers()
        crowd.judge(tally)
        assert tally.commands == COMMANDS
        await crowd.check_books(hub.db)
        async with hub.db.transaction() as tx:
            found = await tx.leases.find(hub.member.user_id)
        assert found is not None
        assert not Holder.parse(found.holder).dead
