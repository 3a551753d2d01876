"""The rules: what was measured → what is found. Pure; sizes in bytes."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from hub.doctor.finding import Finding
from hub.lease import Holder
from hub.matrix.checkup import Backup, KeySupply
from hub.matrix.identity import Chain
from hub.storage.rows import Lease, Parked, SyncPosition

GIGABYTE = 1_000_000_000
DISK_LOW, DISK_LOW_SHARE = GIGABYTE, 0.10
DISK_FULL = GIGABYTE // 5

CLOCK_OFF, CLOCK_WRONG = timedelta(seconds=5), timedelta(seconds=60)
"""A device that lives a minute off refuses signatures and signs in vain; journals lie."""

KEYS_LOW = 10
"""The hub refills at 25: as few as these means that it could not."""

SYNC_LATE, SYNC_STUCK = timedelta(minutes=2), timedelta(minutes=10)
"""A quiet hub hears from its homeserver every half minute."""

UNREADABLE_COUNTS_FOR = timedelta(days=1)
"""Whoever wrote an unreadable message is asked to send it again; a key that is a day late comes no more."""


class Usage(Protocol):
    """What ``shutil.disk_usage`` gives."""

    @property
    def total(self) -> int: ...
    @property
    def free(self) -> int: ...


def folder(path: str, mode: int) -> Finding:
    """The data folder's permissions: its owner's alone."""
    outcome = "writable" if mode & 0o022 else "readable" if mode & 0o077 else "well"
    return Finding("data", outcome, {"path": path, "mode": f"{stat.S_IMODE(mode):o}"})


def disk(places: Mapping[str, Usage]) -> Finding:
    """The tightest of the places (path → usage) where the hub writes."""
    path, usage = min(places.items(), key=lambda place: place[1].free)
    if usage.free < DISK_FULL:
        outcome = "full"
    elif usage.free < DISK_LOW or usage.free < DISK_LOW_SHARE * usage.total:
        outcome = "low"
    else:
        outcome = "well"
    facts = {
        "path": path,
        "free": round(usage.free / GIGABYTE, 1),
        "percent": round(100 * usage.free / (usage.total or 1)),
        "free_bytes": usage.free,
    }
    return Finding("disk", outcome, facts)


def configuration(relaxations: Sequence[str]) -> Finding:
    """Safety defaults that were loosened: catalogue keys."""
    if not relaxations:
        return Finding("configuration", "well")
    return Finding("configuration", "relaxed", {"what": [(key, {}) for key in relaxations]})


def lease(found: Lease | None, now: datetime) -> Finding:
    """Who speaks for the account."""
    if found is None:
        return Finding("lease", "free")
    holder = Holder.parse(found.holder)
    facts = {"holder": holder.host.partition("-")[0], "pid": str(holder.pid), "until": found.until}
    if holder.dead:
        return Finding("lease", "dead", facts)
    return Finding("lease", "held" if found.until > now else "expired", facts)


def synapse(server: str | None, tested: str) -> Finding:
    """``server`` as it calls itself, against the version that the tests ran with; patches do not matter."""
    if server is None:
        return Finding("synapse", "hidden", {"tested": tested})
    name, _, version = server.partition("/")
    version = version.partition(" ")[0]
    facts = {"server": f"{name} {version}", "tested": tested}
    if name != "Synapse":
        return Finding("synapse", "foreign", facts)
    same = version.split(".")[:2] == tested.split(".")[:2]
    return Finding("synapse", "well" if same else "untested", facts)


def clock(skew: timedelta | None, last_written: datetime | None, now: datetime) -> Finding:
    """Ours against the homeserver's, and against the last moment that the hub wrote down itself."""
    if last_written is not None and last_written - now > CLOCK_OFF:
        return Finding("clock", "went_back", {"last": last_written, "skew": skew})
    if skew is None:
        return Finding("clock", "unknown")
    outcome = "wrong" if abs(skew) > CLOCK_WRONG else "off" if abs(skew) > CLOCK_OFF else "well"
    return Finding("clock", outcome, {"skew": skew})


def identity(chain: Chain, device_id: str) -> Finding:
    """Whether strict clients believe this device."""
    facts = {"device_id": device_id, "whole": chain.whole}
    if chain.whole:
        return Finding("identity", "well", facts)
    if chain.master_key is None:
        return Finding("identity", "missing", facts)
    return Finding("identity", "unsigned" if chain.master_is_ours else "replaced", facts)


def keys(supply: KeySupply) -> Finding:
    """What others need to write to us first."""
    if not supply.one_time_keys:
        outcome = "drained"
    elif supply.one_time_keys < KEYS_LOW:
        outcome = "low"
    else:
        outcome = "well" if supply.fallback else "no_fallback"
    return Finding("keys", outcome, {"count": supply.one_time_keys})


def backup(found: Backup | None) -> Finding:
    """The backup of room keys."""
    if found is None:
        return Finding("backup", "none", {"present": False})
    outcome = "foreign" if not found.known else "well" if found.trusted else "untrusted"
    return Finding(
        "backup",
        outcome,
        {"version": found.version, "count": found.count, "present": found.known and found.trusted},
    )


def federation(servers: Sequence[str] | None) -> Finding:
    """Whom the homeserver speaks to: a list, which may be empty; None is everybody."""
    if servers is None:
        return Finding("federation", "open")
    return (
        Finding("federation", "partners", {"servers": list(servers)})
        if servers
        else Finding("federation", "closed")
    )


def sync(position: SyncPosition | None, held: Lease | None, now: datetime) -> Finding:
    """How long ago the homeserver last told us something, or that there was nothing to tell."""
    if position is None:
        return Finding("sync", "never")
    lag = max(now - position.saved_at, timedelta(0))
    facts = {"lag": timedelta(seconds=round(lag.total_seconds())), "since": position.saved_at}
    if held is None or held.until <= now:
        return Finding("sync", "stopped", facts)
    return Finding("sync", "stuck" if lag > SYNC_STUCK else "late" if lag > SYNC_LATE else "well", facts)


def parked(inbox: Sequence[Parked], outbox: Sequence[Parked]) -> Finding:
    """Rows set aside: each is a question without an answer, or an answer that nobody got."""
    rows = [*inbox, *outbox]
    if not rows:
        return Finding("parked", "none")
    references = list(dict.fromkeys(row.reference for row in rows))
    return Finding("parked", "some", {"n": len(rows), "references": references[:20]})


def waiting(recent: int, older: int) -> Finding:
    """Messages that cannot be read for want of their key."""
    if recent:
        return Finding("waiting", "some", {"n": recent, "older": older})
    return Finding("waiting", "none", {"older": older})
