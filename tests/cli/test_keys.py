"""``parcours keys rotate`` beside a hub that answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.errors import OperatorError
from hub.matrix.account import AccountFile
from hub.seal import MasterKeyFile
from hub.terminal.cast import Credentials
from hub.terminal.person import Person
from tests.support.command_line import command, on, up
from tests.support.synapse import TestHomeserver

pytestmark = pytest.mark.integration


async def rotate(data: Path, env: dict[str, str]) -> tuple[int, str]:
    return await command("keys", "rotate", "--data", str(data), env=env)


async def test_the_master_key_is_replaced_while_the_hub_answers(
    homeserver: TestHomeserver, tmp_path: Path
) -> None:
    data, env = tmp_path / "var", on(homeserver, tmp_path, next(homeserver.hub_names))
    user_id, password = await homeserver.new_user("nadia")
    path = data / "master.key"
    async with up(data, env=env) as running:
        master = MasterKeyFile(path)
        before = master.keys
        nadia = Credentials(user_id, password, "", "Nadia")
        async with Person.at(homeserver.url, nadia, tmp_path / "nadia", before[0]) as person:
            room = await person.meet(running.ready["hub"])
            await person.hear(room, lambda message: message.sender == running.ready["hub"])

            async def talk() -> None:
                for _ in range(15):
                    await person.answer_to(room, await person.say(room, "/bonjour"))

            talking = asyncio.create_task(talk())
            status, said = await rotate(data, env)
            assert status == 0, said
            await talking
            await person.answer_to(room, await person.say(room, "/bonjour"))

            (present,) = master.keys
            assert present.id != before[0].id
            former = data / f"master.key.{before[0].id.hex()}"
            assert former.stat().st_mode & 0o777 == 0o600
            assert str(former) in "".join(said.split())
            assert AccountFile(data / "hub", present).load() is not None
            with pytest.raises(OperatorError) as shut:
                AccountFile(data / "hub", before[0]).load()
            assert shut.value.code == "seal.wrong_master_key"

            running.process.terminate()
            assert await running.ended() == 0
            async with up(data, env=env) as again:
                await person.answer_to(room, await person.say(room, "/bonjour"))
                assert again.ready["hub"] == running.ready["hub"]

    status, said = await rotate(data, {**env, "PARCOURS_MASTER_KEY": path.read_text()})
    assert status == 1
    assert "PARCOURS_MASTER_KEY" in said
