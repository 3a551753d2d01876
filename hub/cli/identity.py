"""``parcours identity``: who vouches for the hub, and whose new identity waits to be believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hub import folder, own_account, wiring
from hub.care.directory import service as directory
from hub.cli.app import Config, Data, cli, console, group, run, say, settings_of, step, tell
from hub.config import Settings
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.matrix import identity
from hub.matrix.account import Account, AccountFile
from hub.matrix.client import Client, MatrixError, Unreachable
from hub.matrix.secret_storage import RecoveryKey, RecoveryKeyInvalid
from hub.observe import setup_logging
from hub.seal import Master, MasterKey

identity_cli = group("cli.identity")
cli.add_typer(identity_cli, name="identity")


@identity_cli.command("show", help=say("cli.identity.show"))
def show(config: Config = None, data: Data = None) -> None:
    """The hub's own identity, checked against the homeserver, and other people's changed ones."""
    settings = settings_of(config, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    run(_show(settings))


async def _show(settings: Settings) -> None:
    master = known_master_key(settings)
    account = AccountFile(settings.data / "hub", master).load()
    if account is None or account.seeds is None:
        raise OperatorError("identity.none", data=str(settings.data))
    chain = await _chain(settings, account)
    table = Table(box=None, show_header=False)
    table.add_row(say("identity.account"), escape(account.user_id))
    table.add_row(say("identity.device"), escape(account.device_id))
    table.add_row(say("identity.master_key"), escape(_in_fours(chain.master_key or "—")))
    for key, holds in (
        ("identity.master_is_ours", chain.master_is_ours),
        ("identity.self_signing_signed", chain.self_signing_signed),
        ("identity.device_signed", chain.device_signed),
    ):
        table.add_row(say(key), "[green]✓[/]" if holds else "[bold red]✗[/]")
    console.print(table)
    async with wiring.database_beside(settings, master) as db, db.transaction() as tx:
        changed = [pinned for pinned in await tx.identities.all() if pinned.changed]
    for pinned in changed:
        key = pinned.changed_to or ""
        tell(
            "identity.waits",
            person=pinned.user_id,
            since=pinned.changed_at,
            new_key=key,
            words=_in_fours(key),
        )
    if not chain.whole:
        raise OperatorError("identity.chain_broken", user_id=account.user_id, device_id=account.device_id)


async def _chain(settings: Settings, account: Account) -> identity.Chain:
    folder = settings.data / "hub" / "keys"
    if not (folder / f"{account.device_id}.db").exists():  # opening it would make an empty one
        raise OperatorError("matrix.store_corrupt", path=str(folder))
    client = Client(account.homeserver, account.user_id, account.device_id, folder, account.pickle_key)
    try:
        client.restore_login(account.user_id, account.device_id, account.access_token)
        return await identity.chain(client, account.seeds)
    except Unreachable as fault:
        raise OperatorError("homeserver.unreachable", url=account.homeserver) from fault
    except MatrixError as refused:
        raise OperatorError("account.signed_out", user_id=account.user_id) from refused
    finally:
        await client.close()


@identity_cli.command("restore", help=say("cli.identity.restore"))
def restore(
    key_file: Annotated[
        Path | None, typer.Option("--recovery-key", help=say("cli.option.recovery_key"), metavar="FILE")
    ] = None,
    config: Config = None,
    data: Data = None,
) -> None:
    """The hub comes back as itself on an empty disk."""
    settings = settings_of(config, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    run(_restore(settings, _recovery_key(key_file)))


async def _restore(settings: Settings, recovery: RecoveryKey) -> None:
    restored = await own_account.restore(settings, recovery, step)
    professionals = await wiring.recall_staff(settings)
    tell(
        "recovery.done",
        user_id=restored.user_id,
        device_id=restored.device_id,
        keys=restored.keys,
        sessions=restored.sessions,
    )
    tell("recovery.directory", count=professionals)


def _recovery_key(file: Path | None) -> RecoveryKey:
    """Typed without being shown, or read from a file: a command line would be seen by every process."""
    if file is None and not sys.stdin.isatty():
        raise OperatorError("recovery.no_terminal", status=2)
    try:
        typed = file.read_text() if file is not None else typer.prompt(say("recovery.ask"), hide_input=True)
        return RecoveryKey.parse(typed)
    except OSError as fault:
        raise OperatorError("recovery.unreadable", path=str(file)) from fault
    except RecoveryKeyInvalid as fault:
        raise OperatorError("recovery.mistyped", status=2) from fault


@identity_cli.command("accept", help=say("cli.identity.accept"))
def accept(
    user_id: Annotated[str, typer.Argument(help=say("cli.argument.user_id"), metavar="@NAME:SERVER")],
    key: Annotated[str, typer.Option("--key", help=say("cli.option.identity_key"), metavar="KEY")],
    config: Config = None,
    data: Data = None,
) -> None:
    """Believe a person's new identity, after having made sure by another way that it is theirs."""
    settings = settings_of(config, data)
    setup_logging(settings.log)
    run(_accept(settings, user_id, "".join(key.split())))


async def _accept(settings: Settings, user_id: str, key: str) -> None:
    async with wiring.database_beside(settings, known_master_key(settings)) as db, db.transaction() as tx:
        accepted = await tx.identities.accept(user_id, key, directory.OPERATOR, now())
        known = await tx.identities.find(user_id)
    if accepted is None and known is not None and known.changed:
        raise OperatorError("identity.other_key", person=user_id)
    if accepted is None:
        raise OperatorError("identity.nothing_to_accept", person=user_id)
    tell("identity.accepted", person=user_id)


def known_master_key(settings: Settings) -> Master:
    """The master key of a hub that was started before: a look must not make a new one."""
    if MasterKey.from_env() is None and not (settings.data / "master.key").exists():
        raise OperatorError("identity.none", data=str(settings.data))
    return folder.master_key(settings.data)


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
