"""The relay: what is in the outbox gets into its room, once, in the room's order.

A row's transaction id is the same at every attempt, so the homeserver recognises what it already has. A
homeserver that does not answer is waited for, without counting: messages are parked for what is wrong with
them, never for a network that is down. A row that waits gives up its place meanwhile: rooms in which the
homeserver fails do not keep the others waiting.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hub.delivery.bell import Bell
from hub.errors import OperatorError
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.member import NotInvited
from hub.matrix.outbound import NotInRoom
from hub.observe import Log, Metrics, report
from hub.storage.engine import Transactions
from hub.storage.rows import OutboxRow

log = Log(__name__)

AT_ONCE = 32
LONGEST_WAIT = timedelta(minutes=5)
SILENCE_SECONDS = 10.0
"""The longest wait for a homeserver that does not answer: once it is back, so are we."""
FAULTS = 150
"""So many faults of the homeserver (half a day) on one row, and it is parked: its room must go on."""
IDLE_SECONDS = 1.0
"""How often the outbox is looked at for rows whose back-off has ended; new rows ring the bell at once."""

Deliver = Callable[[OutboxRow], Awaitable[str]]
"""Sends one row and returns the event id."""


def now() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)


def backoff(attempts: int) -> timedelta:
    """How long a row waits after its ``attempts``-th failure: 0.2 seconds, doubling, five minutes at most."""
    return min(timedelta(seconds=0.1 * 2 ** min(attempts, 16)), LONGEST_WAIT)


@dataclass
class Relay:
    """Sends the outbox of one account. Ring :attr:`bell` when something was queued."""

    db: Transactions
    account: str
    deliver: Deliver
    metrics: Metrics
    max_attempts: int
    bell: Bell = field(default_factory=Bell)
    _busy: set[str] = field(default_factory=set)  # rooms with a row on its way, or sent and not ticked off
    _sent: list[tuple[OutboxRow, str]] = field(default_factory=list)  # with the events that they became
    _faults: Counter[int] = field(default_factory=Counter)  # of the homeserver, by row, since our start

    async def run(self) -> None:
        """Relay until cancelled."""
        async with asyncio.TaskGroup() as sending:
            while True:
                for row in await self._turn():
                    self._busy.add(row.room_id)
                    sending.create_task(self._send(row))
                await self.bell.wait(IDLE_SECONDS, idle=not self._busy)

    async def _turn(self) -> list[OutboxRow]:
        """Tick off what was sent since the last turn, and look for what is due: in one transaction."""
        sent = list(self._sent)
        # A room that is busy as we begin is passed over: what is on its way may look unsent.
        busy = self._busy - {row.room_id for row, _ in sent}
        try:
            async with self.db.transaction() as tx:
                for row, event_id in sent:
                    await tx.outbox.sent(row.id, event_id, now())
                due = await tx.outbox.due(self.account, now(), AT_ONCE - len(busy), passing_over=busy)
        except OperatorError as fault:
            # What was sent stays to be ticked off; should we end before, it has the same transaction id.
            log.error("outbox.unreadable", reason=fault.code)
            await asyncio.sleep(IDLE_SECONDS)
            return []
        del self._sent[: len(sent)]
        for row, _ in sent:
            self._busy.discard(row.room_id)
            self._faults.pop(row.id, None)
            self.metrics.sends.labels(outcome="sent").inc()
        return due

    async def _send(self, row: OutboxRow) -> None:
        try:
            event_id = await self._delivered(row)
        except OperatorError as fault:
            # The row stays as it is; sent again, it has the same transaction id.
            log.error("outbox.unwritable", reason=fault.code)
            await asyncio.sleep(IDLE_SECONDS)
            event_id = None
        if event_id is None:
            self._busy.discard(row.room_id)
        else:
            self._sent.append((row, event_id))
        self.bell.ring()

    async def _delivered(self, row: OutboxRow) -> str | None:
        """The id of the event that a row became; None when it did not, and that is written down."""
        try:
            return await self.deliver(row)
        except Unreachable:
            log.warning("homeserver.unreachable", row=row.id)
            self._faults[row.id] += 1
            await self._later(row, min(backoff(self._faults[row.id]), timedelta(seconds=SILENCE_SECONDS)))
        except MatrixError as refused:
            if refused.errcode == "M_LIMIT_EXCEEDED":
                self.metrics.sends.labels(outcome="limited").inc()
                wait = timedelta(seconds=refused.retry_after or IDLE_SECONDS)
                await self._later(row, min(wait, LONGEST_WAIT))
            elif refused.status >= 500 and self._faults[row.id] < FAULTS:
                self._faults[row.id] += 1
                await self._later(row, backoff(self._faults[row.id]))
            else:
                await self._failed(row, report(refused, log), parked=refused.status >= 500)
        except NotInvited:
            # Taken back before we came. What was to be said there is for nobody.
            async with self.db.transaction() as tx:
                await tx.outbox.withdraw(self.account, row.room_id, now())
            self.metrics.sends.labels(outcome="withdrawn").inc()
        except NotInRoom:
            # Our join may not have come back with a sync yet; what is for a room that we left ends parked.
            await self._failed(row, "not-in-room")
        except OperatorError:
            raise
        except Exception as fault:
            await self._failed(row, report(fault, log))
        return None

    async def _later(self, row: OutboxRow, wait: timedelta) -> None:
        async with self.db.transaction() as tx:
            await tx.outbox.postpone(row.id, now() + wait)

    async def _failed(self, row: OutboxRow, reference: str, *, parked: bool = False) -> None:
        attempts = row.attempts + 1
        parked = parked or attempts >= self.max_attempts
        async with self.db.transaction() as tx:
            if parked:
                await tx.outbox.park(row.id, reference, now())
            else:
                await tx.outbox.retry(row.id, now() + backoff(attempts), reference)
        log.warning("outbox.parked" if parked else "outbox.retried", row=row.id, reference=reference)
        self.metrics.sends.labels(outcome="parked" if parked else "retried").inc()
