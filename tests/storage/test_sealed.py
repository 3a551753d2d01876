"""Who steals the database reads no word of what people said."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest

from hub.storage.engine import Database
from tests.storage.examples import HUB, LATER, NOW, NURSE, ROOM, incoming, undecryptable
from tests.support.databases import Backend

TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


async def test_no_column_and_no_byte_of_the_files_holds_what_was_said(
    database: Database, backend: Backend
) -> None:
    canary = f"canari {secrets.token_hex(8)} je veux mourir".encode()
    async with database.transaction() as tx:
        for number in range(4):
            event_id = f"${number}"
            await tx.inbox.add(incoming(event_id, f"!{number}", payload=canary), NOW)
            await tx.outbox.queue(HUB, f"!{number}", canary, cause=event_id, step=0, now=NOW)
            await tx.waiting.add(replace(undecryptable(event_id), payload=canary))
            await tx.journal.append(ROOM, "Said", canary, at=NOW, by=NURSE, cause=event_id)
    # every state a row can be in: new, backing off, parked, done
    async with database.transaction() as tx:
        for settle in ("retry", "park", "done"):
            row = await tx.inbox.next(HUB, NOW)
            sent = (await tx.outbox.due(HUB, NOW, 1))[0]
            assert row is not None and row.payload == sent.payload == canary
            if settle == "retry":
                await tx.inbox.retry(row.id, LATER, "7F3K-2MQX")
                await tx.outbox.retry(sent.id, LATER, "7F3K-2MQX")
            elif settle == "park":
                await tx.inbox.park(row.id, "7F3K-2MQX", NOW)
                await tx.outbox.park(sent.id, "7F3K-2MQX", NOW)
            else:
                await tx.inbox.done(row.id, NOW)
                await tx.outbox.sent(sent.id, "$sent", NOW)
    cells: list[Any] = []
    for (table,) in await backend.execute(TABLES[backend.name]):
        for cell in await backend.execute(f"SELECT * FROM {table}"):  # noqa: S608
            cells += cell
    assert len(cells) > 100
    for cell in cells:
        assert canary not in (cell if isinstance(cell, bytes) else str(cell).encode())
    remains = await backend.remains()
    assert ROOM.encode() in remains  # we look in the right place
    assert canary not in remains


async def test_a_row_edited_in_the_database_is_not_believed_and_stops_nobody(
    database: Database, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    async with database.transaction() as tx:
        for event_id in ("$1", "$2"):
            await tx.inbox.add(incoming(event_id), NOW)
            await tx.outbox.queue(HUB, ROOM, b"words", cause=event_id, step=0, now=NOW)
            await tx.waiting.add(undecryptable(event_id))
    await backend.execute("UPDATE inbox SET sender = '@mallory:hub.localhost' WHERE event_id = '$1'")
    await backend.execute("UPDATE outbox SET txn_id = 'another' WHERE cause = '$1'")
    await backend.execute("UPDATE waiting SET sender = '@mallory:hub.localhost' WHERE event_id = '$1'")
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None and row.event_id == "$2"
        assert await tx.outbox.due(HUB, NOW, 10) == []
        assert [message.cause for message in await tx.outbox.due(HUB, NOW, 10)] == ["$2"]
        assert [event.event_id for event in await tx.waiting.all(HUB)] == ["$2"]
    async with database.transaction() as tx:
        references = [p.reference for queue in (tx.inbox, tx.outbox) for p in await queue.parked(HUB)]
    assert len(references) == 2
    logged = {record.__dict__.get("fields", {}).get("reference") for record in caplog.records}
    assert set(references) <= logged


def test_no_repr_shows_a_payload() -> None:
    assert "secret" not in repr(incoming("$1", payload=b"secret"))
    assert "secret" not in repr(replace(undecryptable("$1"), payload=b"secret"))
