"""``parcours db`` and ``parcours config``: what an operator looks after."""

from __future__ import annotations

from hub import wiring
from hub.cli.app import Config, Data, cli, console, group, run, say, settings_of, tell, warn
from hub.cli.identity import known_master_key
from hub.config import Settings
from hub.observe import setup_logging

db_cli = group("cli.db")
config_cli = group("cli.config")
cli.add_typer(db_cli, name="db")
cli.add_typer(config_cli, name="config")


@db_cli.callback()
def db() -> None:
    """Keeps ``upgrade`` a command of its own while it is the only one."""


@config_cli.callback()
def config() -> None:
    """Keeps ``check`` a command of its own while it is the only one."""


@db_cli.command("upgrade", help=say("cli.db.upgrade"))
def upgrade(config: Config = None, data: Data = None) -> None:
    """Bring the database to this program's version."""
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_upgrade(settings))


async def _upgrade(settings: Settings) -> None:
    async with wiring.database(settings, known_master_key(settings)):
        tell("db.upgraded")


@config_cli.command("check", help=say("cli.config.check"))
def check(config: Config = None) -> None:
    """Read the configuration and say what holds; secrets are not shown."""
    settings = settings_of(config, None)
    console.print_json(settings.model_dump_json())
    for key in settings.relaxations():
        warn(key)
    tell("config.valid")
