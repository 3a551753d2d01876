"""A private PostgreSQL server for the test session: fresh databases in a moment, nothing left behind.

Without PostgreSQL's server programs the tests that need them fail, and say so: both databases are promised.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, Signals

import asyncpg  # type: ignore[import-untyped]
import pytest

_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")
"""The machine is not going to lose power while it tests; a killed *client* needs none of these."""


@dataclass(frozen=True)
class Cluster:
    """The running server. ``password`` is its superuser's, ``postgres``."""

    port: int
    password: str
    data: Path
    host: str = "127.0.0.1"
    user: str = "postgres"

    def url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        return f"{driver}://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    async def execute(self, database: str, sql: str) -> list[asyncpg.Record]:
        """Run one statement as the superuser, outside any transaction; its rows."""
        connection = await asyncpg.connect(self.url(database, "postgresql"))
        try:
            rows: list[asyncpg.Record] = await connection.fetch(sql)
            return rows
        finally:
            await connection.close()

    async def create(self, template: str = "template0") -> str:
        """A fresh database (UTF-8, collation C, as Synapse wants it); its name."""
        name = f"test_{secrets.token_hex(6)}"
        await self.execute("postgres", f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop(self, database: str) -> None:
        await self.execute("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@dataclass
class Server:
    """A cluster's process."""

    cluster: Cluster
    _programs: Path
    _home: Path
    _settings: Sequence[str]
    _process: subprocess.Popen[str]

    def restart(self, ending: Signals) -> None:
        """SIGINT: an orderly end that waits for nobody; SIGQUIT: a crash. Then start again."""
        self._process.send_signal(ending)
        self._process.wait(30)
        self._process = _start(self._programs, self.cluster, self._home, self._settings)

    def stop(self) -> None:
        self._process.send_signal(SIGINT)
        self._process.wait(30)


@contextmanager
def running_cluster(settings: Sequence[str] = ()) -> Iterator[Server]:
    """A server of one's own. ``settings``: ``name=value``, where they differ from PostgreSQL's own."""
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="parcours-pg-"))
    try:
        cluster = Cluster(_free_port(), secrets.token_hex(16), home / "data")
        _initialise(programs, cluster, home)
        server = Server(cluster, programs, home, settings, _start(programs, cluster, home, settings))
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running server, shared by all tests: take databases of your own with ``await postgres.create()``."""
    with running_cluster(_QUICK) as server:
        yield server.cluster


def _programs() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    pytest.fail("PostgreSQL's server programs are missing: install the package 'postgresql'.", pytrace=False)


def _as_owner(*, until_we_end: bool) -> list[str]:
    # The server refuses to run as root; and a pytest that is killed must not leave a server running.
    command = ["setpriv"]
    if until_we_end:
        command.append("--pdeathsig=QUIT")
    if os.geteuid() == 0:
        command += ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return command if len(command) > 1 else []


def _initialise(programs: Path, cluster: Cluster, home: Path) -> None:
    word = home / "password"
    word.write_text(cluster.password)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        for path in (home, word):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    done = subprocess.run(
        [
            *_as_owner(until_we_end=False),
            programs / "initdb",
            f"--pgdata={cluster.data}",
            f"--username={cluster.user}",
            f"--pwfile={word}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        cwd=home,
    )
    if done.returncode:
        pytest.fail(f"initdb failed:\n{done.stderr}", pytrace=False)


def _start(programs: Path, cluster: Cluster, home: Path, settings: Sequence[str]) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [
            *_as_owner(until_we_end=True),
            programs / "postgres",
            "-D",
            cluster.data,
            "-p",
            str(cluster.port),
            "-h",
            cluster.host,
            "-k",
            home,
            *(f"-c{setting}" for setting in settings),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )
    assert server.stderr is not None
    log = []
    for line in server.stderr:
        log.append(line)
        if "ready to accept connections" in line:
            threading.Thread(target=server.stderr.read, daemon=True).start()  # a full pipe would stop it
            return server
    server.wait()
    pytest.fail(f"PostgreSQL did not start:\n{''.join(log)}", pytrace=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
