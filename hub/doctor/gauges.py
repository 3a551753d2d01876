"""Findings as Prometheus reads them, and the rounds of a hub that runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import timedelta

from hub.delivery.relay import now
from hub.doctor.checks import CHECKS
from hub.doctor.examine import examine
from hub.doctor.finding import Finding, Level
from hub.doctor.patient import Awake
from hub.observe import Metrics

EVERY_SECONDS = 60.0

ROUND = tuple(check for check in CHECKS if not check.long)
"""What a running hub looks at; the long checks are the operator's."""

_VALUES = {Level.WELL: 1.0, Level.WARNING: 0.5, Level.FAILING: 0.0, Level.UNKNOWN: math.nan}

FIGURES: Mapping[tuple[str, str], str] = {
    ("disk", "free_bytes"): "disk_free",
    ("clock", "skew"): "clock_skew",
    ("identity", "whole"): "identity_chain_whole",
    ("keys", "count"): "one_time_keys",
    ("backup", "present"): "backup_present",
    ("sync", "lag"): "sync_lag",
}
"""(check, fact) → the gauge of :class:`Metrics` that shows it. A figure that was not found is NaN, not 0."""


async def rounds(patient: Awake, metrics: Metrics) -> None:
    """Examine, show, and again in a minute, until cancelled."""
    while True:
        show(metrics, patient.account.name, await examine(patient, ROUND))
        await asyncio.sleep(EVERY_SECONDS)


def show(metrics: Metrics, account: str, findings: Iterable[Finding]) -> None:
    """Bring the gauges up to date."""
    by_check = {finding.check: finding for finding in findings}
    for check, finding in by_check.items():
        metrics.check.labels(account, check).set(_VALUES[finding.level])
    for (check, fact), name in FIGURES.items():
        getattr(metrics, name).labels(account).set(_number(by_check[check].facts.get(fact)))
    metrics.examined.labels(account).set(now().timestamp())


def _number(fact: object) -> float:
    match fact:
        case timedelta():
            return fact.total_seconds()
        case bool() | int() | float():
            return float(fact)
        case _:
            return math.nan
