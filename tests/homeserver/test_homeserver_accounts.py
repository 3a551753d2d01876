"""Accounts, on a real Synapse."""

from __future__ import annotations

import secrets
from urllib.parse import quote

import pytest

from hub.errors import OperatorError
from hub.homeserver import accounts
from tests.support.synapse import TestHomeserver, call, free_port, login

pytestmark = pytest.mark.integration


async def test_a_new_account_logs_in_under_its_name(homeserver: TestHomeserver) -> None:
    localpart = f"infirmiere-{secrets.token_hex(4)}"
    user_id = await accounts.register(
        homeserver.url,
        homeserver.registration_secret,
        localpart,
        "une longue phrase de passe",
        display_name="Accueil · Éléonore",
    )
    assert user_id == f"@{localpart}:{homeserver.server_name}"

    token = await login(homeserver.url, localpart, "une longue phrase de passe")
    status, profile = await call(
        "GET", f"{homeserver.url}/_matrix/client/v3/profile/{quote(user_id)}", token=token
    )
    assert (status, profile["displayname"]) == (200, "Accueil · Éléonore")
    _, devices = await call("GET", f"{homeserver.url}/_matrix/client/v3/devices", token=token)
    assert len(devices["devices"]) == 1, "registering alone leaves no device behind"


async def test_asking_twice_for_one_name_says_so_and_keeps_the_first(homeserver: TestHomeserver) -> None:
    user_id, password = await homeserver.new_user("deux")
    localpart = user_id[1:].partition(":")[0]
    again = await accounts.register(
        homeserver.url, homeserver.registration_secret, localpart, "another password"
    )
    assert again is None
    await login(homeserver.url, localpart, password)


async def test_without_the_secret_nobody_makes_an_account(homeserver: TestHomeserver) -> None:
    with pytest.raises(OperatorError) as said:
        await accounts.register(homeserver.url, "not the secret", "intrus", "une longue phrase")
    assert said.value.code == "homeserver.refused"
    assert said.value.facts["answer"] == 403


async def test_an_administrator_frees_an_account_of_limits_and_names_it(homeserver: TestHomeserver) -> None:
    admin, password = await homeserver.new_user("admin", admin=True)
    bot, bot_password = await homeserver.new_user("bot")
    async with accounts.signed_in(homeserver.url, admin, password) as token:
        await accounts.lift_rate_limits(homeserver.url, token, bot)
        await accounts.set_display_name(homeserver.url, token, bot, "Parcours")
        limits = await call(
            "GET", f"{homeserver.url}/_synapse/admin/v1/users/{quote(bot)}/override_ratelimit", token=token
        )
        assert limits == (200, {"messages_per_second": 0, "burst_count": 0})

    status, _ = await call("GET", f"{homeserver.url}/_matrix/client/v3/account/whoami", token=token)
    assert status == 401, "the token is gone with its block"
    bot_token = await login(homeserver.url, bot, bot_password)
    _, profile = await call(
        "GET", f"{homeserver.url}/_matrix/client/v3/profile/{quote(bot)}", token=bot_token
    )
    assert profile["displayname"] == "Parcours"


async def test_a_plain_account_frees_nobody(homeserver: TestHomeserver) -> None:
    user, password = await homeserver.new_user("simple")
    async with accounts.signed_in(homeserver.url, user, password) as token:
        with pytest.raises(OperatorError) as said:
            await accounts.lift_rate_limits(homeserver.url, token, user)
    assert (said.value.code, said.value.facts["errcode"]) == ("homeserver.refused", "M_FORBIDDEN")


async def test_a_server_that_is_not_there_is_said_without_the_request() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(OperatorError) as said:
        await accounts.register(url, "secret", "someone", "password")
    assert (said.value.code, dict(said.value.facts)) == ("homeserver.unreachable", {"url": url})
