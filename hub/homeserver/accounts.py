"""Accounts on our homeserver, through Synapse's admin API.

Every function takes the server's ``url`` without a slash at the end, and raises `OperatorError`
``homeserver.unreachable`` when nobody answers, ``homeserver.refused`` when the answer is no.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp

from hub.errors import OperatorError

_TIMEOUT = aiohttp.ClientTimeout(total=30)


async def register(
    url: str,
    secret: str,
    localpart: str,
    password: str,
    *,
    admin: bool = False,
    display_name: str | None = None,
) -> str | None:
    """Make an account and return its user id; None when that name is taken: asking twice does no harm."""
    nonce = (await _call("GET", f"{url}/_synapse/admin/v1/register"))["nonce"]
    words = (nonce, localpart, password, "admin" if admin else "notadmin")
    body: dict[str, Any] = {
        "nonce": nonce,
        "username": localpart,
        "password": password,
        "admin": admin,
        "mac": hmac.new(secret.encode(), "\0".join(words).encode(), hashlib.sha1).hexdigest(),
        "inhibit_login": True,  # an account does not need a device nobody uses
    }
    if display_name is not None:
        body["displayname"] = display_name
    try:
        return str((await _call("POST", f"{url}/_synapse/admin/v1/register", json=body))["user_id"])
    except OperatorError as error:
        if error.facts.get("errcode") == "M_USER_IN_USE":
            return None
        raise


@asynccontextmanager
async def signed_in(url: str, user: str, password: str) -> AsyncIterator[str]:
    """An access token for the length of a block; its device is gone afterwards."""
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": password,
        "initial_device_display_name": "Parcours",
    }
    token = (await _call("POST", f"{url}/_matrix/client/v3/login", json=login))["access_token"]
    try:
        yield token
    finally:
        try:
            await _call("POST", f"{url}/_matrix/client/v3/logout", token=token, json={})
        except OperatorError as refused:
            if refused.facts.get("errcode") != "M_UNKNOWN_TOKEN":  # the block may have ended the account
                raise


async def lift_rate_limits(url: str, admin_token: str, user_id: str) -> None:
    """No limit any more on messages, rooms, invitations and joins.

    Logging in stays limited, for everybody: log in once and keep the token.
    """
    path = f"/_synapse/admin/v1/users/{quote(user_id, safe='')}/override_ratelimit"
    await _call("POST", url + path, token=admin_token, json={"messages_per_second": 0, "burst_count": 0})


async def set_password(url: str, admin_token: str, user_id: str, password: str) -> None:
    """A new password; the account's sessions stay."""
    path = f"/_synapse/admin/v2/users/{quote(user_id, safe='')}"
    body = {"password": password, "logout_devices": False}
    await _call("PUT", url + path, token=admin_token, json=body)


async def set_display_name(url: str, admin_token: str, user_id: str, display_name: str) -> None:
    """The name people see beside its messages. Names are not encrypted."""
    path = f"/_synapse/admin/v2/users/{quote(user_id, safe='')}"
    await _call("PUT", url + path, token=admin_token, json={"displayname": display_name})


async def get_account_data(url: str, token: str, user_id: str, kind: str) -> dict[str, Any] | None:
    """One of the account's own notes to itself; None where there is none."""
    path = f"/_matrix/client/v3/user/{quote(user_id, safe='')}/account_data/{quote(kind, safe='')}"
    try:
        return await _call("GET", url + path, token=token)
    except OperatorError as refused:
        if refused.facts.get("errcode") == "M_NOT_FOUND":
            return None
        raise


async def set_account_data(url: str, token: str, user_id: str, kind: str, content: dict[str, Any]) -> None:
    """Replace one of the account's own notes to itself; ``token`` is the account's."""
    path = f"/_matrix/client/v3/user/{quote(user_id, safe='')}/account_data/{quote(kind, safe='')}"
    await _call("PUT", url + path, token=token, json=content)


async def deactivate(url: str, admin_token: str, user_id: str) -> None:
    """End an account for good; its name stays taken."""
    path = f"/_synapse/admin/v1/deactivate/{quote(user_id, safe='')}"
    await _call("POST", url + path, token=admin_token, json={"erase": True})


async def _call(
    method: str, url: str, *, token: str | None = None, json: dict[str, Any] | None = None
) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.request(method, url, headers=headers, json=json) as answer,
        ):
            body: dict[str, Any] = await answer.json()
            if answer.status < 400:
                return body
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise OperatorError("homeserver.unreachable", url=url.partition("/_")[0]) from error
    raise OperatorError("homeserver.refused", answer=answer.status, errcode=body.get("errcode", ""))
