"""``parcours account``: accounts for people."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from hub import folder, hosting, ready, wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role, UserId
from hub.care.directory.model import user_id as parse_user_id
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
    given = _role(role)
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_create(settings, name, given, display_name))


async def _create(settings: Settings, name: str, role: Role, display_name: str | None) -> None:
    homeserver = _homeserver(settings)
    user_id = f"@{name}:{homeserver.server_name}"
    person = cast.Credentials(user_id, cast.new_password(), role.value, display_name or name)
    # Enrolled first, undone when there is no account: an account whose owner nobody knows would be lost.
    master = folder.master_key(settings.data)
    async with wiring.database(settings, master) as db, db.transaction() as tx:
        await directory.enrol(tx, user_id, role, person.display_name, now())
        if await hosting.register(homeserver, person) is None:
            raise OperatorError("account.exists", user_id=user_id)
    tell("account.created", user_id=user_id, role=role)
    sys.stdout.write(json.dumps(asdict(person), ensure_ascii=False) + "\n")
    await _publish(settings, master)


async def _publish(settings: Settings, master: Master) -> None:
    """Let the homeserver know the new role at once; a hub that never started does so at its start."""
    account = AccountFile(settings.data / "hub", master).load()
    if account is not None and account.access_token:
        async with wiring.database_beside(settings, master) as db:
            await wiring.published_roles(account, db).publish()


@account_cli.command("enrol", help=say("cli.account.enrol"))
def enrol(
    user_id: Annotated[str, typer.Argument(help=say("cli.argument.user_id"), metavar="@NAME:SERVER")],
    role: Annotated[str, typer.Option("--role", help=say("cli.option.role"), metavar="|".join(ROLES))],
    display_name: Annotated[
        str | None, typer.Option("--display-name", help=say("cli.option.display_name"), metavar="TEXT")
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """Enrol somebody who has an account already, on this server or on a partner's."""
    try:
        person = parse_user_id(user_id)
    except ValueError:
        raise OperatorError("account.bad_user_id", typed=user_id, status=2) from None
    given = _role(role)
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_enrol(settings, person, given, display_name))


async def _enrol(settings: Settings, person: UserId, role: Role, display_name: str | None) -> None:
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    master = folder.master_key(settings.data)
    async with wiring.database(settings, master) as db, db.transaction() as tx:
        await directory.enrol(tx, person, role, display_name, now())
    tell("account.enrolled", user_id=person, role=role)
    await _publish(settings, master)


def _role(typed: str) -> Role:
    if typed not in ROLES:
        raise OperatorError("account.bad_role", typed=typed, roles=ROLES, status=2)
    return Role(typed)


def _homeserver(settings: Settings) -> hosting.Homeserver:
    """The homeserver of the configuration, or the embedded one of a hub that runs."""
    if settings.homeserver.url is not None:
        secret = hosting.registration_secret(settings)
        return hosting.Homeserver(settings.homeserver.url, settings.homeserver.server_name, secret)
    where = ready.found(settings.data)
    if where is None:
        raise OperatorError("hub.not_running", data=str(settings.data))
    return hosting.Homeserver(where.homeserver, where.server_name, hosting.embedded_secret(settings))
