"""What our settings mean to a client, an outsider and a curious neighbour, on a real Synapse."""

from __future__ import annotations

import secrets
from urllib.parse import quote

import pytest

from tests.support.synapse import TestHomeserver, call, login

pytestmark = pytest.mark.integration


async def test_nobody_registers_from_outside_and_nobody_is_a_guest(homeserver: TestHomeserver) -> None:
    register = f"{homeserver.url}/_matrix/client/v3/register"
    status, _ = await call("POST", register, json={"username": "intrus", "password": "une longue phrase"})
    assert status == 403
    status, _ = await call("POST", f"{register}?kind=guest", json={})
    assert status == 403


@pytest.mark.parametrize("preset", ["private_chat", "trusted_private_chat"])
async def test_every_room_is_encrypted_and_of_version_11(homeserver: TestHomeserver, preset: str) -> None:
    token = await login(homeserver.url, *await homeserver.new_user("salon"))
    status, room = await call(
        "POST", f"{homeserver.url}/_matrix/client/v3/createRoom", token=token, json={"preset": preset}
    )
    assert status == 200
    state = f"{homeserver.url}/_matrix/client/v3/rooms/{quote(room['room_id'])}/state"
    assert await call("GET", f"{state}/m.room.encryption", token=token) == (
        200,
        {"algorithm": "m.megolm.v1.aes-sha2"},
    )
    _, create = await call("GET", f"{state}/m.room.create", token=token)
    assert create["room_version"] == "11"


async def test_a_name_is_for_those_who_share_a_room(homeserver: TestHomeserver) -> None:
    patient, _ = await homeserver.new_user("patient")
    stranger = await login(homeserver.url, *await homeserver.new_user("curieux"))
    profile = f"{homeserver.url}/_matrix/client/v3/profile/{quote(patient)}"
    assert (await call("GET", profile))[0] == 401
    assert (await call("GET", profile, token=stranger))[0] == 403

    # The other way to a name: invite the identifier, and read it off the invitation.
    client = f"{homeserver.url}/_matrix/client/v3"
    _, room = await call("POST", f"{client}/createRoom", token=stranger, json={"invite": [patient]})
    member = f"{client}/rooms/{quote(room['room_id'])}/state/m.room.member/{quote(patient)}"
    assert (await call("GET", member, token=stranger))[1] == {"membership": "invite"}

    search = {"search_term": "patient"}
    _, found = await call("POST", f"{client}/user_directory/search", token=stranger, json=search)
    assert patient not in str(found.get("results", [])) or "display_name" not in str(found)


async def test_there_is_no_federation(homeserver: TestHomeserver) -> None:
    assert (await call("GET", f"{homeserver.url}/_matrix/federation/v1/version"))[0] == 404
    assert (await call("GET", f"{homeserver.url}/_matrix/key/v2/server"))[0] == 404
    assert (await call("GET", f"{homeserver.url}/.well-known/matrix/server"))[0] == 404


async def test_clients_find_what_they_need(homeserver: TestHomeserver) -> None:
    _, found = await call("GET", f"{homeserver.url}/.well-known/matrix/client")
    assert found == {"m.homeserver": {"base_url": f"{homeserver.url}/"}}
    _, versions = await call("GET", f"{homeserver.url}/_matrix/client/versions")
    assert versions["unstable_features"]["org.matrix.simplified_msc3575"] is True  # Element X
    _, flows = await call("GET", f"{homeserver.url}/_matrix/client/v3/login")
    assert {"type": "m.login.password"} in flows["flows"]


async def test_presence_is_not_told(homeserver: TestHomeserver) -> None:
    user, password = await homeserver.new_user("present")
    token = await login(homeserver.url, user, password)
    status = f"{homeserver.url}/_matrix/client/v3/presence/{quote(user)}/status"
    await call("PUT", status, token=token, json={"presence": "online", "status_msg": "en chimio"})
    assert "status_msg" not in (await call("GET", status, token=token))[1]


async def test_the_log_keeps_no_token_no_body_and_no_request(homeserver: TestHomeserver) -> None:
    user, password = await homeserver.new_user("journal")
    token = await login(homeserver.url, user, password)
    phrase = f"phrase-{secrets.token_hex(8)}"
    client = f"{homeserver.url}/_matrix/client/v3"
    _, room = await call("POST", f"{client}/createRoom", token=token, json={"preset": "private_chat"})
    send = f"{client}/rooms/{quote(room['room_id'])}/send/m.room.message/{phrase}"
    status, _ = await call("PUT", f"{send}?access_token={token}", json={"msgtype": "m.text", "body": phrase})
    assert status == 200
    await call("GET", f"{client}/sync?access_token={token}&filter=%7B")  # a request that fails
    await call("PUT", send, token=token, json={"msgtype": phrase, "body": {"not": phrase}})

    written = homeserver.log.read_text()
    assert "STARTING SERVER" in written
    for secret in (token, password, phrase, user, room["room_id"]):
        assert secret not in written
