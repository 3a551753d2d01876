"""``parcours up`` as its operator sees it: what it prints and leaves behind, what it says when it cannot."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import signal
import sqlite3
import stat
from pathlib import Path

import aiohttp
import pytest
import yaml

from tests.support.command_line import command, nothing_left, on, up
from tests.support.synapse import TestHomeserver, call, free_base_port, login

pytestmark = pytest.mark.integration


async def refused(data: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """Start what cannot start; what it says on its way out."""
    async with up(data, *options, env=env) as running:
        assert await running.ended() != 0
    said = "\n".join(running.lines)
    assert "Traceback" not in said
    assert "fault.uncaught" not in said
    return said


async def test_one_command_brings_everything_up_and_ctrl_c_takes_it_down(tmp_path: Path) -> None:
    data, port = tmp_path / "var", str(free_base_port())
    options = ("--base-port", port, "--demo")
    async with up(data, *options) as first:
        ready = first.ready
        assert set(ready) == {"homeserver", "server_name", "hub", "web", "accounts"}
        assert ready["hub"] == f"@parcours:{ready['server_name']}"
        file = Path(ready["accounts"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        accounts = json.loads(file.read_text())
        assert sorted(account["role"] for account in accounts) == sorted(
            ["admin", *["professional"] * 4, *["patient"] * 2, "caregiver"]
        )
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{ready['web']}/health") as answer:
                assert answer.status == 200
                assert (await answer.json())["status"] == "ok"
            async with session.get(f"{ready['homeserver']}/_matrix/client/versions") as answer:
                assert answer.status == 200
        said = "\n".join(first.lines)
        assert accounts[1]["password"] in said
        assert ready["homeserver"] in said
        key_file = data / "recovery-key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600  # no terminal: a file, and not the log
        assert key_file.read_text().split()[0] not in said
        key_file.unlink()
        first.process.send_signal(signal.SIGINT)
        assert await first.ended() == 0
    await nothing_left(data)

    async with up(data, *options) as second:
        assert second.ready["hub"] == ready["hub"]
        assert json.loads(file.read_text()) == accounts
        assert not key_file.exists()  # shown once
        busy = await refused(data, *options)
        assert str(data) in busy
        await told("doctor", "--data", str(data))  # its exit status says that nothing fails
        identity = await told("identity", "show", "--data", str(data))
        assert identity.count("✓") == 3
        made = await told("account", "create", "claire", "--role", "professional", "--data", str(data))
        claire = json.loads(made.splitlines()[-1])
        assert claire["user_id"].startswith("@claire:")
        token = await login(second.ready["homeserver"], claire["user_id"], claire["password"])
        create_room = f"{second.ready['homeserver']}/_matrix/client/v3/createRoom"
        assert (await call("POST", create_room, token=token, json={}))[0] == 200  # as only professionals may
        elsewhere = "@luc.petit:ville.example"
        await told("account", "enrol", elsewhere, "--role", "professional", "--data", str(data))
        wrong = await told("account", "enrol", "luc", "--role", "professional", "--data", str(data), status=2)
        assert "luc" in wrong
        taken = await told("account", "create", "claire", "--role", "patient", "--data", str(data), status=1)
        assert "claire" in taken
        second.process.send_signal(signal.SIGTERM)
        assert await second.ended() == 0
    await nothing_left(data)
    assert "embarqué" in await told("doctor", "--data", str(data))


async def test_a_hospital_and_a_practice_come_up_together_and_the_hospital_alone_again(
    tmp_path: Path,
) -> None:
    data, port = tmp_path / "var", free_base_port()
    options = ("--base-port", str(port), "--demo")
    async with up(data, *options, "--federated") as running:
        ready, practice = running.ready, running.ready["practice"]
        assert practice == {
            "homeserver": f"http://127.0.0.1:{port + 2}",
            "server_name": "cabinet.localhost",
        }
        async with aiohttp.ClientSession() as session:
            for url in (ready["homeserver"], practice["homeserver"]):
                async with session.get(f"{url}/_matrix/client/versions") as answer:
                    assert answer.status == 200
                async with session.get(f"{url}/_matrix/federation/v1/version") as answer:
                    assert answer.status == 404  # partners come by TLS
        accounts = json.loads(Path(ready["accounts"]).read_text())
        doctor = next(one for one in accounts if one["user_id"].endswith(":cabinet.localhost"))
        said = "\n".join(running.lines)
        assert (
            doctor["password"] in said[said.index(practice["homeserver"]) :]
        )  # where she signs in, then as whom

        for folder, partner in (("homeserver", "cabinet.localhost"), ("practice", ready["server_name"])):
            config = yaml.safe_load((data / folder / "homeserver.yaml").read_text())
            assert config["federation_domain_whitelist"] == [partner]
            assert "federation_verify_certificates" not in config  # on, unless said otherwise
            assert {address for one in config["listeners"] for address in one["bind_addresses"]} == {
                "127.0.0.1"
            }
            assert stat.S_IMODE((data / folder / "tls" / "key.pem").stat().st_mode) == 0o600

        played = await told("demo", "--data", str(data))
        assert doctor["user_id"] in played
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
    await nothing_left(data)

    async with up(data, *options) as alone:
        assert alone.ready == {name: value for name, value in ready.items() if name != "practice"}
        assert doctor in json.loads(Path(ready["accounts"]).read_text())
        assert doctor["password"] not in "\n".join(alone.lines)
        alone.process.send_signal(signal.SIGINT)
        assert await alone.ended() == 0


async def test_a_configured_homeserver_is_not_federated_from_here(
    tmp_path: Path, homeserver: TestHomeserver
) -> None:
    env = on(homeserver, tmp_path, "ailleurs")
    assert homeserver.url in await refused(tmp_path / "var", "--federated", env=env)


@pytest.mark.chaos
async def test_a_kill_leaves_nothing_that_would_disturb_the_next_start(tmp_path: Path) -> None:
    data, options = tmp_path / "var", ("--base-port", str(free_base_port()))
    async with up(data, *options) as running:
        hub = running.ready["hub"]
        running.process.kill()
        await running.process.wait()
    await nothing_left(data)
    async with up(data, *options) as again:
        assert again.ready["hub"] == hub


async def told(*words: str, status: int = 0, env: dict[str, str] | None = None) -> str:
    """What a command of the command line says, which must end with this status."""
    ended, said = await command(*words, env=env)
    assert ended == status, said
    return said


async def test_a_port_that_is_taken_is_named(tmp_path: Path, homeserver: TestHomeserver) -> None:
    port = homeserver.url.rpartition(":")[2]
    assert port in await refused(tmp_path / "var", "--base-port", port)


async def test_a_homeserver_that_does_not_answer_is_named(tmp_path: Path, homeserver: TestHomeserver) -> None:
    url = f"http://127.0.0.1:{free_base_port()}"
    env = on(homeserver, tmp_path, "absent") | {"PARCOURS_HOMESERVER__URL": url}
    assert url in await refused(tmp_path / "var", env=env)


async def test_a_wrong_password_is_explained(tmp_path: Path, homeserver: TestHomeserver) -> None:
    user_id, _ = await homeserver.new_user("pris")
    localpart = user_id[1:].partition(":")[0]
    assert user_id in await refused(tmp_path / "var", env=on(homeserver, tmp_path, localpart))


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("datta = 'var'", "datta"),
        ("[web]\nport = 'huit mille'", "web.port"),
        ("[trust]\nchanged_identity = 'ignore'", "trust.changed_identity"),
        ("[web\nport = 1", "parcours.toml"),
    ],
)
async def test_settings_that_make_no_sense_are_named(tmp_path: Path, toml: str, named: str) -> None:
    file = tmp_path / "parcours.toml"
    file.write_text(toml)
    assert named in await refused(tmp_path / "var", "--config", str(file))
    assert named in await told("config", "check", "--config", str(file), status=2)


async def started_once(data: Path, env: dict[str, str]) -> None:
    async with up(data, env=env) as running:
        assert running.ready
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0


async def test_stores_that_cannot_be_used_are_left_alone_and_explained(
    tmp_path: Path, homeserver: TestHomeserver
) -> None:
    """A newer database, a damaged one, a damaged key store, a wrong master key: nothing is touched."""
    data, env = tmp_path / "var", on(homeserver, tmp_path, "abime")
    await started_once(data, env)
    database, keys, master = (
        data / "parcours.db",
        next((data / "hub" / "keys").glob("*.db")),
        data / "master.key",
    )

    whole = database.read_bytes()
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = database.read_bytes()
    assert "récent" in await refused(data, env=env)
    assert database.read_bytes() == newer

    database.write_bytes(b"not a database at all" * 500)
    said = await refused(data, env=env)
    assert str(database) in said
    database.write_bytes(whole)

    kept = keys.read_bytes()
    keys.write_bytes(kept[:100] + b"\xff" * 4000 + kept[4100:])
    assert "keys" in await refused(data, env=env)
    keys.write_bytes(kept)

    right = master.read_text()
    master.write_text(("1" if right.startswith("0") else "0") + right[1:])
    assert "n’est pas celle" in " ".join((await refused(data, env=env)).split())
    master.write_text(right)
    master.chmod(0o644)
    assert str(master) in await refused(data, env=env)
    master.chmod(0o600)

    await started_once(data, env)  # whole again: nothing was lost


async def test_a_second_hub_on_the_same_account_is_refused(
    tmp_path: Path, homeserver: TestHomeserver
) -> None:
    """From another folder, as on another machine, with the same database."""
    data, elsewhere, env = tmp_path / "var", tmp_path / "elsewhere", on(homeserver, tmp_path, "double")
    async with up(data, env=env) as running:
        (elsewhere / "hub").mkdir(parents=True, mode=0o700)
        for name in ("master.key", "hub/account.sealed"):
            shutil.copy(data / name, elsewhere / name)
        shared = {"PARCOURS_DATABASE__URL": f"sqlite+aiosqlite:///{data}/parcours.db"}
        assert running.ready["hub"] in await refused(elsewhere, env=env | shared)
        assert running.process.returncode is None


async def test_a_full_disk_is_explained(tmp_path: Path, homeserver: TestHomeserver) -> None:
    """A limit on the size of files stands for the end of the disk: writing fails just so."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    async with up(tmp_path / "var", env=on(homeserver, tmp_path, "plein"), before=limit) as running:
        assert await running.ended() != 0
    said = "\n".join(running.lines)
    assert "Traceback" not in said
    assert "✗" in said
