"""Figures → findings: where each line is drawn, and that each finding can be said in both languages."""

from __future__ import annotations

import os
from collections import namedtuple
from datetime import timedelta

import pytest

from hub.doctor import judge
from hub.doctor.checks import CHECKS
from hub.doctor.finding import OUTCOMES, Finding, Level, worst
from hub.lease import Holder
from hub.locale import Language, translate
from hub.locale.catalogue import keys
from hub.matrix.checkup import Backup, KeySupply
from hub.matrix.identity import Chain
from hub.storage.rows import Lease, Parked, SyncPosition
from tests.storage.examples import LATER, NOW, ROOM

Usage = namedtuple("Usage", "total used free")  # as shutil.disk_usage gives it
GB = judge.GIGABYTE
SECOND = timedelta(seconds=1)
HERE = Lease(str(Holder.of(os.getpid())), LATER)
ELSEWHERE = Lease("ward-3-a1b2-4026531836/41/9", NOW)
DEAD = Lease(str(Holder(Holder.parse(HERE.holder).host, os.getpid(), 1)), LATER)


def disk(free: float, total: float = 10 * GB) -> Finding:
    return judge.disk({"/wide": Usage(100 * GB, 0, 90 * GB), "/var": Usage(int(total), 0, int(free))})


def clock(seconds: float | None, ahead: float = 0) -> Finding:
    skew = None if seconds is None else timedelta(seconds=seconds)
    return judge.clock(skew, NOW + timedelta(seconds=ahead), NOW)


def sync(seconds: float, held: Lease | None = HERE) -> Finding:
    return judge.sync(SyncPosition("s", NOW, NOW), held, NOW + timedelta(seconds=seconds))


def chain(*, master: str | None = "k", ours: bool = True, signed: bool = True) -> Finding:
    return judge.identity(Chain(master, ours, signed, signed), "PARCOURSX")


def backup(*, known: bool = True, trusted: bool = True) -> Finding:
    return judge.backup(Backup("3", 120, known, trusted))


ROW = Parked(4, ROOM, "7F3K-2MQX", 3, NOW)

CASES = [
    (judge.folder("/var", 0o40700), "data.well"),
    (judge.folder("/var", 0o40710), "data.readable"),
    (judge.folder("/var", 0o40755), "data.readable"),
    (judge.folder("/var", 0o40770), "data.writable"),
    (judge.folder("/var", 0o40702), "data.writable"),
    (Finding("data", "none", {"path": "/var"}), "data.none"),
    (disk(1.5 * GB), "disk.well"),
    (disk(GB, 10 * GB), "disk.well"),
    (disk(GB - 1, 2 * GB), "disk.low"),
    (disk(9 * GB, 100 * GB), "disk.low"),
    (disk(GB // 5, GB), "disk.low"),
    (disk(GB // 5 - 1, GB), "disk.full"),
    (disk(0, 0), "disk.full"),
    (judge.configuration([]), "configuration.well"),
    (judge.configuration(["relaxed.web.host", "relaxed.homeserver.url"]), "configuration.relaxed"),
    (Finding("master_key", "file", {"path": "/var/master.key"}), "master_key.file"),
    (Finding("master_key", "environment"), "master_key.environment"),
    (Finding("secrets", "well", {"user_id": "@p:x"}), "secrets.well"),
    (Finding("secrets", "no_password", {"user_id": "@p:x"}), "secrets.no_password"),
    (Finding("database", "well"), "database.well"),
    (Finding("integrity", "well"), "integrity.well"),
    (
        Finding(
            "versions", "well", dict.fromkeys(("parcours", "nio", "vodozemac", "python", "database"), "1")
        ),
        "versions.well",
    ),
    (judge.lease(None, NOW), "lease.free"),
    (judge.lease(HERE, NOW), "lease.held"),
    (judge.lease(DEAD, NOW), "lease.dead"),
    (judge.lease(ELSEWHERE, NOW), "lease.expired"),
    (Finding("homeserver", "well", {"url": "http://x"}), "homeserver.well"),
    (Finding("homeserver", "asleep", {"url": "http://x"}), "homeserver.asleep"),
    (judge.synapse("Synapse/1.163.2", "1.163.2"), "synapse.well"),
    (judge.synapse("Synapse/1.163.9 (b=main)", "1.163.2"), "synapse.well"),
    (judge.synapse("Synapse/1.164.0rc1", "1.163.2"), "synapse.untested"),
    (judge.synapse("Synapse/1.16.3", "1.163.2"), "synapse.untested"),
    (judge.synapse("Synapse", "1.163.2"), "synapse.untested"),
    (judge.synapse("Dendrite/0.13", "1.163.2"), "synapse.foreign"),
    (judge.synapse(None, "1.163.2"), "synapse.hidden"),
    (clock(-5), "clock.well"),
    (clock(5.5), "clock.off"),
    (clock(-60), "clock.off"),
    (clock(61), "clock.wrong"),
    (clock(-4000), "clock.wrong"),
    (clock(None), "clock.unknown"),
    (clock(0, ahead=5), "clock.well"),
    (clock(0, ahead=6), "clock.went_back"),
    (clock(None, ahead=4000), "clock.went_back"),
    (Finding("account", "well", {"user_id": "@p:x", "device_id": "D"}), "account.well"),
    (Finding("account", "signed_out", {"user_id": "@p:x", "device_id": "D"}), "account.signed_out"),
    (Finding("account", "other_device", {"user_id": "@p:x", "device_id": "D"}), "account.other_device"),
    (chain(), "identity.well"),
    (chain(signed=False), "identity.unsigned"),
    (chain(ours=False), "identity.replaced"),
    (chain(master=None, ours=False, signed=False), "identity.missing"),
    (judge.keys(KeySupply(50, fallback=True)), "keys.well"),
    (judge.keys(KeySupply(10, fallback=True)), "keys.well"),
    (judge.keys(KeySupply(9, fallback=True)), "keys.low"),
    (judge.keys(KeySupply(50, fallback=False)), "keys.no_fallback"),
    (judge.keys(KeySupply(0, fallback=True)), "keys.drained"),
    (judge.backup(None), "backup.none"),
    (backup(), "backup.well"),
    (backup(trusted=False), "backup.untrusted"),
    (backup(known=False, trusted=False), "backup.foreign"),
    (Finding("limits", "lifted", {"user_id": "@p:x"}), "limits.lifted"),
    (Finding("limits", "unknown", {"user_id": "@p:x"}), "limits.unknown"),
    (judge.federation(()), "federation.closed"),
    (judge.federation(("ville.example",)), "federation.partners"),
    (judge.federation(None), "federation.open"),
    (Finding("federation", "hidden"), "federation.hidden"),
    (sync(120), "sync.well"),
    (sync(-3), "sync.well"),  # a clock that went back is the clock's finding
    (sync(121), "sync.late"),
    (sync(601, Lease(HERE.holder, NOW + timedelta(hours=1))), "sync.stuck"),
    (sync(601, None), "sync.stopped"),
    (sync(1, ELSEWHERE), "sync.stopped"),
    (judge.sync(None, HERE, NOW), "sync.never"),
    (judge.parked([], []), "parked.none"),
    (judge.parked([ROW], []), "parked.some"),
    (judge.parked([ROW, ROW], [ROW]), "parked.some"),
    (judge.waiting(0, 3), "waiting.none"),
    (judge.waiting(1, 0), "waiting.some"),
    (judge.waiting(2, 0), "waiting.some"),
    (Finding("keys", "blocked", {"by": ("doctor.account", {})}), "blocked"),
    (Finding("database", "error", {"why": ("database.full", {"database": "/var/parcours.db"})}), "error"),
    (Finding("keys", "refused", {"status": "500", "errcode": "M_UNKNOWN"}), "refused"),
    (Finding("integrity", "no_answer", {"n": 60}), "no_answer"),
    (Finding("disk", "fault", {"reference": "7F3K-2MQX"}), "fault"),
]


@pytest.mark.parametrize(("finding", "code"), CASES, ids=[f"{n}-{code}" for n, (_, code) in enumerate(CASES)])
def test_what_is_found(finding: Finding, code: str) -> None:
    assert finding.code == code
    for language in Language:
        assert translate(language, f"doctor.{finding.code}", **finding.facts)


def test_every_outcome_is_among_the_cases_and_has_its_sentence() -> None:
    assert {code for _, code in CASES} == set(OUTCOMES)
    titles = {check.name for check in CHECKS}
    assert {code.partition(".")[0] for code in OUTCOMES if "." in code} == titles
    summaries = {f"summary.{word}" for word in ("well", "warning", "failing", "unknown")}
    for language in Language:
        said = {key.removeprefix("doctor.") for key in keys(language) if key.startswith("doctor.")}
        assert said == set(OUTCOMES) | titles | summaries


def test_the_tightest_place_counts() -> None:
    assert disk(GB - 1, 2 * GB).facts["path"] == "/var"


def test_an_examination_is_as_bad_as_its_worst_finding_and_the_unknown_makes_nothing_worse() -> None:
    well, unknown = judge.backup(Backup("1", 1, True, True)), judge.synapse(None, "1")
    warning, failing = judge.backup(None), judge.federation(None)
    assert worst([well, unknown]) is Level.WELL
    assert worst([well, warning, unknown]) is Level.WARNING
    assert worst([failing, warning, well]) is Level.FAILING
