"""One examination. A check that breaks says so, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from hub.doctor.checks import CHECKS, Check
from hub.doctor.finding import Finding, Level
from hub.doctor.patient import Patient
from hub.errors import OperatorError
from hub.matrix.client import MatrixError, Unreachable
from hub.observe import Log, report

log = Log(__name__)

PATIENCE_SECONDS = 60.0
"""For one check; reading a large database through is the longest."""


async def examine(patient: Patient, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """Every check's finding, in the order of the checks."""
    findings: list[Finding] = []
    stopped: dict[str, str] = {}  # a check without success → the one that failed first, on which it depends
    for check in checks:
        by = next((stopped[need] for need in check.needs if need in stopped), None)
        if by is not None:
            finding = Finding(check.name, "blocked", {"by": (f"doctor.{by}", {})})
        else:
            finding = await _by_itself(check, patient)
        if finding.level in (Level.FAILING, Level.UNKNOWN):
            stopped[check.name] = by or check.name
        findings.append(finding)
    return findings


async def _by_itself(check: Check, patient: Patient) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await check.look(patient)
    except OperatorError as failed:
        return _error(check, failed)
    except Unreachable:
        return _error(check, OperatorError("homeserver.unreachable", url=patient.client.homeserver))
    except MatrixError as refused:
        return Finding(check.name, "refused", {"status": str(refused.status), "errcode": refused.errcode})
    except TimeoutError:
        return Finding(check.name, "no_answer", {"n": round(PATIENCE_SECONDS)})
    except Exception as fault:  # ours, or a disk's: the other checks have nothing to do with it
        return Finding(check.name, "fault", {"reference": report(fault, log)})


def _error(check: Check, failed: OperatorError) -> Finding:
    return Finding(check.name, "error", {"why": (failed.code, failed.facts)})
