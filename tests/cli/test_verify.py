"""``parcours identity verify`` where there is nothing to verify; with whom there is: ``tests/interop``."""

from __future__ import annotations

from pathlib import Path

from hub.locale import Language, translate
from hub.matrix.account import AccountFile
from hub.matrix.member import new_account
from hub.seal import MasterKey, Vault
from hub.storage.engine import Database
from tests.support.command_line import at_terminal, command

COMMAND = ("identity", "verify")


async def test_a_pipe_is_no_operator(tmp_path: Path) -> None:
    status, said = await command(*COMMAND, "--data", str(tmp_path))
    assert status == 1
    assert " ".join(said.split()) == " ".join(f"✗ {translate(Language.FR, 'verify.no_terminal')}".split())


async def test_a_hub_that_does_not_run_cannot_answer(tmp_path: Path) -> None:
    async with at_terminal(tmp_path / "var", *COMMAND) as terminal:
        await terminal.shows(translate(Language.FR, "identity.none", data=str(tmp_path / "var"))[:60])
        assert await terminal.ended() == 1
    data = tmp_path / "var"
    data.mkdir()
    master = MasterKey.create(data / "master.key")
    AccountFile(data / "hub", master).save(new_account("http://127.0.0.1:1", "@hub:x", "word"))
    database = Database.open(f"sqlite+aiosqlite:///{data / 'parcours.db'}", Vault(master))
    await database.upgrade()
    await database.close()
    async with at_terminal(data, *COMMAND) as terminal:
        await terminal.shows(translate(Language.FR, "verify.no_hub")[:60])
        assert await terminal.ended() == 1
