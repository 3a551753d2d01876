"""A restart in a hundred rooms, and in a thousand: how long, how much memory, how much is asked for.

The rooms are the hub's own with a person invited into each, and hold as many keys of other people's sessions
as ``keys`` says. Measured is the second start in them: the first one gets to know them.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from nio.crypto import OutboundGroupSession

from hub.matrix.account import Account, AccountFile
from hub.matrix.client import Client
from hub.seal import MasterKeyFile
from tests.bench.figures import Figure
from tests.bench.raw import Raw
from tests.bench.stage import Stage
from tests.support.command_line import on, up

MADE_AT_ONCE = 8
STARTS = 3


@dataclass
class Wire:
    """A relay between a hub and its homeserver that counts what passes."""

    port: int = 0
    requests: int = 0
    sent: int = 0
    received: int = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Wire]:
        """Open for the length of a block."""
        wire, there = cls(), urlsplit(url)
        open_now: set[asyncio.StreamWriter] = set()

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, asking: bool) -> None:
            while data := await source.read(65536):
                if asking:
                    wire.requests += data.count(b" HTTP/1.1\r\n")
                    wire.sent += len(data)
                else:
                    wire.received += len(data)
                target.write(data)
                await target.drain()
            target.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_connection(there.hostname, there.port)
            open_now.update((writer, up_writer))
            await asyncio.gather(
                copy(reader, up_writer, asking=True),
                copy(up_reader, writer, asking=False),
                return_exceptions=True,
            )

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            wire.port = server.sockets[0].getsockname()[1]
            yield wire
            for writer in open_now:
                writer.close()


@dataclass(frozen=True)
class Start:
    """One start: seconds until READY, MiB at the peak, and what went over the wire until then."""

    seconds: float
    memory: float
    requests: int
    received: int


async def measure(stage: Stage, few: int, many: int, keys: int) -> list[Figure]:
    """Both sizes, and the growth between them."""
    data = stage.new_folder("hub")
    env = on(stage.homeserver, data, next(stage.homeserver.hub_names))
    async with up(data, env=env) as hub:
        assert hub.ready
        await _stop(hub.process)
    file = AccountFile(data / "hub", MasterKeyFile(data / "master.key"))
    account = file.load()
    assert account is not None
    guest, _ = await stage.account("invite")
    found = {}
    made = 0
    async with Raw.speaking(stage.homeserver.url, account.access_token) as raw:
        for rooms in (few, many):
            _fill(file, account, await _more_rooms(raw, guest, rooms - made), keys)
            made = rooms
            await _start(stage, data, env)
            starts = [await _start(stage, data, env) for _ in range(STARTS)]
            found[rooms] = min(starts, key=lambda start: start.seconds)
    less, more = found[few], found[many]
    between = many - few
    return [
        *(Figure(f"{rooms} rooms: seconds to READY", start.seconds, "s") for rooms, start in found.items()),
        *(
            Figure(f"{rooms} rooms: memory at the peak", start.memory, "MiB")
            for rooms, start in found.items()
        ),
        *(Figure(f"{rooms} rooms: requests until READY", start.requests) for rooms, start in found.items()),
        *(
            Figure(f"{rooms} rooms: received until READY", start.received, "bytes")
            for rooms, start in found.items()
        ),
        Figure("each further room: time", (more.seconds - less.seconds) / between * 1000, "ms", at_most=5),
        Figure("each further room: memory", (more.memory - less.memory) / between * 1024, "KiB", at_most=64),
        Figure("each further room: received", (more.received - less.received) / between, "bytes", at_most=10),
    ]


async def _more_rooms(raw: Raw, guest: str, count: int) -> list[str]:
    turns = asyncio.Semaphore(MADE_AT_ONCE)

    async def one() -> str:
        async with turns:
            return await raw.create_room(guest)

    return await asyncio.gather(*(one() for _ in range(count)))


def _fill(file: AccountFile, account: Account, rooms: Sequence[str], keys: int) -> None:
    """Put keys of other people's sessions into the key store of a hub that is stopped."""
    folder = file.folder / "keys"
    client = Client(account.homeserver, account.user_id, account.device_id, folder, account.pickle_key)
    client.restore_login(account.user_id, account.device_id, account.access_token)
    with client.machine.together():
        for room_id in rooms:
            for _ in range(keys):
                session, identity = OutboundGroupSession(), secrets.token_urlsafe(32)
                client.machine.create_group_session(
                    identity, identity, room_id, session.id, session.session_key
                )
    assert client.store is not None
    client.store.database.close()


async def _start(stage: Stage, data: Path, env: dict[str, str]) -> Start:
    async with Wire.to(stage.homeserver.url) as wire:
        began = time.perf_counter()
        through = {**env, "PARCOURS_HOMESERVER__URL": f"http://127.0.0.1:{wire.port}"}
        async with up(data, env=through) as hub:
            seconds = time.perf_counter() - began
            assert hub.ready
            requests, received = wire.requests, wire.received
            memory = _peak_memory(hub.process.pid)
            await _stop(hub.process)
    return Start(seconds, memory, requests, received)


def _peak_memory(pid: int) -> float:
    """MiB of the largest resident set that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


async def _stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
    await process.wait()
