"""The queues stay as quick as their backlog is short, however many rows are done: by partial indexes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text

from hub.storage.engine import Database
from tests.storage.examples import HUB, NOW
from tests.support.databases import Backend


@pytest.mark.parametrize("queue", ["inbox", "outbox"])
async def test_the_next_row_is_found_without_reading_the_old_ones(
    database: Database, backend: Backend, queue: str
) -> None:
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    async with database.transaction() as tx:
        event.listen(tx.connection.sync_connection, "before_cursor_execute", note)
        if queue == "inbox":
            await tx.inbox.next(HUB, NOW)
        else:
            await tx.outbox.due(HUB, NOW, 10)
        ((statement, parameters),) = statements
        explain = f"EXPLAIN QUERY PLAN {statement}"
        if backend.name == "postgresql":
            # planned as for a big table, and without a look at the values: as a statement often run is
            await tx.connection.execute(text("SET LOCAL enable_seqscan = off"))
            await tx.connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
            await tx.connection.exec_driver_sql(f"PREPARE often AS {statement}")
            explain = f"EXPLAIN EXECUTE often ({', '.join(['NULL'] * len(parameters))})"
            parameters = ()
        rows = await tx.connection.exec_driver_sql(explain, parameters)
        plan = "\n".join(" ".join(map(str, row)) for row in rows)
    assert f"ix_{queue}_new " in plan or f"ix_{queue}_new\n" in plan, plan
    assert f"ix_{queue}_new_room" in plan, plan
    assert f"SCAN {queue}" not in plan and f"Seq Scan on {queue}" not in plan, plan
    assert "SCAN data_keys" not in plan and "Seq Scan on data_keys" not in plan, plan
