"""``parcours doctor`` as its operator sees it: beside a hub that runs, beside one at rest, and when things
are broken for real."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from sqlalchemy import text

from hub import wiring
from hub.cli.parked import _parse
from hub.config import Settings
from hub.delivery.relay import now
from hub.doctor.examine import examine
from hub.doctor.gauges import ROUND, show
from hub.doctor.patient import Awake, OnDisk
from hub.errors import OperatorError
from hub.intake.note import Note
from hub.matrix import backup, identity, signing
from hub.matrix.account import Seeds
from hub.matrix.trust import Verdict
from tests.storage.examples import incoming, undecryptable
from tests.support.command_line import command, on, up
from tests.support.hub import TestHub, body
from tests.support.synapse import TestHomeserver, call, free_port, login

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Report:
    """What ``parcours doctor --json`` said, and its exit status."""

    status: int
    level: str
    checks: Mapping[str, Mapping[str, Any]]

    def __getitem__(self, check: str) -> str:
        return str(self.checks[check]["outcome"])

    def of_level(self, level: str) -> set[str]:
        return {name for name, check in self.checks.items() if check["level"] == level}


async def parcours(*words: str, data: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    return await command(*words, "--data", str(data), env=env)


async def doctor(data: Path, env: dict[str, str] | None = None) -> Report:
    status, said = await parcours("doctor", "--json", data=data, env=env)
    told = json.loads(said)
    assert all(check["says"] for check in told["checks"])
    return Report(status, told["level"], {check["check"]: check for check in told["checks"]})


@dataclass
class Resting:
    """A hub that ran once on the shared homeserver and stopped: nothing mends what a test breaks."""

    data: Path
    env: dict[str, str]
    homeserver: TestHomeserver
    while_it_ran: Report

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OnDisk]:
        """Its parts, from disk."""
        hub = OnDisk(Settings().model_copy(update={"data": self.data}))
        yield hub
        await hub.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def resting(
    homeserver: TestHomeserver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Resting]:
    folder = tmp_path_factory.mktemp("doctor")
    data, env = folder / "var", on(homeserver, folder, next(homeserver.hub_names))
    async with up(data, env=env) as running:
        assert running.ready
        async with asyncio.timeout(60):  # it makes its key backup a moment after it is ready
            while (await doctor(data, env))["backup"] != "well":
                await asyncio.sleep(0.2)
        files = {path: path.read_bytes() for path in (data / "hub").glob("*.sealed")}
        report = await doctor(data, env)
        assert {path: path.read_bytes() for path in files} == files
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
    yield Resting(data, env, homeserver, report)


async def test_a_hub_that_runs_is_well_and_is_left_as_it_was(resting: Resting) -> None:
    report = resting.while_it_ran
    assert (report.status, report.level) == (0, "well")
    assert report.of_level("failing") == report.of_level("unknown") == set()
    assert report.of_level("warning") == set()
    assert report["lease"] == "held"
    assert report["federation"] == "closed"
    assert report["limits"] == "lifted"
    assert report.checks["keys"]["facts"]["count"] > 25
    async with resting.opened() as hub:
        account = hub.account
    for secret in (account.access_token, account.password, account.pickle_key, account.recovery_key):
        assert secret
        assert secret not in json.dumps(report.checks, ensure_ascii=False)


async def test_the_metrics_show_what_the_doctor_finds(running_hub: wiring.Running) -> None:
    account, registry = running_hub.member.user_id, running_hub.metrics.registry

    def shown(name: str, **labels: str) -> float:
        value = registry.get_sample_value(f"parcours_{name}", {"account": account, **labels})
        return -1 if value is None else value

    async with asyncio.timeout(60):
        while shown("examined_timestamp_seconds") < 0:
            await asyncio.sleep(0.05)
    awake = Awake(running_hub.settings, running_hub.db, running_hub.member)
    show(running_hub.metrics, account, await examine(awake, ROUND))  # this minute's, not the last one's
    report = await doctor(running_hub.settings.data)
    worth = {"well": 1.0, "warning": 0.5, "failing": 0.0}
    for check in ROUND:
        assert shown("check", check=check.name) == worth[report.checks[check.name]["level"]], check.name
    assert shown("one_time_keys") > 0
    assert shown("identity_chain_whole") == 1
    assert shown("backup_present") == 1
    assert abs(shown("clock_skew_seconds")) < 2
    assert shown("disk_free_bytes") > 0
    assert 0 <= shown("sync_lag_seconds") < 60


async def test_a_hub_at_rest_is_no_failure_and_says_that_it_rests(resting: Resting) -> None:
    report = await doctor(resting.data, resting.env)
    assert (report["lease"], report["sync"], report["homeserver"]) == ("free", "stopped", "well")


async def test_a_homeserver_that_is_gone_is_named_and_the_rest_is_examined(resting: Resting) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    report = await doctor(resting.data, resting.env | {"PARCOURS_HOMESERVER__URL": url})
    assert report.status == 1
    assert report["homeserver"] == "error"
    assert url in report.checks["homeserver"]["says"]
    assert report["identity"] == report["keys"] == report["clock"] == "blocked"
    assert report["database"] == report["integrity"] == "well"


async def test_a_master_key_that_others_can_read_is_a_failure(resting: Resting) -> None:
    key = resting.data / "master.key"
    key.chmod(0o644)
    try:
        report = await doctor(resting.data, resting.env)
        assert report.status == 1
        assert f"chmod 600 {key}" in report.checks["master_key"]["says"]
        assert report["secrets"] == report["database"] == "blocked"
        assert report["disk"] != "blocked"
    finally:
        key.chmod(0o600)


async def test_a_data_folder_that_others_can_open_is_a_warning(resting: Resting) -> None:
    resting.data.chmod(0o755)
    try:
        assert (await doctor(resting.data, resting.env))["data"] == "readable"
    finally:
        resting.data.chmod(0o700)


async def test_relaxed_settings_are_told(resting: Resting) -> None:
    report = await doctor(resting.data, resting.env | {"PARCOURS_TRUST__REQUIRE_CROSS_SIGNED": "false"})
    assert report["configuration"] == "relaxed"
    assert "require_cross_signed" in report.checks["configuration"]["says"]


@asynccontextmanager
async def proxied(homeserver: TestHomeserver, **headers: str) -> AsyncIterator[str]:
    """A proxy in front of the homeserver that changes headers of its answers."""
    session = aiohttp.ClientSession(auto_decompress=False)

    async def forward(request: web.Request) -> web.Response:
        kept = {name: request.headers[name] for name in ("Authorization",) if name in request.headers}
        async with session.request(
            request.method, f"{homeserver.url}{request.raw_path}", headers=kept, data=await request.read()
        ) as answer:
            body = await answer.read()
            return web.Response(
                status=answer.status, body=body, headers={"Content-Type": "application/json", **headers}
            )

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await session.close()


@pytest.mark.parametrize(
    ("headers", "clock", "synapse"),
    [
        ({"Date": "Tue, 04 Mar 2025 09:30:00 GMT", "Server": "nginx"}, "wrong", "hidden"),
        ({"Date": "yesterday", "Server": "Synapse/1.99.0"}, "unknown", "untested"),
    ],
)
async def test_what_a_homeserver_says_of_time_and_version_is_judged(
    resting: Resting, headers: dict[str, str], clock: str, synapse: str
) -> None:
    async with proxied(resting.homeserver, **headers) as url:
        report = await doctor(resting.data, resting.env | {"PARCOURS_HOMESERVER__URL": url})
    assert (report["clock"], report["synapse"]) == (clock, synapse)
    assert report["identity"] == "well"


async def test_what_was_set_aside_is_told_brought_back_or_given_up(resting: Resting) -> None:
    async with resting.opened() as hub, hub.db.transaction() as tx:
        name = hub.account.name
        for event_id in ("$one", "$two"):
            note = Note("ma glycémie").to_bytes()
            row = replace(incoming(event_id, payload=note, account=name), kind="command", sent_at=now())
            await tx.inbox.add(row, now())
            claimed = await tx.inbox.next(name, now())
            assert claimed is not None
            await tx.inbox.park(claimed.id, "7F3K-2MQX", now())
        await tx.waiting.add(replace(undecryptable("$sealed", since=now()), account=name))
        rows = [row.id for row in await tx.inbox.parked(name)]

    report = await doctor(resting.data, resting.env)
    assert report.status == 1
    assert report["parked"] == "some"
    assert "7F3K-2MQX" in report.checks["parked"]["says"]
    assert report["waiting"] == "some"

    status, said = await parcours("parked", "list", data=resting.data, env=resting.env)
    assert status == 0
    assert said.count("7F3K-2MQX") == 2
    assert "glycémie" not in said
    status, said = await parcours("parked", "retry", "outbox-999", data=resting.data, env=resting.env)
    assert status == 1
    assert "outbox-999" in said
    assert (await parcours("parked", "retry", f"inbox-{rows[0]}", data=resting.data, env=resting.env))[0] == 0
    assert (await parcours("parked", "drop", f"inbox-{rows[1]}", data=resting.data, env=resting.env))[0] == 0
    async with resting.opened() as hub, hub.db.transaction() as tx:
        back = await tx.inbox.next(name, now())
        assert back is not None and back.event_id == "$one"
        assert Note.from_bytes(back.payload).text == "ma glycémie"
        await tx.inbox.done(back.id, now())
        assert await tx.inbox.next(name, now()) is None


async def test_what_is_brought_back_beside_a_hub_that_runs_is_answered(hub: TestHub) -> None:
    person = await hub.person("patiente")
    room = await hub.meeting(person)
    name, db = hub.user_id, hub.running.db
    note = Note("aide", direct=True, verdict=Verdict.TRUSTED).to_bytes()
    row = replace(
        incoming("$set-aside", room, payload=note, account=name), kind="command", sender=person.user_id
    )
    async with db.transaction() as tx:
        await tx.inbox.add(row, now())
        found = await tx.connection.execute(text("SELECT id FROM inbox WHERE event_id = '$set-aside'"))
        number = int(found.scalar_one())
        await tx.inbox.park(number, "7F3K-2MQX", now())
    row_name = f"inbox-{number}"
    assert (await parcours("parked", "retry", row_name, data=hub.running.settings.data))[0] == 0
    assert "/langue" in body(await person.answer_to(room, "$set-aside"))
    counted = {"command": "aide"}
    assert hub.running.metrics.registry.get_sample_value("parcours_command_seconds_count", counted)


@pytest.mark.parametrize(
    "typed", ["rien", "inbox", "inbox-", "inbox-0", "inbox--1", "inbox-1;2", "outbox-1.5"]
)
def test_what_names_no_row_is_refused(typed: str) -> None:
    with pytest.raises(OperatorError) as refused:
        _parse(typed)
    assert (refused.value.code, refused.value.facts) == ("parked.unknown", {"typed": typed})


async def test_one_time_keys_that_somebody_took_are_missed(resting: Resting) -> None:
    user, password = await resting.homeserver.new_user("glouton")
    token = await login(resting.homeserver.url, user, password)
    async with resting.opened() as hub:
        device = {hub.account.user_id: {hub.account.device_id: "signed_curve25519"}}
    taken = ""
    while "fallback" not in taken:
        status, body = await call(
            "POST",
            f"{resting.homeserver.url}/_matrix/client/v3/keys/claim",
            token=token,
            json={"one_time_keys": device},
        )
        if status == 429:
            await asyncio.sleep(body.get("retry_after_ms", 100) / 1000)
            continue
        taken = json.dumps(body)
    report = await doctor(resting.data, resting.env)
    assert report.status == 1
    assert report["keys"] == "drained"


async def test_a_backup_that_somebody_else_made_is_not_trusted(resting: Resting) -> None:
    async with resting.opened() as hub:
        account = hub.account
        assert account.seeds is not None
        public = backup.public_key(account.backup_key)
        for signer, outcome in (("22" * 32, "untrusted"), (account.seeds.master, "well")):
            auth: dict[str, Any] = {"public_key": public}
            key = signing.public_key(signer)
            auth["signatures"] = {account.user_id: {f"ed25519:{key}": signing.sign(auth, signer)}}
            content = {"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": auth}
            made = await hub.client.call("POST", "/_matrix/client/v3/room_keys/version", content)
            report = await doctor(resting.data, resting.env)
            assert report["backup"] == outcome
            assert report.checks["backup"]["facts"]["version"] == made["version"]


async def test_a_device_that_its_identity_does_not_sign_is_a_failure(resting: Resting) -> None:
    """A new self-signing key, vouched for by the same master key, has not signed the device."""
    async with resting.opened() as hub:
        account = hub.account
        assert account.seeds is not None
        public = signing.public_key("33" * 32)
        key: dict[str, Any] = {"user_id": account.user_id, "usage": ["self_signing"]}
        key["keys"] = {f"ed25519:{public}": public}
        name = f"ed25519:{signing.public_key(account.seeds.master)}"
        key["signatures"] = {account.user_id: {name: signing.sign(key, account.seeds.master)}}
        url_path = "/_matrix/client/v3/keys/device_signing/upload"
        await identity._with_password(hub.client, account, url_path, {"self_signing_key": key})
    report = await doctor(resting.data, resting.env)
    assert report.status == 1
    assert report["identity"] == "unsigned"


async def test_an_identity_that_was_replaced_is_an_alarm(resting: Resting) -> None:
    async with resting.opened() as hub:
        await identity._publish(hub.client, hub.account, Seeds("44" * 32, "55" * 32, "66" * 32))
    report = await doctor(resting.data, resting.env)
    assert (report.status, report["identity"]) == (1, "replaced")


async def test_a_session_that_was_closed_is_told(resting: Resting) -> None:
    async with resting.opened() as hub:
        await hub.client.call("POST", "/_matrix/client/v3/logout")
    report = await doctor(resting.data, resting.env)
    assert (report.status, report["account"]) == (1, "signed_out")
    assert report["identity"] == "blocked"
    assert report["homeserver"] == "well"
