"""A hub that is killed again and again answers every command once: none is lost, none is doubled."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from hub.seal import MasterKeyFile, Vault
from hub.storage.engine import Database
from tests.chaos.crowd import Crowd, gathered
from tests.chaos.scale import COMMANDS, KILLS, by_chance
from tests.chaos.tally import Tally
from tests.support.command_line import on, started, up
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.chaos, pytest.mark.integration]

ROOMS = 6
LONGEST_LIFE_SECONDS = 1.5
KILLED_WHILE_STARTING = 0.25


async def test_every_command_is_answered_once_however_often_the_hub_is_killed(
    tmp_path: Path, homeserver: TestHomeserver, tally: Tally
) -> None:
    chance = by_chance("kill")
    data, env = tmp_path / "var", on(homeserver, tmp_path, next(homeserver.hub_names))
    async with up(data, env=env) as first:
        hub = first.ready["hub"]
        db = Database.open(f"sqlite+aiosqlite:///{data}/parcours.db", vault_of(data))
        async with gathered(homeserver, hub, db, tmp_path, rooms=ROOMS) as crowd:
            await db.close()
            await crowd.talk(ROOMS, chance)
            first.process.kill()
            tally.faults["kill"] += 1
            shares = [len(range(n, COMMANDS - 2 * ROOMS, KILLS)) for n in range(KILLS)]
            for share in shares[1:]:
                await one_life(data, env, crowd, share, chance)
                tally.faults["kill"] += 1
            async with up(data, env=env) as last:
                await crowd.talk(shares[0], chance)
                await crowd.wait_for_the_last_answers()
                crowd.judge(tally)
                assert tally.commands == COMMANDS
                db = Database.open(f"sqlite+aiosqlite:///{data}/parcours.db", vault_of(data))
                await crowd.check_books(db)
                await db.close()
                last.process.send_signal(signal.SIGINT)
                assert await last.ended() == 0


async def one_life(
    data: Path, env: dict[str, str], crowd: Crowd, commands: int, chance: random.Random
) -> None:
    """Start the hub, talk to it before and after it is there, and kill it at a moment of chance's choice."""
    async with started(data, env=env) as hub, asyncio.TaskGroup() as meanwhile:
        meanwhile.create_task(crowd.talk(commands // 2, chance))
        if chance.random() >= KILLED_WHILE_STARTING:
            await hub.told.wait()
            assert hub.ready
        meanwhile.create_task(crowd.talk(commands - commands // 2, chance))
        await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
        hub.process.kill()


def vault_of(data: Path) -> Vault:
    return Vault(MasterKeyFile(data / "master.key"))
