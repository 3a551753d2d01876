"""``parcours account``: accounts for people."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from hub import ready, wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.cli.app import Config, Data, cli, group, run, say, settings_of, tell
from hub.config import Settings
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.matrix.account import AccountFile
from hub.observe import setup_logging
from hub.seal import Master
from hub.terminal import cast

account_cli = group("cli.account")
cli.add_typer(account_cli, name="account")

ROLES = [role.value for role in Role if role is not Role.UNKNOWN]


@account_cli.callback()
def account() -> None:
    """Keeps ``create`` a command of its own while it is the only one."""


@account_cli.command("create", help=say("cli.account.create"))
def create(
    name: Annotated[str, typer.Argument(help=say("cli.argument.name"), metavar="NAME")],
    role: Annotated[str, typer.Option("--role", help=say("cli.option.role"), metavar="|".join(ROLES))],
    display_name: Annotated[
        str | None, typer.Option("--display-name", help=say("cli.option.display_name"), metavar="TEXT")
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Make an account on the homeserver and enrol its owner."""
    if not re.fullmatch(r"[a-z0-9._=/+-]{1,200}", name):
        raise OperatorError("account.bad_name", typed=name, status=2)
    if role not in ROLES:
        raise OperatorError("account.bad_role", typed=role, roles=ROLES, status=2)
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_create(settings, name, Role(role), display_name))


async def _create(settings: Settings, name: str, role: Role, display_name: str | None) -> None:
    homeserver = _homeserver(settings)
    user_id = f"@{name}:{homeserver.server_name}"
    person = cast.Credentials(user_id, cast.new_password(), role.value, display_name or name)
    # Enrolled first, undone when there is no account: an account whose owner nobody knows would be lost.
    master = wiring.master_key(settings.data)
    async with wiring.database(settings, master) as db, db.transaction() as tx:
        await directory.enrol(tx, user_id, role, person.display_name, now())
        if await wiring.register(homeserver, person) is None:
            raise OperatorError("account.exists", user_id=user_id)
    tell("account.created", user_id=user_id, role=role)
    sys.stdout.write(json.dumps(asdict(person), ensure_ascii=False) + "\n")
    await _publish(settings, master)


async def _publish(settings: Settings, master: Master) -> None:
    """Let the homeserver know the new role at once; a hub that never started does so at its start."""
    account = AccountFile(settings.data / "hub", master).load()
    if account is not None and account.access_token:
        async with wiring.database(settings, master) as db:
            await wiring.published_roles(account, db).publish()


def _homeserver(settings: Settings) -> wiring.Homeserver:
    """The homeserver of the configuration, or the embedded one of a hub that runs."""
    if settings.homeserver.url is not None:
        secret = wiring.registration_secret(settings)
        return wiring.Homeserver(settings.homeserver.url, settings.homeserver.server_name, secret)
    where = ready.found(settings.data)
    if where is None:
        raise OperatorError("hub.not_running", data=str(settings.data))
    return wiring.Homeserver(where.homeserver, where.server_name, wiring.embedded_secret(settings))
