"""``parcours identity verify``: compare a short code with a person who is on the telephone.

The running hub holds the device; this end shows what it writes into the database, and writes what the
operator says.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable

import typer
from rich.markup import escape
from rich.prompt import Prompt
from rich.table import Table

from hub import lease, wiring
from hub.cli.app import LANGUAGE, Config, Data, console, run, say, settings_of, tell
from hub.cli.identity import identity_cli, known_master_key
from hub.config import Settings
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.intake.desk import DEVICE_ONLY, Answer
from hub.locale.emoji import emoji
from hub.matrix.account import AccountFile
from hub.matrix.sas import LASTS, Cancel, Stage
from hub.observe import setup_logging
from hub.storage.engine import Database
from hub.storage.rows import VerificationRow

LOOK_SECONDS = 0.3

WHY = {
    Cancel.USER: "verify.cancelled.user",
    Cancel.TIMEOUT: "verify.cancelled.timeout",
    Cancel.MISMATCHED_SAS: "verify.cancelled.mismatch",
    Cancel.KEY_MISMATCH: "verify.cancelled.keys",
}
"""Why a verification ended → what the operator is told, where it is more than that it failed."""


@identity_cli.command("verify", help=say("cli.identity.verify"))
def verify(config: Config = None, data: Data = None) -> None:
    """Answer a person who verifies the hub."""
    settings = settings_of(config, data)
    setup_logging(settings.log.model_copy(update={"level": "ERROR"}))
    if not sys.stdin.isatty() or not console.is_terminal:
        raise OperatorError("verify.no_terminal")
    run(_verify(settings))


async def _verify(settings: Settings) -> None:
    master = known_master_key(settings)
    account = AccountFile(settings.data / "hub", master).load()
    if account is None:
        raise OperatorError("identity.none", data=str(settings.data))
    async with wiring.database_beside(settings, master) as db:
        if not await lease.living(db, account.name):
            raise OperatorError("verify.no_hub")
        row = await _compared(db, _chosen(await _waiting(db, account.name)))
    if row.stage != Stage.VERIFIED:
        raise OperatorError(
            WHY.get(Cancel(row.reason or Cancel.USER), "verify.cancelled"), person=row.user_id
        )
    tell("verify.verified_device" if row.reason == DEVICE_ONLY else "verify.verified", person=row.user_id)


async def _waiting(db: Database, account: str) -> list[VerificationRow]:
    """Those who asked and were not answered; waits for the first, as long as a question lasts."""
    until, told = now() + LASTS, False
    while now() < until:
        async with db.transaction() as tx:
            rows = [row for row in await tx.verifications.open(account) if row.stage == Stage.ASKED]
        if rows:
            return rows
        if not told:
            tell("verify.nobody_yet", hub=account)
            told = True
        await asyncio.sleep(LOOK_SECONDS)
    raise OperatorError("verify.nobody", hub=account)


def _chosen(rows: list[VerificationRow]) -> VerificationRow:
    """Whom the operator has on the telephone."""
    table = Table("", say("verify.person"), say("verify.device"), say("verify.since"), box=None)
    for number, row in enumerate(rows, 1):
        since = say("verify.at", at=row.asked_at)
        table.add_row(str(number), escape(row.user_id), escape(row.device_id), escape(since))
    console.print(table)
    if len(rows) == 1:
        return rows[0]
    numbers = [str(number) for number in range(1, len(rows) + 1)]
    return rows[int(_asked("verify.which", numbers)) - 1]


async def _compared(db: Database, row: VerificationRow) -> VerificationRow:
    """The verification once it is over."""
    if not _yes("verify.on_the_phone", person=row.user_id):
        return await _until(db, await _say(db, row, Answer.REFUSE), lambda row: row.settled_at is not None)
    with console.status(say("verify.begins")):
        begun = await _say(db, row, Answer.TAKE)
        row = await _until(db, begun, lambda row: row.code is not None or row.settled_at is not None)
    if row.code is not None and row.settled_at is None:
        _show(row.code)
        same = _yes("verify.same")
        with console.status(say("verify.ends")):
            answered = await _say(db, row, Answer.SAME if same else Answer.REFUSE)
            row = await _until(db, answered, lambda row: row.settled_at is not None)
    return row


def _show(code: str) -> None:
    shown = json.loads(code)
    symbols, names = zip(*(emoji(LANGUAGE, index) for index in shown["emoji"]), strict=True)
    table = Table(box=None, show_header=False, padding=(1, 2))
    for _ in symbols:
        table.add_column(justify="center")
    table.add_row(*symbols)
    table.add_row(*(escape(name) for name in names))
    console.print(table)
    tell(
        "verify.decimals",
        first=str(shown["decimals"][0]),
        second=str(shown["decimals"][1]),
        third=str(shown["decimals"][2]),
    )


async def _say(db: Database, row: VerificationRow, answer: Answer) -> VerificationRow:
    async with db.transaction() as tx:
        await tx.verifications.answer(row.account, row.user_id, row.transaction_id, answer)
    return row


async def _until(
    db: Database, row: VerificationRow, found: Callable[[VerificationRow], bool]
) -> VerificationRow:
    """The row as soon as it is so. Raises OperatorError when the hub does nothing more about it."""
    while await lease.living(db, row.account):
        async with db.transaction() as tx:
            seen = await tx.verifications.find(row.account, row.user_id, row.transaction_id)
        if seen is None:
            break
        if found(seen):
            return seen
        await asyncio.sleep(LOOK_SECONDS)
    raise OperatorError("verify.no_hub")


def _yes(key: str, **facts: object) -> bool:
    yes, no = say("verify.yes"), say("verify.no")
    return _asked(key, [yes, no], **facts) == yes


def _asked(key: str, answers: list[str], **facts: object) -> str:
    """One of the answers. Nothing else runs here meanwhile, so that Ctrl-C may end it all at once."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return Prompt.ask(escape(say(key, **facts)), console=console, choices=answers)
    except EOFError:
        raise typer.Abort from None
    finally:
        signal.signal(signal.SIGINT, former)
