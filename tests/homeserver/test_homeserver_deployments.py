"""The larger installations, really running: one host on PostgreSQL, then several processes with Redis."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from hub.homeserver import accounts, child
from hub.homeserver.render import Rendered, render
from hub.homeserver.roles import PublishedRoles
from hub.homeserver.values import HomeserverValues, Postgres, Redis
from hub.homeserver.workers import Duty, Worker
from tests.support.postgres import Cluster
from tests.support.synapse import call, free_port, login

pytestmark = pytest.mark.integration

PASSWORD = "une longue phrase de passe"
NAME = "chu.example.fr"


async def test_one_host_on_postgresql(tmp_path: Path, database: Postgres) -> None:
    values = HomeserverValues(
        server_name=NAME,
        config_dir=tmp_path / "config",
        data_dir=tmp_path / "data",
        port=free_port(),
        metrics_port=free_port(),
        public_url=f"https://{NAME}",
        federation_partners=("ville.example.fr",),
        postgres=database,
    )
    files = render("single-host", values)
    async with running(files, values.data_dir, values.local_url):
        user_id = await accounts.register(values.local_url, files.registration_secret, "alice", PASSWORD)
        assert user_id == f"@alice:{NAME}"
        assert await refused_without_a_role(values.local_url, "alice")
        await enrolled(values.local_url, files, user_id)
        token = await login(values.local_url, "alice", PASSWORD)
        assert await said_in_a_new_room(values.local_url, token, read_at=values.local_url)

        # What a partner and a client find when they only know the name.
        well_known = f"{values.local_url}/.well-known/matrix"
        assert await call("GET", f"{well_known}/server") == (200, {"m.server": f"{NAME}:443"})
        _, client = await call("GET", f"{well_known}/client")
        assert client == {"m.homeserver": {"base_url": f"https://{NAME}/"}}
        assert (await call("GET", f"{values.local_url}/_matrix/federation/v1/version"))[0] == 200
        assert (await call("GET", f"http://127.0.0.1:{values.metrics_port}/_synapse/metrics"))[0] == 200


async def test_workers_with_postgresql_and_redis(tmp_path: Path, database: Postgres, redis: Redis) -> None:
    duties = frozenset(Duty) - {Duty.MEDIA}
    worker = Worker("client1", free_port(), free_port(), duties)
    values = HomeserverValues(
        server_name=NAME,
        config_dir=tmp_path / "config",
        data_dir=tmp_path / "data",
        port=free_port(),
        replication_port=free_port(),
        public_url=f"https://{NAME}",
        federation_partners=("ville.example.fr",),
        postgres=database,
        redis=redis,
        workers=(worker,),
    )
    files = render("workers", values)
    at_worker = f"http://{worker.host}:{worker.port}"
    async with (
        running(files, values.data_dir, values.local_url),
        running(files, values.data_dir, at_worker, worker.name),
    ):
        await accounts.register(values.local_url, files.registration_secret, "alice", PASSWORD)
        assert await refused_without_a_role(at_worker, "alice")
        await enrolled(values.local_url, files, f"@alice:{NAME}")
        token = await login(at_worker, "alice", PASSWORD)
        # The worker writes the event; the main process hears of it through Redis and shows it.
        assert await said_in_a_new_room(at_worker, token, read_at=values.local_url)
        assert await said_in_a_new_room(values.local_url, token, read_at=at_worker)
        assert (await call("GET", f"{at_worker}/_matrix/federation/v1/version"))[0] == 200


async def enrolled(url: str, files: Rendered, user_id: str) -> None:
    """What a hub does for a professional."""
    hub = await accounts.register(url, files.registration_secret, "parcours", PASSWORD)
    assert hub is not None

    async def professionals() -> set[str]:
        return {user_id}

    await PublishedRoles(url, hub, await login(url, hub, PASSWORD), professionals).publish()


async def refused_without_a_role(url: str, user: str) -> bool:
    """Whether this process has the policy, and the policy does not know the person."""
    token = await login(url, user, PASSWORD)
    return (await call("POST", f"{url}/_matrix/client/v3/createRoom", token=token, json={}))[0] == 403


async def said_in_a_new_room(url: str, token: str, *, read_at: str) -> bool:
    """Whether what is said at one address is heard at the other, by somebody who was already listening."""
    _, before = await call("GET", f"{read_at}/_matrix/client/v3/sync", token=token)
    client = f"{url}/_matrix/client/v3"
    status, room = await call("POST", f"{client}/createRoom", token=token, json={"preset": "private_chat"})
    assert status == 200, room
    phrase = secrets.token_hex(8)
    status, sent = await call(
        "PUT",
        f"{client}/rooms/{quote(room['room_id'])}/send/org.example.test/{phrase}",
        token=token,
        json={"phrase": phrase},
    )
    assert status == 200, sent
    since = before["next_batch"]
    while True:
        _, news = await call(
            "GET", f"{read_at}/_matrix/client/v3/sync?timeout=10000&since={quote(since)}", token=token
        )
        if news["next_batch"] == since:
            return False
        since = news["next_batch"]
        events = (
            news.get("rooms", {})
            .get("join", {})
            .get(room["room_id"], {})
            .get("timeline", {})
            .get("events", [])
        )
        if any(event["content"].get("phrase") == phrase for event in events):
            return True


@asynccontextmanager
async def running(
    files: Rendered, data_dir: Path, url: str, worker: str | None = None
) -> AsyncIterator[None]:
    """One Synapse process for the length of a block; its log is the message when it does not start."""
    app = "generic_worker" if worker else "homeserver"
    configs = ["-c", str(files.config)] + (["-c", str(files.workers[worker])] if worker else [])
    log = files.log.with_name(f"{worker or 'homeserver'}.log")
    process = await child.spawn(
        f"synapse.app.{app}", *configs, "--no-secrets-in-config", cwd=data_dir, log=log
    )
    try:
        assert await child.answers(process, url, 60), log.read_text()
        yield
    finally:
        await child.end(process)


@pytest_asyncio.fixture
async def database(postgres: Cluster) -> AsyncIterator[Postgres]:
    """An empty one, C collation."""
    name = await postgres.create()
    yield Postgres(name, postgres.user, postgres.password, postgres.host, postgres.port)
    await postgres.drop(name)


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A server of our own, on loopback, that writes nothing to disk."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server is missing: install the package 'redis-server'.", pytrace=False)
    given = Redis(port=free_port(), password=secrets.token_urlsafe(24))
    settings = f'bind 127.0.0.1\nport {given.port}\nrequirepass {given.password}\nsave ""\nappendonly no\n'
    server = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", program, "-"],  # "-": the password is in no command line
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(settings)
        server.stdin.close()
        said = []
        for line in server.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                yield given
                server.terminate()
                return
        pytest.fail(f"redis-server did not start:\n{''.join(said)}", pytrace=False)
