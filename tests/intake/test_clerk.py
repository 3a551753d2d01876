"""The clerk: one transaction a row; what fails leaves nothing behind but a reference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.commands.bot import Bots
from hub.delivery.letter import Kind, Letter
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.intake import clerk as clerking
from hub.intake.answers import asked, queue
from hub.intake.clerk import AT_ONCE, ATTEMPTS, Clerk
from hub.intake.note import Note
from hub.locale import Language
from hub.observe import Metrics
from hub.storage.engine import Database
from hub.storage.rows import InboxRow, Incoming, OutboxRow, Parked
from hub.storage.unit_of_work import UnitOfWork
from hub.wiring import BOTS
from tests.storage.examples import HUB, NURSE, incoming


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerking, "PAUSE_SECONDS", 0.01)


@asynccontextmanager
async def clerk(
    db: Database, answer: Callable[[UnitOfWork, InboxRow], Awaitable[str]], metrics: Metrics | None = None
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A clerk at work; the function yielded waits until the inbox is empty."""
    one = Clerk(db, HUB, answer, metrics or Metrics.create(), Language.FR, on_answered=lambda: None)
    task = asyncio.create_task(one.run())

    async def emptied() -> None:
        async with asyncio.timeout(30):
            while True:
                async with db.transaction() as tx:
                    if await tx.inbox.depth(HUB) == 0:
                        return
                await asyncio.sleep(0)

    try:
        yield emptied
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def command(event_id: str) -> Incoming:
    return replace(incoming(event_id), kind="command", payload=Note("aide").to_bytes())


async def arrive(db: Database, *event_ids: str) -> None:
    async with db.transaction() as tx:
        for event_id in event_ids:
            await tx.inbox.add(command(event_id), now())


async def greet(tx: UnitOfWork, row: InboxRow) -> str:
    await queue(tx, row, [Letter(Kind.MESSAGE, "greeting")], now())
    await tx.inbox.done(row.id, now())
    return "bonjour"


async def causes(db: Database) -> list[str]:
    """What the letters in the outbox are for, oldest first; those about faults as ``fault``."""
    found = []
    async with db.transaction() as tx:
        while due := await tx.outbox.due(HUB, now(), 99):
            for row in due:
                found.append(str(row.cause).partition(":")[0])
                await tx.outbox.sent(row.id, "$sent", now())
    return found


async def parked(db: Database) -> list[Parked]:
    async with db.transaction() as tx:
        return await tx.inbox.parked(HUB)


async def queued(db: Database) -> OutboxRow:
    """The next letter, as soon as there is one."""
    async with asyncio.timeout(30):
        while True:
            async with db.transaction() as tx:
                if due := await tx.outbox.due(HUB, now(), 1):
                    return due[0]
            await asyncio.sleep(0)


async def test_what_fails_is_undone_tried_again_parked_and_told_under_a_reference(database: Database) -> None:
    tried: list[str] = []

    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        tried.append(row.event_id)
        if row.event_id == "$poison":
            await directory.enrol(tx, NURSE, Role.ADMIN, "half done", now())
            raise ValueError("what was said must not be told")
        await tx.inbox.done(row.id, now())
        return "aide"

    await arrive(database, "$poison", "$next")
    async with clerk(database, answer) as emptied:
        await emptied()

    assert tried == ["$poison"] * ATTEMPTS + ["$next"]
    (row,) = await parked(database)
    async with database.transaction() as tx:
        assert not (await directory.find(tx, NURSE)).enrolled
        (letter,) = [Letter.from_bytes(sent.payload) for sent in await tx.outbox.due(HUB, now(), 9)]
    assert (letter.key, letter.reply_to) == ("fault", "$poison")
    assert letter.facts == {"reference": row.reference}


async def test_a_row_that_fails_takes_nothing_from_those_in_its_transaction(database: Database) -> None:
    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        await queue(tx, row, [Letter(Kind.MESSAGE, "greeting")], now())
        await tx.inbox.done(row.id, now())
        if row.event_id == "$poison":
            raise ValueError
        return "aide"

    events = [f"$before{n}" for n in range(AT_ONCE // 2)], [f"$after{n}" for n in range(AT_ONCE)]
    await arrive(database, *events[0], "$poison", *events[1])
    async with clerk(database, answer) as emptied:
        await emptied()
    assert len(await parked(database)) == 1
    assert await causes(database) == [*events[0], "fault", *events[1]]


async def test_what_cannot_be_answered_for_want_of_a_database_holds_back_no_row_before_it(
    database: Database,
) -> None:
    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        if row.event_id == "$stuck":
            raise OperatorError("database.full")
        await queue(tx, row, [Letter(Kind.MESSAGE, "greeting")], now())
        await tx.inbox.done(row.id, now())
        return "aide"

    await arrive(database, "$one", "$two", "$stuck")
    async with clerk(database, answer):
        assert (await queued(database)).cause == "$one"
    assert await causes(database) == ["$one", "$two"]
    assert await parked(database) == []


async def test_what_came_in_is_answered_in_the_transaction_that_keeps_it(database: Database) -> None:
    metrics = Metrics.create()
    one = Clerk(database, HUB, greet, metrics, Language.FR, on_answered=lambda: None)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.inbox.add(command("$lost"), now())
            assert (await one.along(tx)).answered == 1
            raise ZeroDivisionError
    assert await causes(database) == []
    assert b'outcome="answered"' not in metrics.exposition()
    async with database.transaction() as tx:
        await tx.inbox.add(command("$kept"), now())
        await one.along(tx)
    assert await causes(database) == ["$kept"]
    assert b'outcome="answered"} 1.0' in metrics.exposition()


async def test_a_command_that_fails_does_not_keep_anything_from_being_kept(database: Database) -> None:
    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        await tx.inbox.done(row.id, now())
        raise ValueError

    one = Clerk(database, HUB, answer, Metrics.create(), Language.FR, on_answered=lambda: None)
    async with database.transaction() as tx:
        await tx.inbox.add(command("$e"), now())
        await one.along(tx)
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, now())
    assert row is not None
    assert (row.event_id, row.attempts) == ("$e", 0)


async def test_a_database_that_fails_parks_nothing(database: Database) -> None:
    failures = [OperatorError("database.full")] * (ATTEMPTS + 2)

    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        if failures:
            raise failures.pop()
        await tx.inbox.done(row.id, now())
        return "aide"

    await arrive(database, "$e")
    async with clerk(database, answer) as emptied:
        await emptied()
    assert await parked(database) == []
    async with database.transaction() as tx:
        assert await tx.outbox.due(HUB, now(), 9) == []


async def test_a_parked_row_that_is_brought_back_gets_its_answer_after_all(database: Database) -> None:
    """Its sender was told of the fault under another transaction id, which the answer would have lost."""
    broken = True

    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        if broken:
            raise ValueError
        await queue(tx, row, [Letter(Kind.MESSAGE, "greeting")], now())
        await tx.inbox.done(row.id, now())
        return "aide"

    await arrive(database, "$e")
    async with clerk(database, answer) as emptied:
        told = await queued(database)
        (row,) = await parked(database)
        broken = False
        async with database.transaction() as tx:
            await tx.outbox.sent(told.id, "$told", now())
            assert await tx.inbox.bring_back(HUB, row.id, now())
        await emptied()
    sent = await queued(database)
    assert [Letter.from_bytes(one.payload).key for one in (told, sent)] == ["fault", "greeting"]


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        ("command", "langue anglais", "langue"),
        ("command", "  LANGUAGE english", "langue"),
        ("command", "canari sous la pluie", "unknown"),
        ("edit", "aide", "edit"),
        ("invitation", "", "invitation"),
    ],
)
def test_what_was_asked_is_measured_as_declared_and_never_as_typed(kind: str, text: str, name: str) -> None:
    row = InboxRow(1, HUB, "$e", "!r", NURSE, kind, now(), Note(text).to_bytes(), None, None, 0, now())
    assert asked(Bots(*BOTS), row) == name


async def test_the_time_of_a_command_is_measured_under_its_name(database: Database) -> None:
    async def answer(tx: UnitOfWork, row: InboxRow) -> str:
        await tx.inbox.done(row.id, now())
        return "aide"

    metrics = Metrics.create()
    await arrive(database, "$e")
    async with clerk(database, answer, metrics) as emptied:
        await emptied()
        async with asyncio.timeout(10):
            while b'parcours_command_seconds_count{command="aide"} 1.0' not in metrics.exposition():
                await asyncio.sleep(0)
