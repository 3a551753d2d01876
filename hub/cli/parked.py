"""``parcours parked``: what was set aside after too many failures, brought back or given up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hub.cli.app import Config, Data, cli, console, group, run, say, settings_of, tell
from hub.config import Settings
from hub.delivery.relay import now
from hub.doctor.patient import OnDisk
from hub.errors import OperatorError
from hub.observe import setup_logging
from hub.storage.inbox import Inbox
from hub.storage.outbox import Outbox
from hub.storage.unit_of_work import UnitOfWork

parked_cli = group("cli.parked")
cli.add_typer(parked_cli, name="parked")

Row = Annotated[str, typer.Argument(help=say("cli.argument.parked"), metavar="ID")]


@parked_cli.command("list", help=say("cli.parked.list"))
def show(config: Config = None, data: Data = None) -> None:
    """Both boxes, oldest first."""
    run(_show(_settings(config, data)))


@parked_cli.command("retry", help=say("cli.parked.retry"))
def retry(row: Row, config: Config = None, data: Data = None) -> None:
    """Let a running hub have it again, or the next one that runs."""
    run(_retry(_settings(config, data), row))


@parked_cli.command("drop", help=say("cli.parked.drop"))
def drop(row: Row, config: Config = None, data: Data = None) -> None:
    """Empty it for good. That it was there stays known."""
    run(_drop(_settings(config, data), row))


def _settings(config: Config, data: Data) -> Settings:
    settings = settings_of(config, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    return settings


async def _show(settings: Settings) -> None:
    async with _boxes(settings) as (account, boxes):
        parked = [(name, row) for name, box in boxes.items() for row in await box.parked(account)]
    if not parked:
        tell("parked.none")
        return
    titles = ("parked.id", "parked.box", "parked.room", "parked.reference", "parked.attempts", "parked.at")
    table = Table(*map(say, titles), box=None)
    for name, row in parked:
        cells = (f"{name}-{row.id}", say(f"parked.{name}"), row.room_id, row.reference, str(row.attempts))
        table.add_row(*map(escape, cells), escape(say("parked.moment", at=row.at)))
    console.print(table)
    tell("parked.what_now")


async def _retry(settings: Settings, row: str) -> None:
    async with _boxes(settings) as (account, boxes):
        box, number = _parse(row)
        if not await boxes[box].bring_back(account, number, now()):
            raise OperatorError("parked.unknown", typed=row)
    tell("parked.brought_back", row=row)


async def _drop(settings: Settings, row: str) -> None:
    async with _boxes(settings) as (account, boxes):
        box, number = _parse(row)
        if not await boxes[box].drop(account, number, now()):
            raise OperatorError("parked.unknown", typed=row)
    tell("parked.dropped", row=row)


@asynccontextmanager
async def _boxes(settings: Settings) -> AsyncIterator[tuple[str, dict[str, Inbox | Outbox]]]:
    """The hub's account and, in one transaction, its boxes: beside a running hub or without one."""
    hub = OnDisk(settings)
    try:
        account = hub.account.name
        await hub.db.current()
        async with hub.db.transaction() as tx:
            yield account, _of(tx)
    finally:
        await hub.close()


def _of(tx: UnitOfWork) -> dict[str, Inbox | Outbox]:
    return {"inbox": tx.inbox, "outbox": tx.outbox}


def _parse(row: str) -> tuple[str, int]:
    """``inbox-12`` is the twelfth row of the inbox."""
    found = re.fullmatch(r"(inbox|outbox)-([1-9][0-9]{0,17})", row)
    if found is None:
        raise OperatorError("parked.unknown", typed=row)
    return found[1], int(found[2])
