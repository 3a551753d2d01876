"""The hub's own account: made on a first start, or taken back with its recovery key."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from hub import folder
from hub.config import Settings
from hub.errors import OperatorError
from hub.homeserver import accounts
from hub.hosting import Homeserver, one
from hub.matrix import member as membership
from hub.matrix.account import Account, AccountFile
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.member import Restored, new_account
from hub.matrix.secret_storage import RecoveryKey

Step = Callable[[str], None]
"""Told the catalogue key of each step, for a person who waits."""


async def opened(settings: Settings, homeserver: Homeserver, file: AccountFile) -> Account:
    """The hub's own account, maybe a new one. Its password is on disk before the homeserver knows it."""
    account, given = file.load(), _given_password()
    if account is None:
        user_id = f"@{settings.hub.localpart}:{homeserver.server_name}"
        account = file.save(new_account(homeserver.url, user_id, given or secrets.token_urlsafe(32)))
    elif account.homeserver != homeserver.url or (given and account.password != given):
        account = file.update(account, homeserver=homeserver.url, password=given or account.password)
    if not account.access_token and homeserver.registration_secret is not None:
        await accounts.register(
            homeserver.url,
            homeserver.registration_secret,
            settings.hub.localpart,
            account.password,
            display_name=settings.hub.display_name,
        )
        await _lift_rate_limits(homeserver.url, homeserver.registration_secret, account.user_id)
        account = file.update(account, rate_limits_lifted=True)
    return account


async def _lift_rate_limits(url: str, registration_secret: str, user_id: str) -> None:
    """A hub that builds rooms for a hospital is no person who types."""
    async with _administrator(url, registration_secret) as token:
        await accounts.lift_rate_limits(url, token, user_id)


@asynccontextmanager
async def _administrator(url: str, registration_secret: str) -> AsyncIterator[str]:
    """The token of an administrator of the homeserver who lives for this block."""
    name, password = f"parcours-setup-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    setup = await accounts.register(url, registration_secret, name, password, admin=True)
    if setup is None:
        raise OperatorError("account.login_refused", user_id=name)
    async with accounts.signed_in(url, setup, password) as token:
        yield token
        await accounts.deactivate(url, token, setup)


async def restore(settings: Settings, recovery: RecoveryKey, on_step: Step) -> Restored:
    """The hub's account from its recovery key alone, into an empty data folder.

    Its password is set anew with the homeserver's registration secret, unless PARCOURS_HUB_PASSWORD gives it.
    Raises OperatorError ``recovery.not_needed`` when the folder has an identity, ``recovery.embedded_lost``
    when the homeserver was in the folder that was lost.
    """
    if settings.homeserver.url is None and not (settings.data / "homeserver" / "homeserver.db").exists():
        raise OperatorError("recovery.embedded_lost")
    with folder.ours(settings.data):
        file = AccountFile(settings.data / "hub", folder.master_key(settings.data))
        account = file.load()
        if account is not None and account.seeds is not None and not account.restoring:
            raise OperatorError("recovery.not_needed", data=str(settings.data))
        on_step("start.homeserver")
        async with one(settings) as opened:
            if account is None or not account.access_token:
                account = await _password_reset(settings, opened.own, file)
            account = file.update(account, homeserver=opened.own.url)
            on_step("recovery.step")
            try:
                return await membership.restore(file, account, recovery)
            except Unreachable as fault:
                raise OperatorError("homeserver.unreachable", url=opened.own.url) from fault
            except MatrixError as refused:
                raise OperatorError("account.keys_refused", errcode=refused.errcode) from refused


async def _password_reset(settings: Settings, homeserver: Homeserver, file: AccountFile) -> Account:
    """The hub's account with a password that works, and nothing else."""
    user_id, given = f"@{settings.hub.localpart}:{homeserver.server_name}", _given_password()
    if given is None and homeserver.registration_secret is None:
        raise OperatorError("recovery.no_password", user_id=user_id)
    account = file.save(new_account(homeserver.url, user_id, given or secrets.token_urlsafe(32)))
    if given is None and homeserver.registration_secret is not None:
        async with _administrator(homeserver.url, homeserver.registration_secret) as token:
            await accounts.set_password(homeserver.url, token, user_id, account.password)
    return account


def _given_password() -> str | None:
    return os.environ.get("PARCOURS_HUB_PASSWORD") or None
