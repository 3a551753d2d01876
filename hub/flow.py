"""The way of a message.

Three turns, each one expression, outermost stage first. Between them stand the inbox and the outbox, on disk:
a kill at any moment loses nothing and repeats nothing.

    receive   Matrix → inbox     sync, back-fill, decrypt, trust, keep
    answer    inbox → outbox     claim, parse, authorise, dispatch, queue: ONE transaction
    deliver   outbox → Matrix    claim, render, encrypt, send, mark

What can be answered at once is answered in the transaction that keeps it: a lone command waits for one
commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass, field
from datetime import datetime

from hub.commands.bot import Bots
from hub.delivery.content import content
from hub.delivery.letter import Kind, Letter
from hub.delivery.relay import Relay, now
from hub.errors import OperatorError
from hub.intake.answers import asked, letters, queue
from hub.intake.clerk import Clerk
from hub.intake.desk import Desk
from hub.intake.ledger import Ledger
from hub.locale import Language
from hub.matrix import history
from hub.matrix.backfill import fill_gaps
from hub.matrix.batch import Batch
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.inbound import decrypt, trust
from hub.matrix.member import Member
from hub.matrix.outbound import NotEncrypted
from hub.matrix.sync import sync
from hub.matrix.verification import Verifications
from hub.observe import Log, Metrics, report
from hub.storage.engine import Transactions
from hub.storage.rows import InboxRow, OutboxRow
from hub.storage.unit_of_work import UnitOfWork

log = Log(__name__)

_PAUSE_SECONDS = 1.0
_SETTLED_SECONDS = 0.1
_MEASURED_EVERY_SECONDS = 10.0
_BACKED_UP_EVERY_SECONDS = 5.0


@dataclass
class Flow:
    """One account's messages, from the homeserver and back."""

    member: Member
    db: Transactions
    bots: Bots
    ledger: Ledger
    metrics: Metrics
    language: Language
    max_attempts: int
    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the first sync is kept: from then on nothing said to us is missed."""
    connected: bool = False
    """Whether the last turn of the homeserver succeeded."""
    connected_since: datetime = field(default_factory=now)
    clerk: Clerk = field(init=False)
    relay: Relay = field(init=False)
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        account = self.member.account.name
        self.relay = Relay(self.db, account, self.deliver, self.metrics, self.max_attempts)
        self.desk = Desk(self.db, account, Verifications(self.member))
        self.clerk = Clerk(
            self.db, account, self.answer, self.metrics, self.language, on_answered=self.relay.bell.ring
        )

    async def receive(self, since: str | None) -> str:
        """One turn of the homeserver; returns where the next begins."""
        member, ledger = self.member, self.ledger
        return await self.kept(
            await trust(
                member,
                await ledger.unlock(
                    decrypt(
                        member, await fill_gaps(member, await sync(member, since, wait=self.synced.is_set()))
                    )
                ),
            )
        )

    async def answer(self, tx: UnitOfWork, row: InboxRow) -> str:
        """One row of the inbox, within the transaction that claimed it; returns what it asked for."""
        at = now()
        await queue(tx, row, await letters(self.bots, tx, row, at, self.language), at)
        await tx.inbox.done(row.id, at)
        return asked(self.bots, row)

    async def deliver(self, row: OutboxRow) -> str:
        """One row of the outbox; returns the id of the event that it became."""
        letter, outbound = Letter.from_bytes(row.payload), self.member.outbound
        if letter.kind is Kind.JOIN:
            return await self.member.join(row.room_id)
        if letter.in_clear:
            return await outbound.send_in_clear(row.room_id, content(letter), row.txn_id)
        try:
            return await outbound.send(
                row.room_id, "m.room.message", content(letter), row.txn_id, warning=letter.warning
            )
        except NotEncrypted:
            # What cannot be said there is replaced by the one sentence that can.
            in_clear = Letter(Kind.MESSAGE, "room.not_encrypted", language=letter.language)
            return await outbound.send_in_clear(row.room_id, content(in_clear), row.txn_id)

    async def kept(self, batch: Batch) -> str:
        """Keep a batch and answer what can be at once, then ring for those who wait for it."""
        if await self.ledger.keep(batch, now(), along=self.clerk.along):
            self.clerk.bell.ring()
        if batch.rooms:
            self.relay.bell.ring()  # a room that a letter waits for may be among them
        self.desk.hear(batch)
        history.decline(batch.to_device)
        return batch.next_batch

    async def kept_up(self) -> None:
        """See to our keys; what the homeserver does not take just now is tried after the next sync."""
        try:
            await self.member.keep_up()
        except (Unreachable, MatrixError) as failed:
            if isinstance(failed, MatrixError) and failed.errcode == "M_UNKNOWN_TOKEN":
                raise
            log.error("keys.not_kept_up", reason=getattr(failed, "errcode", type(failed).__name__))

    async def settled(self) -> None:
        """Wait until what came in is answered and sent, but not long.

        A homeserver with a sync open tells it of its own answer first, and then the person who asked.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_SECONDS):
                await self.clerk.bell.silence()
                await self.relay.bell.silence()

    async def run(self) -> None:
        """Serve until cancelled. Raises OperatorError ``account.signed_out`` when the account is gone."""
        async with asyncio.TaskGroup() as turns:
            turns.create_task(self._receive_all())
            turns.create_task(self.clerk.run())
            turns.create_task(self.relay.run())
            turns.create_task(self._verify_all())
            turns.create_task(self._tell_unreadable())
            turns.create_task(self._measure_all())
            turns.create_task(self._back_up_all())

    async def _receive_all(self) -> None:
        since = await self.ledger.recall()
        while True:
            try:
                since = await self.receive(since)
                if not self.connected:
                    self.connected, self.connected_since = True, now()
                self.synced.set()
                await self.settled()
                await self.kept_up()
            except (Unreachable, MatrixError) as failed:
                if isinstance(failed, MatrixError) and failed.errcode == "M_UNKNOWN_TOKEN":
                    raise OperatorError("account.signed_out", user_id=self.member.user_id) from failed
                self.connected = False
                log.warning("sync.failed", reason=type(failed).__name__)
                await asyncio.sleep(getattr(failed, "retry_after", None) or _PAUSE_SECONDS)
            except OperatorError as failed:
                log.error("sync.not_kept", reason=failed.code)
                await asyncio.sleep(_PAUSE_SECONDS)
            except Exception as fault:  # ours: reported, and tried again, while answers and letters go on
                self.connected = False
                report(fault, log)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _verify_all(self) -> None:
        await self.synced.wait()  # the rooms are known from then on
        await self.desk.run()

    async def _tell_unreadable(self) -> None:
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            if not self.synced.is_set() or not self.connected:
                continue
            try:
                if await self.ledger.tell_unreadable(now(), self.connected_since):
                    self.relay.bell.ring()
            except OperatorError as failed:
                log.error("waiting.not_told", reason=failed.code)
            except Exception as fault:
                report(fault, log)

    async def _measure_all(self) -> None:
        await self.synced.wait()
        while True:
            try:
                await self.measure()
            except OperatorError as failed:
                log.error("metrics.not_measured", reason=failed.code)
            await asyncio.sleep(_MEASURED_EVERY_SECONDS)

    async def _back_up_all(self) -> None:
        await self.synced.wait()
        while True:
            try:
                await self.member.back_up()
            except (Unreachable, MatrixError, OperatorError) as failed:
                # The keys are on our disk, and are sent with the next turn.
                log.warning("backup.not_saved", reason=getattr(failed, "errcode", type(failed).__name__))
            except Exception as fault:
                report(fault, log)
            await asyncio.sleep(_BACKED_UP_EVERY_SECONDS)

    async def measure(self) -> None:
        """Bring the gauges of the queues up to date; ``hub.doctor`` sees to the others."""
        account, metrics = self.member.account.name, self.metrics
        async with self.db.transaction() as tx:
            metrics.inbox_depth.labels(account).set(await tx.inbox.depth(account))
            metrics.outbox_depth.labels(account).set(await tx.outbox.depth(account))
            metrics.parked.labels(account, "inbox").set(len(await tx.inbox.parked(account)))
            metrics.parked.labels(account, "outbox").set(len(await tx.outbox.parked(account)))
            metrics.undecryptable_waiting.labels(account).set(await tx.waiting.count(account))
        behind = self.member.backup.behind if self.member.backup is not None else math.nan
        metrics.backup_behind.labels(account).set(behind)
