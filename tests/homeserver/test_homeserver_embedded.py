"""The life of the embedded Synapse: it starts, keeps its data, stops, and never outlives the hub."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.errors import OperatorError
from hub.homeserver import accounts, pidfile
from hub.homeserver.embedded import EmbeddedHomeserver
from tests.support.synapse import call, free_port, login

NAME = "hub.localhost"
PASSWORD = "une longue phrase de passe"


@pytest.mark.integration
async def test_a_second_start_finds_the_accounts_of_the_first(tmp_path: Path) -> None:
    first = EmbeddedHomeserver(tmp_path, free_port(), NAME)
    await first.start()
    await first.start()  # again changes nothing
    assert (
        await accounts.register(first.url, first.registration_secret, "alice", PASSWORD) == f"@alice:{NAME}"
    )
    assert listening(first.url) == {"127.0.0.1"}
    await first.stop()
    await first.stop()
    with pytest.raises(OperatorError):
        await accounts.register(first.url, first.registration_secret, "bob", PASSWORD)

    second = EmbeddedHomeserver(tmp_path, free_port(), NAME)
    await second.start()
    assert second.registration_secret == first.registration_secret
    await login(second.url, "alice", PASSWORD)
    (synapse,) = processes_with(str(tmp_path / "homeserver.yaml"))
    os.kill(int(synapse), signal.SIGKILL)
    assert await second.wait() == -signal.SIGKILL  # whoever supervises it hears of its end
    await second.stop()
    for path in (tmp_path / "homeserver.db", tmp_path / "media", tmp_path / "secrets" / "signing.key"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.integration
async def test_a_database_that_is_not_one_ends_the_start_and_names_the_log(tmp_path: Path) -> None:
    (tmp_path / "homeserver.db").write_bytes(b"not a database" * 100)
    server = EmbeddedHomeserver(tmp_path, free_port(), NAME)
    with pytest.raises(OperatorError) as said:
        await server.start()
    assert said.value.code == "homeserver.failed"
    assert "file is not a database" in Path(str(said.value.facts["log"])).read_text()


@pytest.mark.integration
async def test_a_start_that_takes_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    server = EmbeddedHomeserver(tmp_path, free_port(), NAME, patience=0.2)
    with pytest.raises(OperatorError) as said:
        await server.start()
    assert said.value.code == "homeserver.failed"
    assert processes_with(str(tmp_path)) == []


async def test_a_port_that_another_program_has_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OperatorError) as said:
            await EmbeddedHomeserver(tmp_path, port, NAME).start()
    assert (said.value.code, said.value.facts["port"]) == ("homeserver.port_taken", str(port))


HUB = """
import asyncio, sys
from pathlib import Path
from hub.homeserver.embedded import EmbeddedHomeserver

async def main() -> None:
    await EmbeddedHomeserver(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.integration
@pytest.mark.chaos
async def test_a_hub_that_is_killed_takes_synapse_with_it_and_starts_again(tmp_path: Path) -> None:
    port = free_port()
    hub = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HUB, str(tmp_path), str(port), NAME, stdout=subprocess.PIPE
    )
    assert hub.stdout is not None
    assert await hub.stdout.readline() == b"ready\n"
    (synapse,) = [int(pid) for pid in processes_with(str(tmp_path / "homeserver.yaml"))]
    with ended(synapse) as gone:
        hub.kill()
        await hub.wait()
        assert gone(), "Synapse outlived the hub"

    again = EmbeddedHomeserver(tmp_path, port, NAME)
    await again.start()
    assert (await call("GET", f"{again.url}/_matrix/client/versions"))[0] == 200
    await again.stop()


def test_a_child_whose_parent_died_before_it_could_ask_does_not_start() -> None:
    orphan = subprocess.run(
        [sys.executable, "-P", "-m", "hub.homeserver._launch", "1", "platform"],
        capture_output=True,
        check=False,
    )
    assert (orphan.returncode, orphan.stdout) == (1, b"")


def test_what_an_earlier_start_left_behind_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    record = tmp_path / "pid"
    pidfile.write(record, sleeper.pid)
    pid, born, *_ = record.read_text().split()
    record.write_text(f"{pid} {born} {sleeper.pid} 1\n")  # a parent that is gone: its number is another's now
    pidfile.end_stale(record, str(tmp_path))
    assert sleeper.wait(timeout=10) == -signal.SIGTERM


def test_a_process_that_only_has_the_same_number_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = tmp_path / "pid"
    pidfile.write(record, sleeper.pid)
    pid, born, *parent = record.read_text().split()
    pidfile.end_stale(record, "another command line")
    record.write_text(f"{pid} {int(born) - 1} {' '.join(parent)}\n")
    pidfile.end_stale(record, str(tmp_path))
    record.write_text("not numbers")
    pidfile.end_stale(record, str(tmp_path))
    assert sleeper.poll() is None


def test_the_synapse_of_another_living_hub_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    record = tmp_path / "pid"
    pidfile.write(record, sleeper.pid)
    pid, born, *_ = record.read_text().split()
    record.write_text(f"{pid} {born} {pid} {born}\n")  # the sleeper stands for the other hub too
    with pytest.raises(OperatorError) as said:
        pidfile.end_stale(record, str(tmp_path))
    assert (said.value.code, said.value.facts["pid"]) == ("homeserver.already_running", sleeper.pid)
    assert sleeper.poll() is None


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with ``tmp_path`` in its command line."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; print(flush=True); signal.pause()", str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


class ended:
    """Hold a process, so that its end is seen even if its number is used again at once."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> ended:
        return self

    def __call__(self) -> bool:
        readable, _, _ = select.select([self._descriptor], [], [], 20)
        return bool(readable)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def processes_with(word: str) -> list[str]:
    """The numbers of the processes that have it in their command line, ours aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text(errors="replace")
        except OSError:
            continue
        if word in command and "synapse.app" in command:
            found.append(path.parent.name)
    return found


def listening(url: str) -> set[str]:
    """The addresses on which somebody listens on that URL's port."""
    port = int(url.rpartition(":")[2])
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            host, _, number = local.partition(":")
            if int(number, 16) == port and state == "0A":
                addresses.add("127.0.0.1" if host == "0100007F" else host)
    return addresses
