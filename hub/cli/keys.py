"""``parcours keys``: the master key, under which everything at rest is sealed."""

from __future__ import annotations

from hub import folder, rotation, wiring
from hub.cli.app import Config, Data, cli, group, run, say, settings_of, tell
from hub.config import Settings
from hub.errors import OperatorError
from hub.matrix.account import AccountFile
from hub.observe import setup_logging
from hub.seal import MasterKeyFile

keys_cli = group("cli.keys")
cli.add_typer(keys_cli, name="keys")


@keys_cli.callback()
def keys() -> None:
    """Keeps ``rotate`` a command of its own while it is the only one."""


@keys_cli.command("rotate", help=say("cli.keys.rotate"))
def rotate(config: Config = None, data: Data = None) -> None:
    """A new master key, while the hub runs or not."""
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_rotate(settings))


async def _rotate(settings: Settings) -> None:
    if not (settings.data / "hub" / "account.sealed").exists():
        raise OperatorError("identity.none", data=str(settings.data))
    master = folder.master_key(settings.data)
    if not isinstance(master, MasterKeyFile):
        raise OperatorError("keys.in_environment", path=str(settings.data / "master.key"))
    accounts = [AccountFile(path.parent, master) for path in settings.data.rglob("account.sealed")]
    async with wiring.database_beside(settings, master) as db:
        rotated = await rotation.rotate(master, db, accounts)
    tell("keys.rotated", count=rotated.keys)
    for path in rotated.former:
        tell("keys.former", path=str(path))
