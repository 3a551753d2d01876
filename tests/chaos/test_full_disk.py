"""No room is left while the hub runs: it says so, loses nothing, and goes on by itself when there is some."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from hub.seal import MasterKeyFile, Vault
from hub.storage.engine import Database
from tests.chaos import scale
from tests.chaos.crowd import gathered
from tests.chaos.tally import Tally
from tests.support.command_line import on, up
from tests.support.small_disk import Disk, quota, small_disk
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

COMMANDS = scale.COMMANDS // 5
ROOMS = 3
TIMES = 4 if scale.LONG else 1
LONGEST_SECONDS = 45 if scale.LONG else 3
SENTENCES = (
    "Il n’y a plus de place pour la base",
    "a refusé une lecture ou une écriture",
    "Les clés de chiffrement ne peuvent pas être écrites",
)


@pytest.mark.parametrize("disk_of", [small_disk, quota])
async def test_a_disk_that_is_full_for_a_while(
    disk_of: Callable[[Path], AbstractAsyncContextManager[Disk]],
    tmp_path: Path,
    homeserver: TestHomeserver,
    tally: Tally,
) -> None:
    chance = scale.by_chance("disk")
    data, env = tmp_path / "var", on(homeserver, tmp_path, next(homeserver.hub_names))
    async with up(data, env=env) as first:
        db = opened(data)
        async with gathered(homeserver, first.ready["hub"], db, tmp_path, rooms=ROOMS) as crowd:
            await db.close()
            first.process.send_signal(signal.SIGINT)
            assert await first.ended() == 0
            async with disk_of(data) as disk, up(disk.folder, env=env, through=disk.command) as hub:
                share = (COMMANDS - ROOMS) // TIMES
                for _ in range(TIMES):
                    disk.fill(hub.process.pid)
                    async with asyncio.TaskGroup() as meanwhile:
                        meanwhile.create_task(crowd.talk(share, chance))
                        await hub.says(*SENTENCES)
                        await asyncio.sleep(chance.uniform(0, LONGEST_SECONDS))
                    assert hub.process.returncode is None
                    tally.faults[disk.kind] += 1
                    disk.free(hub.process.pid)
                await crowd.talk(COMMANDS - ROOMS - TIMES * share, chance)
                await crowd.wait_for_the_last_answers()
                hub.process.send_signal(signal.SIGINT)
                assert await hub.ended() == 0
                disk.bring_back(data)
            # What was sent and not ticked off yet is sent again, under the same transaction id.
            async with up(data, env=env):
                db = opened(data)
                await crowd.check_books(db)
                await db.close()
            crowd.judge(tally)
            assert tally.commands == COMMANDS


def opened(data: Path) -> Database:
    return Database.open(f"sqlite+aiosqlite:///{data}/parcours.db", Vault(MasterKeyFile(data / "master.key")))
