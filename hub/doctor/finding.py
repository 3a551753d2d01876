"""What a check finds, and how bad that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How bad. UNKNOWN is no answer, and says why; it is never taken for a good one."""

    WELL = "well"
    WARNING = "warning"
    FAILING = "failing"
    UNKNOWN = "unknown"


OUTCOMES: Mapping[str, Level] = {
    # whatever the check
    "blocked": Level.UNKNOWN,  # what it needs has failed already
    "error": Level.FAILING,  # an OperatorError, which has its own sentence
    "refused": Level.FAILING,  # by the homeserver
    "no_answer": Level.FAILING,
    "fault": Level.FAILING,  # ours
    "data.well": Level.WELL,
    "data.none": Level.FAILING,
    "data.readable": Level.WARNING,
    "data.writable": Level.FAILING,
    "disk.well": Level.WELL,
    "disk.low": Level.WARNING,
    "disk.full": Level.FAILING,
    "configuration.well": Level.WELL,
    "configuration.relaxed": Level.WARNING,
    "master_key.file": Level.WELL,
    "master_key.environment": Level.WELL,
    "secrets.well": Level.WELL,
    "secrets.no_password": Level.WARNING,
    "database.well": Level.WELL,
    "integrity.well": Level.WELL,
    "versions.well": Level.WELL,
    "lease.held": Level.WELL,
    "lease.free": Level.WARNING,
    "lease.dead": Level.WARNING,
    "lease.expired": Level.WARNING,
    "homeserver.well": Level.WELL,
    "homeserver.asleep": Level.UNKNOWN,
    "synapse.well": Level.WELL,
    "synapse.untested": Level.WARNING,
    "synapse.foreign": Level.WARNING,
    "synapse.hidden": Level.UNKNOWN,
    "clock.well": Level.WELL,
    "clock.unknown": Level.UNKNOWN,
    "clock.off": Level.WARNING,
    "clock.wrong": Level.FAILING,
    "clock.went_back": Level.FAILING,
    "account.well": Level.WELL,
    "account.signed_out": Level.FAILING,
    "account.other_device": Level.FAILING,
    "identity.well": Level.WELL,
    "identity.replaced": Level.FAILING,
    "identity.missing": Level.FAILING,
    "identity.unsigned": Level.FAILING,
    "keys.well": Level.WELL,
    "keys.low": Level.WARNING,
    "keys.no_fallback": Level.WARNING,
    "keys.drained": Level.FAILING,
    "backup.well": Level.WELL,
    "backup.none": Level.WARNING,
    "backup.foreign": Level.WARNING,
    "backup.untrusted": Level.FAILING,
    "limits.lifted": Level.WELL,
    "limits.unknown": Level.UNKNOWN,
    "federation.closed": Level.WELL,
    "federation.partners": Level.WELL,
    "federation.open": Level.FAILING,
    "federation.hidden": Level.UNKNOWN,
    "sync.well": Level.WELL,
    "sync.never": Level.UNKNOWN,
    "sync.stopped": Level.UNKNOWN,
    "sync.late": Level.WARNING,
    "sync.stuck": Level.FAILING,
    "parked.none": Level.WELL,
    "parked.some": Level.FAILING,
    "waiting.none": Level.WELL,
    "waiting.some": Level.WARNING,
}
"""``<check>.<outcome>``, or an outcome that any check may have → how bad it is."""

_OF_ANY = frozenset(code for code in OUTCOMES if "." not in code)


@dataclass(frozen=True)
class Finding:
    """``facts`` are what its sentence quotes and what ``gauges`` and ``--json`` show: no word of a person."""

    check: str
    outcome: str
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """Its place in :data:`OUTCOMES`; behind ``doctor.``, its sentence."""
        return self.outcome if self.outcome in _OF_ANY else f"{self.check}.{self.outcome}"

    @property
    def level(self) -> Level:
        return OUTCOMES[self.code]


def worst(findings: list[Finding]) -> Level:
    """The level of a whole examination; what is unknown makes nothing worse."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAILING, Level.WARNING) if level in levels), Level.WELL)
