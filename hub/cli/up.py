"""``parcours up``: start everything, say where to sign in, serve until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from hub import hosting, ready, wiring
from hub.cli.app import Config, Data, cli, console, run, say, settings_of, step, tell, warn
from hub.cli.troubles import Troubles
from hub.config import Settings
from hub.matrix.account import AccountFile
from hub.observe import errors_heard, setup_logging, setup_reports
from hub.terminal import cast
from hub.web import serve


@cli.command(help=say("cli.up"))
def up(
    config: Config = None,
    data: Data = None,
    base_port: Annotated[
        int | None,
        typer.Option("--base-port", min=1, max=65534, help=say("cli.option.base_port"), metavar="N"),
    ] = None,
    with_demo: Annotated[bool, typer.Option("--demo", help=say("cli.option.demo"))] = False,
    federated: Annotated[bool, typer.Option("--federated", help=say("cli.option.federated"))] = False,
) -> None:
    """Start everything and serve until Ctrl-C."""
    settings = settings_of(config, data, base_port)
    setup_logging(settings.log)
    setup_reports(settings.errors, release="parcours@0.1.0")
    for key in settings.relaxations():
        warn(key)
    homeservers = hosting.hospital_and_practice if federated else hosting.one
    run(_until_stopped(settings, homeservers, with_demo))


async def _until_stopped(settings: Settings, homeservers: hosting.OpenHomeservers, with_demo: bool) -> None:
    """Serve; Ctrl-C or SIGTERM end it, during the start as well."""
    serving = asyncio.create_task(serve_hub(settings, homeservers, with_demo=with_demo, on_ready=_welcome))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        step("stop.stopped")


OnReady = Callable[[wiring.Running, ready.Ready, Sequence[cast.Credentials]], None]
"""Told what runs, where it is, and who can sign in."""


async def serve_hub(
    settings: Settings, homeservers: hosting.OpenHomeservers, *, with_demo: bool, on_ready: OnReady
) -> None:
    """Start, announce, and serve until cancelled."""
    async with wiring.running(settings, step, homeservers) as hub:
        accounts = settings.data / "accounts.json"
        people = cast.read(accounts)
        if with_demo:
            people = await wiring.enrol_cast(hub, accounts)
        elif not accounts.exists():
            cast.write(accounts, people)
        troubles = Troubles({"database": hub.db.place, "path": hub.member.client.store_path})
        async with serve(settings, hub.metrics, lambda: wiring.health(hub)) as web:
            practice = ready.Practice(hub.practice.url, hub.practice.server_name) if hub.practice else None
            announcement = ready.Ready(
                hub.homeserver.url,
                hub.homeserver.server_name,
                hub.member.user_id,
                web,
                str(accounts),
                practice,
            )
            with ready.announced(settings.data, announcement), errors_heard(troubles):
                on_ready(hub, announcement, people)
                try:
                    await asyncio.Event().wait()
                finally:
                    step("stop.stopping")


def _welcome(hub: wiring.Running, where: ready.Ready, people: Sequence[cast.Credentials]) -> None:
    _show_recovery_key(hub)
    _invite(where, people)
    sys.stdout.write(where.line() + "\n")
    sys.stdout.flush()


def _show_recovery_key(hub: wiring.Running) -> None:
    """Show the recovery key once, on a terminal; elsewhere leave it in a file: a log keeps what it hears."""
    account = hub.member.account
    if account.recovery_shown:
        return
    if console.is_terminal:
        words = f"[bold]{account.recovery_key}[/]\n\n{escape(say('identity.recovery_key'))}"
        console.print(Panel(words, title=escape(say("identity.recovery_title")), border_style="yellow"))
    else:
        path = hub.settings.data / "recovery-key"
        _write_private(path, account.recovery_key + "\n")
        tell("identity.recovery_file", path=str(path))
    file = AccountFile(hub.settings.data / "hub", hub.master)
    hub.member.account = file.update(account, recovery_shown=True)


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _invite(where: ready.Ready, people: Sequence[cast.Credentials]) -> None:
    """Where to sign in, as whom, and what to type first."""
    tell("start.ready", url=where.homeserver, hub=where.hub, web=where.web)
    _introduce([person for person in people if where.homeserver_of(person.user_id) == where.homeserver])
    if where.practice is not None:
        url = where.practice.homeserver
        tell("start.practice", url=url, hub=where.hub)
        _introduce([person for person in people if where.homeserver_of(person.user_id) == url])


def _introduce(people: Sequence[cast.Credentials]) -> None:
    if not people:
        return
    table = Table(say("start.who"), say("start.user"), say("start.password"), say("start.role"), box=None)
    for person in people:
        role = say(f"role.{person.role}")
        table.add_row(escape(person.display_name), escape(person.localpart), escape(person.password), role)
    console.print(table)
