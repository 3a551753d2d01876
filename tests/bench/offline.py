"""What needs no network: reading messages, keeping them, answering them; on both databases.

Bare: vodozemac alone opens the same ciphertexts; SQLite and PostgreSQL alone take rows of the same size, each
in a transaction of its own, with the settings that the hub has.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from nio.crypto import InboundGroupSession, OutboundGroupSession

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.config import Settings
from hub.delivery.relay import now
from hub.flow import Flow
from hub.matrix.account import Account, AccountFile, new_device_id, new_pickle_key
from hub.matrix.batch import Batch, Received
from hub.matrix.client import Client
from hub.matrix.inbound import open_event
from hub.matrix.member import Member
from hub.matrix.rooms import MEGOLM, Room
from hub.matrix.trust import PinsInMemory, TrustBook, Verdict
from hub.observe import Metrics
from hub.seal import MasterKey, Vault
from hub.storage.engine import Database
from tests.bench.figures import Figure
from tests.support.postgres import running_cluster

HUB, NURSE = "@parcours:hub.localhost", "@nadia:hub.localhost"
ROOMS = 20
ROUND = 50
"""Rows measured at a stretch; also the messages of one sync, as a hub finds them that was away."""

Insert = Callable[[range], Awaitable[None]]
"""Inserts rows of these numbers, each in a transaction of its own."""


async def measure(folder: Path, messages: int, rows: int) -> list[Figure]:
    """Rates, and their shares of the bare ones."""
    figures = _reading(folder, messages)
    with _sqlite(folder / "bare.db") as insert:
        figures += await _database("SQLite", f"sqlite+aiosqlite:///{folder}/hub.db", folder, rows, insert)
    with running_cluster() as running:
        server = running.cluster
        async with _postgresql(server.url(await server.create(), "postgresql")) as insert:
            url = server.url(await server.create())
            figures += await _database("PostgreSQL", url, folder, rows, insert)
    return figures


def _member(folder: Path) -> Member:
    """The hub's side of a conversation, with nobody on the other side of the wire."""
    account = Account("http://127.0.0.1:9", HUB, new_device_id(), "", "token", new_pickle_key())
    client = Client(account.homeserver, HUB, account.device_id, folder, account.pickle_key)
    client.restore_login(HUB, account.device_id, account.access_token)
    file = AccountFile(folder, MasterKey.generate())
    member = Member(account, file, client, TrustBook(client, PinsInMemory()))
    for n in range(ROOMS):
        member.rooms.update(Room(_room(n), "join", {HUB: "join", NURSE: "join"}, encrypted=True))
    return member


def _room(n: int) -> str:
    return f"!salon{n % ROOMS}:hub.localhost"


def _reading(folder: Path, count: int) -> list[Figure]:
    """Messages opened per second, and vodozemac's own rate over the same ciphertexts."""
    member, room_id = _member(folder), _room(0)
    outbound = OutboundGroupSession()
    identity = secrets.token_urlsafe(32)
    key = outbound.session_key
    member.client.machine.create_group_session(identity, identity, room_id, outbound.id, key)
    body = {"msgtype": "m.text", "body": "/rendez-vous jeudi 14:30 Dr Moreau", "m.mentions": {}}
    plaintext = json.dumps({"type": "m.room.message", "content": body, "room_id": room_id}).encode()
    ciphertexts = [outbound._session.encrypt(plaintext).to_base64() for _ in range(count)]
    events = [
        {
            "event_id": f"${n}",
            "sender": NURSE,
            "origin_server_ts": 1_700_000_000_000 + n,
            "type": "m.room.encrypted",
            "content": {"algorithm": MEGOLM, "session_id": outbound.id, "ciphertext": ciphertext},
        }
        for n, ciphertext in enumerate(ciphertexts)
    ]
    bare = InboundGroupSession(key, identity, identity, room_id)
    bare_rate = _rate(count, lambda: [bare.decrypt(ciphertext) for ciphertext in ciphertexts])
    opened: list[Any] = []
    hub_rate = _rate(count, lambda: opened.extend(open_event(member, room_id, event) for event in events))
    assert all(isinstance(one, Received) and one.content == body for one in opened)
    return [
        Figure("vodozemac alone: opened", bare_rate, "/s"),
        Figure("hub: opened", hub_rate, "/s"),
        Figure("hub / vodozemac alone", hub_rate / bare_rate),
    ]


async def _database(name: str, url: str, folder: Path, rows: int, insert: Insert) -> list[Figure]:
    """Rows kept and answered per second, on one database, in turns with bare inserts."""
    db = Database.open(url, Vault(MasterKey.generate()))
    await db.upgrade()
    flow = wiring.assemble(Settings(), db, _member(folder), Metrics.create())
    async with db.transaction() as tx:
        await directory.enrol(tx, NURSE, Role.PROFESSIONAL, "Nadia", now())
    some = range(0, rows, ROUND)
    bare, live, backlog, answered = [], [], [], []
    for start in some:
        bare.append(await _seconds(insert(range(start, start + ROUND))))
        live.append(await _seconds(_keep(flow, start, at_once=1)))
        answered.append(await _seconds(_answer_all(flow)))
        backlog.append(await _seconds(_keep(flow, start, at_once=ROUND)))
        await _answer_all(flow)
    async with db.transaction() as tx:
        assert await tx.inbox.parked(HUB) == []
        assert await tx.outbox.depth(HUB) == 2 * len(some) * ROUND
    await db.close()
    rates = {
        key: ROUND / statistics.median(taken)
        for key, taken in (("bare", bare), ("live", live), ("backlog", backlog), ("answered", answered))
    }
    return [
        Figure(f"{name} alone: rows, each in its transaction", rates["bare"], "/s"),
        Figure(f"{name}: kept, one at a time", rates["live"], "/s"),
        Figure(f"{name}: kept, {ROUND} at a time", rates["backlog"], "/s"),
        Figure(f"{name}: answered", rates["answered"], "/s"),
        Figure(f"{name}: kept one at a time / alone", rates["live"] / rates["bare"]),
        Figure(f"{name}: answered / alone", rates["answered"] / rates["bare"]),
    ]


async def _keep(flow: Flow, start: int, at_once: int) -> None:
    """From decrypted syncs to the committed inbox."""
    for at in range(start, start + ROUND, at_once):
        await flow.ledger.keep(_batch(range(at, at + at_once), f"{at_once}-{at}"), now())


def _batch(numbers: range, name: str) -> Batch:
    events = tuple(
        Received(
            event_id=f"${name}-{n}",
            room_id=_room(n),
            sender=NURSE,
            sent_at=now(),
            type="m.room.message",
            content={"msgtype": "m.text", "body": "/qui suis-je", "m.mentions": {}},
            relates_to={},
            session_id=name,
            message_index=n,
            verdict=Verdict.TRUSTED,
        )
        for n in numbers
    )
    return Batch(name, events, (), (), (), frozenset())


async def _answer_all(flow: Flow) -> None:
    """From the inbox to the outbox, all that is there."""
    clerk = asyncio.create_task(flow.clerk.run())
    while await _depth(flow):
        await asyncio.sleep(0.01)
    clerk.cancel()
    await asyncio.gather(clerk, return_exceptions=True)


async def _depth(flow: Flow) -> int:
    async with flow.db.transaction() as tx:
        return await tx.inbox.depth(HUB)


async def _seconds(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _rate(count: int, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


_TABLE = "CREATE TABLE bare (id INTEGER PRIMARY KEY, event_id TEXT UNIQUE, payload {binary})"
_PAYLOAD = secrets.token_bytes(200)


@contextmanager
def _sqlite(path: Path) -> Iterator[Insert]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(_TABLE.format(binary="BLOB"))

        async def insert(numbers: range) -> None:
            for n in numbers:
                connection.execute("INSERT INTO bare (event_id, payload) VALUES (?, ?)", (f"${n}", _PAYLOAD))

        yield insert


@asynccontextmanager
async def _postgresql(url: str) -> AsyncIterator[Insert]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_TABLE.format(binary="BYTEA"))
        statement = await connection.prepare("INSERT INTO bare (id, event_id, payload) VALUES ($1, $2, $3)")

        async def insert(numbers: range) -> None:
            for n in numbers:
                await statement.fetch(n, f"${n}", _PAYLOAD)

        yield insert
    finally:
        await connection.close()
