"""The desk: people who verify the hub meet the operator who compares codes with them.

The hub holds the device, the operator a terminal in another process (``parcours identity verify``). They meet
in the database: this loop writes how far each verification is, and does what the operator answers. What was
open when the hub ended is cancelled by the next start.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.matrix.batch import Batch, Received, ToDevice
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.sas import Cancel, Stage, Verification
from hub.matrix.verification import Verifications, Way, concerns
from hub.observe import Log, report
from hub.storage.engine import Transactions
from hub.storage.rows import VerificationRow

log = Log(__name__)

LOOK_SECONDS = 1.0
"""How often the operator's answer is looked for, while something is open."""
DEVICE_ONLY = "device_only"
"""The reason of a verification that succeeded and after which we could not vouch for the identity."""
MAY_VERIFY = frozenset({Role.PROFESSIONAL, Role.ADMIN})
"""Who can be called and compared with; anybody else is declined."""


class Answer(StrEnum):
    """What the operator says, in this order."""

    TAKE = "take"  # the person is on the telephone: begin
    SAME = "same"  # the codes are the same
    REFUSE = "refuse"  # they are not, or it shall not begin


@dataclass
class Desk:
    """Verifications of one account."""

    db: Transactions
    account: str
    verifications: Verifications
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    _heard: deque[Received | ToDevice] = field(default_factory=deque)
    _vouched: set[Way] = field(default_factory=set)
    _written: dict[Way, VerificationRow] = field(default_factory=dict)

    def hear(self, batch: Batch) -> None:
        """Note what a batch brings for verifications, and ring."""
        self._heard.extend(filter(concerns, batch.events))
        self._heard.extend(filter(concerns, batch.to_device))
        if self._heard:
            self.bell.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        began = False
        while True:
            self.bell.clear()
            try:
                if not began:
                    await self.end_what_was_open(now())
                    began = True
                await self.turn(now())
            except (Unreachable, MatrixError, OperatorError) as failed:
                log.warning("verification.delayed", reason=type(failed).__name__)
            except Exception as fault:
                report(fault, log)
            idle = began and not self._heard and not self.verifications.busy
            try:
                async with asyncio.timeout(None if idle else LOOK_SECONDS):
                    await self.bell.wait()
            except TimeoutError:
                continue

    async def end_what_was_open(self, at: datetime) -> None:
        """Their other half was in the memory of a process that is gone: tell both sides."""
        async with self.db.transaction() as tx:
            await tx.verifications.forget(self.account)
            left = await tx.verifications.open(self.account)
            for row in left:
                await tx.verifications.save(
                    replace(row, stage=Stage.CANCELLED, code=None, reason=Cancel.USER, settled_at=at)
                )
        for row in left:
            log.info("verification.interrupted", sender=row.user_id, device=row.device_id)
            self.verifications.decline(_way(row), Cancel.USER)

    async def turn(self, at: datetime) -> None:
        """Hear, follow the operator, send, and write down how far it is."""
        while self._heard:
            event = self._heard.popleft()
            try:
                await self.verifications.hear(event, at, self._admits)
            except (Unreachable, MatrixError, OperatorError) as failed:
                if not isinstance(failed, MatrixError) or failed.passing:
                    self._heard.appendleft(event)
                raise
        self.verifications.expire(at)
        await self._follow_operator()
        await self.verifications.send()
        await self._vouch()
        await self._write(at)

    async def _admits(self, user_id: str) -> bool:
        async with self.db.transaction() as tx:
            return (await directory.find(tx, user_id)).role in MAY_VERIFY

    async def _follow_operator(self) -> None:
        if not self.verifications.open:
            return
        async with self.db.transaction() as tx:
            rows = await tx.verifications.open(self.account)
        for row in rows:
            verification = self.verifications.open.get(way := _way(row))
            match (verification and verification.stage, row.answer):
                case (Stage.ASKED, Answer.TAKE):
                    self.verifications.take(way)
                case (Stage.COMPARING, Answer.SAME):
                    self.verifications.confirm(way)
                case (Stage(), Answer.REFUSE):
                    self.verifications.refuse(way)

    async def _vouch(self) -> None:
        for way, verification in self.verifications.open.items():
            if verification.stage is Stage.VERIFIED:
                try:
                    if await self.verifications.vouch(verification):
                        self._vouched.add(way)
                except (MatrixError, OperatorError) as refused:
                    log.error("verification.not_vouched", reason=type(refused).__name__)

    async def _write(self, at: datetime) -> None:
        rows = {way: self._row(way, one, at) for way, one in self.verifications.open.items()}
        changed = {way: row for way, row in rows.items() if self._written.get(way) != row}
        if not changed:
            return
        async with self.db.transaction() as tx:
            for row in changed.values():
                await tx.verifications.save(row)
                if row.stage == Stage.VERIFIED:
                    await directory.verified(tx, row.user_id, row.device_id, at)
        self._written |= changed
        for way, row in changed.items():
            log.info("verification.moved", sender=row.user_id, device=row.device_id, state=row.stage)
            if row.settled_at is not None:
                self.verifications.forget(way)
                self._vouched.discard(way)
                del self._written[way]

    def _row(self, way: Way, verification: Verification, at: datetime) -> VerificationRow:
        stage, code = verification.stage, verification.code
        return VerificationRow(
            account=self.account,
            user_id=way.user_id,
            transaction_id=way.transaction,
            device_id=way.device_id,
            room_id=way.room_id,
            stage=stage,
            code=json.dumps({"emoji": code.emoji, "decimals": code.decimals}) if code else None,
            reason=DEVICE_ONLY
            if stage is Stage.VERIFIED and way not in self._vouched
            else verification.cancelled,
            asked_at=verification.asked_at,
            settled_at=at if stage.over else None,
        )


def _way(row: VerificationRow) -> Way:
    return Way(row.user_id, row.device_id, row.transaction_id, row.room_id)
