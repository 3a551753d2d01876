"""Exactly one process speaks for an account: a device has one Olm account, and two speakers would ruin it.

The lease lies in the hub's database, so that it holds across machines. A holder on this machine that is dead
(killed a second ago) is recognised by its process id and start time, and need not be waited for.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.observe import Log
from hub.storage.engine import Database
from hub.storage.unit_of_work import UnitOfWork

log = Log(__name__)

LASTS = timedelta(seconds=30)
RENEWED_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class Holder:
    """A process, named so that nobody is taken for somebody who once had the same process id."""

    host: str
    pid: int
    started: int  # clock ticks since boot, as the kernel counts them

    @classmethod
    def of(cls, pid: int) -> Holder | None:
        """The living process with this id on this machine, or None."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        return cls(_here(), pid, int(stat.rpartition(")")[2].split()[19]))

    @classmethod
    def parse(cls, text: str) -> Holder:
        """The inverse of ``str``."""
        host, pid, started = text.rsplit("/", 2)
        return cls(host, int(pid), int(started))

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}/{self.started}"

    @property
    def dead(self) -> bool:
        """Whether it surely lives no more; false when it runs elsewhere and nobody can tell."""
        return self.host == _here() and Holder.of(self.pid) != self


def _here() -> str:
    """This machine since it was booted, seen from this container: where our process ids mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}-{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"


@dataclass(frozen=True)
class Spoken:
    """The database, written to for an account by the one who holds its lease.

    A process that slept through the end of its lease wakes up in the middle of what it did: its next
    transaction finds another holder and writes nothing.
    """

    db: Database
    account: str
    holder: Holder

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[UnitOfWork]:
        """As ``Database.transaction``; raises OperatorError ``lease.lost`` once another holds the lease."""
        async with self.db.transaction() as tx:
            if not await tx.leases.held_by(self.account, str(self.holder)):
                raise OperatorError("lease.lost", account=self.account)
            yield tx


@asynccontextmanager
async def held(db: Database, account: str, pid: int) -> AsyncIterator[Holder]:
    """Hold the lease for a block; :func:`renewed` must run meanwhile.

    Raises OperatorError ``lease.held`` when another living process has it.
    """
    holder = Holder.of(pid)
    if holder is None:
        raise RuntimeError("a process that does not exist cannot hold a lease")
    async with db.transaction() as tx:
        other = await tx.leases.find(account)
        if other is not None and Holder.parse(other.holder).dead:
            await tx.leases.release(account, other.holder)
        if not await tx.leases.acquire(account, str(holder), now(), now() + LASTS):
            raise OperatorError("lease.held", account=account, holder=other.holder if other else "?")
    try:
        yield holder
    finally:
        async with db.transaction() as tx:
            await tx.leases.release(account, str(holder))


async def living(db: Database, account: str) -> bool:
    """Whether a process speaks for the account, as far as can be told from here."""
    async with db.transaction() as tx:
        found = await tx.leases.find(account)
    return found is not None and not Holder.parse(found.holder).dead


async def renewed(db: Database, account: str, holder: Holder) -> None:
    """Renew until cancelled. Raises OperatorError ``lease.lost`` when another speaks for the account; when
    the database is away for so long that one could, what it said of itself.

    Nobody takes over by a file that we cannot write to: its disk is full for both, or both see it again.
    """
    until = time.monotonic() + LASTS.total_seconds()  # the wall clock may be set meanwhile
    while True:
        await asyncio.sleep(RENEWED_EVERY_SECONDS)
        try:
            async with asyncio.timeout(RENEWED_EVERY_SECONDS), db.transaction() as tx:
                kept = await tx.leases.acquire(account, str(holder), now(), now() + LASTS)
        except (OperatorError, TimeoutError) as failed:
            log.error("lease.not_renewed", reason=getattr(failed, "code", "database.busy"))
            if db.shared and time.monotonic() >= until:
                if isinstance(failed, OperatorError):
                    raise
                raise OperatorError("database.busy", database=db.place) from failed
        else:
            if not kept:
                raise OperatorError("lease.lost", account=account)
            until = time.monotonic() + LASTS.total_seconds()
