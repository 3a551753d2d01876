"""The clerk: takes the next row of the inbox, answers it, and ticks it off, in one transaction.

Several rows share it, each in a savepoint: a fault undoes all of its row, and nothing of the others. It is
tried again a few times; a cause that lasts is no bad luck, so the row is then parked for the operator, and
its sender is told under which reference.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from hub.delivery.bell import Bell
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.intake.answers import fault
from hub.locale import Language
from hub.observe import Log, Metrics, report
from hub.storage.engine import Transactions
from hub.storage.rows import InboxRow
from hub.storage.unit_of_work import UnitOfWork

log = Log(__name__)

ATTEMPTS = 3
PAUSE_SECONDS = 1.0
AT_ONCE = 8
"""Rows in one transaction, at most: each waits for the last, and so does whoever else writes."""

Answer = Callable[[UnitOfWork, InboxRow], Awaitable[str]]
"""Does what a row asks, queues the letters, ticks the row off; returns the declared name of what it asked."""


@dataclass(frozen=True)
class Done:
    """How many rows were answered, and the one that failed behind them, if any."""

    answered: int
    failure: tuple[InboxRow, Exception] | None = None


@dataclass
class Clerk:
    """Answers the inbox of one account. Ring :attr:`bell` when something came in."""

    db: Transactions
    account: str
    answer: Answer
    metrics: Metrics
    language: Language
    on_answered: Callable[[], None]
    bell: Bell = field(default_factory=Bell)

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            while await self.turn():
                pass
            await self.bell.wait(PAUSE_SECONDS)

    async def along(self, tx: UnitOfWork) -> Done:
        """Answer what is due within somebody's transaction, up to the first row that fails.

        That one stays as it was, and :meth:`turn` meets it again; those before it are answered.
        """
        for answered in range(AT_ONCE):
            began = time.perf_counter()
            row = await tx.inbox.next(self.account, now())
            if row is None:
                return Done(answered)
            try:
                async with tx.savepoint():
                    command = await self.answer(tx, row)
            except Exception as failed:
                return Done(answered, (row, failed))
            tx.on_commit.append(partial(self._answered, command, time.perf_counter() - began))
        return Done(AT_ONCE)

    async def turn(self) -> bool:
        """Answer some rows; False when none is due."""
        try:
            async with self.db.transaction() as tx:
                done = await self.along(tx)
        except OperatorError as failed:
            await self._wait(failed)
            return True
        match done.failure:
            case (_, OperatorError() as away):
                await self._wait(away)
            case (row, fault_of_it):
                await self._failed(row, report(fault_of_it, log))
        return done != Done(0)

    def _answered(self, command: str, seconds: float) -> None:
        self.metrics.events.labels(outcome="answered").inc()
        self.metrics.command_seconds.labels(command).observe(seconds)
        self.on_answered()

    async def _failed(self, row: InboxRow, reference: str) -> None:
        at, last = now(), row.attempts + 1 >= ATTEMPTS
        try:
            async with self.db.transaction() as tx:
                if last:
                    await tx.inbox.park(row.id, reference, at)
                else:
                    await tx.inbox.retry(row.id, at, reference)
            if last:
                await self._tell(row, reference)
        except OperatorError as failed:
            await self._wait(failed)
        else:
            self.metrics.events.labels(outcome="parked" if last else "retried").inc()

    async def _tell(self, row: InboxRow, reference: str) -> None:
        """Tell the sender. What made the row fail may make this fail too: the row is parked all the same.

        Under a cause of its own: should the row be brought back, its answer is another message.
        """
        try:
            async with self.db.transaction() as tx:
                letter = (await fault(tx, row, reference, self.language)).to_bytes()
                cause = f"fault:{reference}:{row.event_id}"
                await tx.outbox.queue(row.account, row.room_id, letter, cause=cause, step=0, now=now())
        except OperatorError:
            raise
        except Exception as failed:
            report(failed, log, reference=reference)

    async def _wait(self, failed: OperatorError) -> None:
        """The database, not the command: nothing counts, all is tried again."""
        log.error("inbox.not_answered", reason=failed.code)
        await asyncio.sleep(PAUSE_SECONDS)
