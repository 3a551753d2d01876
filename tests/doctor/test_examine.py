"""Each check by itself: what happens to one does not happen to the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from hub.config import Settings
from hub.delivery.relay import now
from hub.doctor import examine as examining
from hub.doctor.checks import CHECKS, Check
from hub.doctor.examine import examine
from hub.doctor.finding import Finding
from hub.doctor.gauges import show
from hub.doctor.patient import OnDisk, Patient, sqlite_file
from hub.errors import OperatorError
from hub.lease import LASTS, Holder
from hub.matrix.account import Account
from hub.matrix.client import MatrixError
from hub.observe import Metrics
from hub.storage.engine import Database
from tests.storage.examples import HUB, NOW, ROOM, undecryptable
from tests.support.databases import Backend

Look = Callable[[Patient], Awaitable[Finding]]


def well(name: str) -> Look:
    async def look(_: Patient) -> Finding:
        return Finding(name, "well")

    return look


def raising(error: Exception) -> Look:
    async def look(_: Patient) -> Finding:
        raise error

    return look


async def never(_: Patient) -> Finding:
    await asyncio.Event().wait()
    raise AssertionError


async def examined(tmp_path: Path, *checks: Check) -> dict[str, Finding]:
    patient = OnDisk(Settings().model_copy(update={"data": tmp_path / "var"}))
    try:
        return {finding.check: finding for finding in await examine(patient, checks)}
    finally:
        await patient.close()


async def test_a_check_that_breaks_says_so_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examining, "PATIENCE_SECONDS", 0.05)
    found = await examined(
        tmp_path,
        Check("disk", raising(ZeroDivisionError("what a person said"))),
        Check("keys", raising(MatrixError(500, {"errcode": "M_UNKNOWN"}))),
        Check("database", raising(OperatorError("database.busy", database="/var/parcours.db"))),
        Check("integrity", never),
        Check("configuration", well("configuration")),
    )
    assert [finding.code for finding in found.values()] == [
        "fault",
        "refused",
        "error",
        "no_answer",
        "configuration.well",
    ]
    assert "person" not in repr(found["disk"].facts)


async def test_what_cannot_be_examined_names_what_failed_first(tmp_path: Path) -> None:
    found = await examined(
        tmp_path,
        Check("master_key", raising(OperatorError("seal.master_key_permissions", path="/k"))),
        Check("secrets", well("secrets"), ("master_key",)),
        Check("sync", well("sync"), ("secrets",)),
        Check("configuration", well("configuration")),
    )
    assert [finding.outcome for finding in found.values()] == ["error", "blocked", "blocked", "well"]
    assert found["sync"].facts == {"by": ("doctor.master_key", {})}


def test_each_need_comes_before_whoever_needs_it() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names))
    for at, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:at])
        assert not any(need.long for need in CHECKS if need.name in check.needs)


async def test_a_look_at_nothing_makes_nothing(tmp_path: Path) -> None:
    found = await examined(tmp_path, *CHECKS)
    assert found["data"].outcome == "none"
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_without_a_database_gets_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    monkeypatch.setenv("PARCOURS_MASTER_KEY", "ab" * 32)
    found = await examined(tmp_path, *CHECKS)
    assert (found["data"].outcome, found["master_key"].outcome) == ("well", "environment")
    assert found["database"].code == found["secrets"].code == "error"
    assert list((tmp_path / "var").iterdir()) == []


async def test_a_database_is_examined_whichever_it_is(database: Database, backend: Backend) -> None:
    class Hub:
        db, account = database, Account("http://x", HUB, "PARCOURSX", "password")

    about = ("database", "integrity", "versions", "lease", "sync", "parked", "waiting")
    patient = cast(Patient, Hub())
    checks = [replace(check, needs=()) for check in CHECKS if check.name in about]

    async def outcomes() -> list[str]:
        return [finding.outcome for finding in await examine(patient, checks)]

    assert await outcomes() == ["well", "well", "well", "free", "never", "none", "none"]
    async with database.transaction() as tx:
        await tx.leases.acquire(HUB, str(Holder.of(os.getpid())), now(), now() + LASTS)
        await tx.sync.save(HUB, "s1", now())
        await tx.outbox.queue(HUB, ROOM, b"", cause="$e", step=0, now=NOW)
        (row,) = await tx.outbox.due(HUB, NOW, 1)
        await tx.outbox.park(row.id, "7F3K-2MQX", NOW)
        await tx.waiting.add(undecryptable("$old"))
        await tx.waiting.add(undecryptable("$new", since=now()))
    assert await outcomes() == ["well", "well", "well", "held", "well", "some", "some"]
    await backend.execute("UPDATE alembic_version SET version_num = '9999'")
    assert (await outcomes())[0] == "error"


def test_what_is_unknown_is_shown_as_no_number() -> None:
    metrics = Metrics.create()
    found = [Finding(check.name, "blocked", {"by": ("doctor.data", {})}) for check in CHECKS]
    show(metrics, "@p:x", found)
    text = metrics.exposition().decode()
    assert 'parcours_check{account="@p:x",check="backup"} NaN' in text
    assert 'parcours_identity_chain_whole{account="@p:x"} NaN' in text


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite+aiosqlite:////var/lib/parcours.db", Path("/var/lib/parcours.db")),
        ("sqlite+aiosqlite:///here.db", Path("here.db")),
        ("postgresql+asyncpg://h/parcours", None),
    ],
)
def test_a_database_is_a_file_or_it_is_not(
    url: str, file: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE__URL", url)
    assert sqlite_file(Settings()) == file
