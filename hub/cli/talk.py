"""``parcours demo`` and ``parcours chat``: real clients at this terminal."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from hub import folder, hosting, ready, wiring
from hub.cli.app import LANGUAGE, Data, cli, console, run, say, settings_of, step
from hub.cli.up import serve_hub
from hub.config import Settings
from hub.errors import OperatorError
from hub.observe import setup_logging
from hub.terminal import cast, chat, demo
from hub.terminal.person import Person


@cli.command("demo", help=say("cli.demo"))
def play_demo(
    data: Data = None,
    pace: Annotated[float, typer.Option("--pace", min=0, help=say("cli.option.pace"))] = 0.0,
    federated: Annotated[bool, typer.Option("--federated", help=say("cli.option.federated_demo"))] = False,
) -> None:
    """Play the scenes against the running hub, or against one of its own."""
    settings = settings_of(None, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    if ready.found(settings.data) is not None:
        run(_play(settings, pace))
        return
    step("demo.own_hub")
    with tempfile.TemporaryDirectory(prefix="parcours-demo-") as folder:
        homeservers = hosting.hospital_and_practice if federated else hosting.one
        run(_play_alone(_apart(settings, Path(folder)), homeservers, pace))


def _apart(settings: Settings, folder: Path) -> Settings:
    """Settings of a hub that touches nothing of the configured one."""
    homeserver = settings.homeserver.model_copy(update={"url": None, "port": wiring.free_port()})
    web = settings.web.model_copy(update={"host": "127.0.0.1", "port": 0})
    database = settings.database.model_copy(update={"url": None})
    return settings.model_copy(
        update={"data": folder / "var", "homeserver": homeserver, "web": web, "database": database}
    )


async def _play_alone(settings: Settings, homeservers: hosting.OpenHomeservers, pace: float) -> None:
    up = asyncio.Event()
    serving = asyncio.create_task(
        serve_hub(settings, homeservers, with_demo=True, on_ready=lambda *_: up.set())
    )
    started = asyncio.create_task(up.wait())
    await asyncio.wait([serving, started], return_when=asyncio.FIRST_COMPLETED)
    try:
        if up.is_set():
            await _play(settings, pace)
    finally:
        started.cancel()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def _play(settings: Settings, pace: float) -> None:
    where = _running(settings)
    await demo.play(
        where.hub,
        _people(where),
        settings.data / "people",
        folder.master_key(settings.data),
        console,
        LANGUAGE,
        pace,
    )


@cli.command("chat", help=say("cli.chat"))
def talk(
    name: Annotated[str, typer.Option("--as", help=say("cli.option.as"), metavar="NAME")],
    data: Data = None,
) -> None:
    """Talk to the hub from this terminal."""
    settings = settings_of(None, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    run(_talk(settings, name))


async def _talk(settings: Settings, name: str) -> None:
    where = _running(settings)
    people = _people(where)
    if name not in people:
        raise OperatorError("chat.nobody", name=name, known=sorted(people))
    homeserver, account = people[name]
    master = folder.master_key(settings.data)
    async with Person.at(homeserver, account, settings.data / "people" / name, master) as person:
        await chat.chat(person, where.hub, console, LANGUAGE)


def _people(where: ready.Ready) -> dict[str, tuple[str, cast.Credentials]]:
    """Who can sign in today, by short name: the address of their homeserver, and their account."""
    return {
        account.localpart: (homeserver, account)
        for account in cast.read(Path(where.accounts))
        if (homeserver := where.homeserver_of(account.user_id)) is not None
    }


def _running(settings: Settings) -> ready.Ready:
    where = ready.found(settings.data)
    if where is None:
        raise OperatorError("hub.not_running", data=str(settings.data))
    return where
