"""What an operator asks about a homeserver and the account on it: looks, and changes nothing."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp

from hub.matrix import backup as key_backup
from hub.matrix import signing
from hub.matrix.account import Account
from hub.matrix.client import Client, JsonObject, MatrixError, Unreachable, path

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Greeting:
    """``server`` is a name and a version, ``Synapse/1.163.2``; None where a proxy hides it.

    ``skew``: how far the homeserver's clock is ahead of ours, exact to about a second; None without a date.
    """

    server: str | None
    skew: timedelta | None


@dataclass(frozen=True)
class KeySupply:
    """What others find to start an encrypted conversation with us."""

    one_time_keys: int
    fallback: bool
    """Whether the fallback key is there and unused."""


@dataclass(frozen=True)
class Backup:
    """The backup of room keys that the server shows. ``trusted``: for our key, and signed by our identity."""

    version: str
    count: int
    known: bool
    """Whether its algorithm is the specification's."""
    trusted: bool


async def greet(client: Client, now: Callable[[], datetime]) -> Greeting:
    """Ask the homeserver for the versions it speaks. Raises Unreachable when it is none, or silent."""
    began, at = time.monotonic(), now()
    try:
        response = await client.send("GET", "/_matrix/client/versions", timeout=PATIENCE_SECONDS)
        async with response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
        raise Unreachable(type(fault).__name__) from fault
    if not isinstance(answer, dict) or not isinstance(answer.get("versions"), list):
        raise Unreachable("not a homeserver")
    middle = at + timedelta(seconds=(time.monotonic() - began) / 2)
    server = response.headers.get("Server", "")
    return Greeting(
        server if server.startswith("Synapse/") else await _server(client),
        _skew(response.headers.get("Date", ""), middle),
    )


def _skew(date: str, now: datetime) -> timedelta | None:
    try:
        # A date says whole seconds: what it means is somewhere in the one that it begins.
        return parsedate_to_datetime(date) + timedelta(seconds=0.5) - now
    except (ValueError, TypeError):
        return None


async def _server(client: Client) -> str | None:
    """The federation says it too, where there is one."""
    try:
        answer = await client.call("GET", "/_matrix/federation/v1/version", timeout=PATIENCE_SECONDS)
    except (MatrixError, Unreachable):
        return None
    server = answer.get("server")
    if not isinstance(server, dict) or not server.get("name"):
        return None
    return f"{server['name']}/{server.get('version', '?')}"


async def session(client: Client) -> tuple[str, str | None]:
    """Whose access token this is: user and device. Raises MatrixError where it counts no more."""
    answer = await client.call("GET", path("account", "whoami"), timeout=PATIENCE_SECONDS)
    return str(answer.get("user_id")), answer.get("device_id")


async def key_supply(client: Client) -> KeySupply:
    """Count our keys on the server, by a sync from nowhere of no room: that consumes nothing."""
    none: JsonObject = {"types": []}
    sync_filter = {"room": {"rooms": []}, "presence": none, "account_data": none}
    # For two minutes Synapse answers an equal first sync as before (see ``sync.sync``): no two are equal.
    query = {
        "filter": json.dumps(sync_filter),
        "timeout": str(secrets.randbelow(1_000_000)),
        "set_presence": "offline",
    }
    answer = await client.call("GET", path("sync", **query), timeout=PATIENCE_SECONDS)
    counts = answer.get("device_one_time_keys_count")
    unused = answer.get("device_unused_fallback_key_types")
    return KeySupply(
        int(counts.get("signed_curve25519", 0)) if isinstance(counts, dict) else 0,
        isinstance(unused, list) and "signed_curve25519" in unused,
    )


async def backup(client: Client, account: Account) -> Backup | None:
    """The current backup of room keys; None where there is none."""
    answer = await key_backup.current(client)
    if answer is None:
        return None
    ours = bool(account.seeds and account.backup_key) and key_backup.is_ours(
        answer,
        account.user_id,
        key_backup.public_key(account.backup_key),
        signing.public_key(account.seeds.master if account.seeds else ""),
    )
    return Backup(
        version=str(answer.get("version")),
        count=int(answer.get("count", 0)),
        known=answer.get("algorithm") == key_backup.ALGORITHM,
        trusted=ours,
    )


async def federation_list(client: Client) -> tuple[str, ...] | None:
    """The servers that the homeserver speaks to. Raises MatrixError 404 where it does not tell.

    None: it speaks to every server there is.
    """
    answer = await client.call(
        "GET", "/_synapse/client/v1/config/federation_whitelist", timeout=PATIENCE_SECONDS
    )
    if not answer.get("whitelist_enabled"):
        return None
    return tuple(sorted(map(str, answer.get("whitelist") or ())))
