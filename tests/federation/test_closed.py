"""Who is not on the list gets nowhere, with all else that a partner has: a name, a certificate, the link."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trustme

from hub.homeserver.federated import PRACTICE
from hub.locale import Language, translate
from tests.support.federation import OUTSIDER, Federation
from tests.support.synapse import TestHomeserver, call, login

pytestmark = pytest.mark.integration


class Account:
    """Somebody on one of the servers, and the requests of their client."""

    def __init__(self, homeserver: TestHomeserver, user_id: str, token: str) -> None:
        self.homeserver, self.user_id, self._token = homeserver, user_id, token

    @classmethod
    async def on(cls, homeserver: TestHomeserver) -> Account:
        user_id, password = await homeserver.new_user("quelqu-un")
        return cls(homeserver, user_id, await login(homeserver.url, user_id, password))

    async def ask(
        self, method: str, path: str, json: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        return await call(
            method, f"{self.homeserver.url}/_matrix/client/v3/{path}", token=self._token, json=json
        )

    async def room(self, **content: object) -> str:
        status, room = await self.ask("POST", "createRoom", content)
        assert status == 200
        return str(room["room_id"])

    async def invites(self, user_id: str, room: str) -> bool:
        """Whether they may, and the room says so."""
        status, _ = await self.ask("POST", f"rooms/{quote(room)}/invite", {"user_id": user_id})
        _, members = await self.ask("GET", f"rooms/{quote(room)}/members")
        invited = user_id in {event["state_key"] for event in members["chunk"]}
        assert invited == (status == 200)
        return invited

    async def joins(self, room: str, via: TestHomeserver) -> bool:
        status, _ = await self.ask("POST", f"join/{quote(room)}?server_name={via.server_name}", {})
        _, joined = await self.ask("GET", "joined_rooms")
        assert (room in joined["joined_rooms"]) == (status == 200)
        return status == 200

    async def finds_keys_of(self, user_id: str) -> bool:
        _, found = await self.ask("POST", "keys/query", {"device_keys": {user_id: []}})
        return user_id in found["device_keys"]

    async def claims_key_of(self, user_id: str, device_id: str) -> bool:
        wanted = {user_id: {device_id: "signed_curve25519"}}
        _, found = await self.ask("POST", "keys/claim", {"one_time_keys": wanted})
        return user_id in found["one_time_keys"]

    async def reads_name_of(self, user_id: str) -> bool:
        status, _ = await self.ask("GET", f"profile/{quote(user_id)}/displayname")
        return status == 200


@pytest.mark.parametrize(("where", "gets_there"), [("practice", True), ("outsider", False)])
async def test_only_partners_get_anywhere(federation: Federation, where: str, gets_there: bool) -> None:
    server: TestHomeserver = getattr(federation, where)
    them, us = await asyncio.gather(Account.on(server), Account.on(federation.hospital))
    room = await us.room()
    device_id = federation.hub.member.account.device_id

    assert await them.invites(federation.hub_id, await them.room()) is gets_there
    assert await us.invites(them.user_id, room) is gets_there
    assert await them.joins(room, federation.hospital) is gets_there
    assert await them.finds_keys_of(federation.hub_id) is gets_there
    assert await them.claims_key_of(federation.hub_id, device_id) is gets_there
    assert await us.finds_keys_of(them.user_id) is gets_there
    assert not await them.reads_name_of(us.user_id)  # names are for those who share a room, partners or not


async def test_it_is_the_list_that_refuses(federation: Federation) -> None:
    """In both directions, and not a link that is down."""
    outsider, us = await asyncio.gather(Account.on(federation.outsider), Account.on(federation.hospital))
    ours = translate(Language.FR, "policy.server")
    for inviter, invited, said in ((outsider, federation.hub_id, OUTSIDER), (us, outsider.user_id, ours)):
        status, refusal = await inviter.ask("POST", "createRoom", {"invite": [invited]})
        assert (status, refusal["errcode"]) == (403, "M_FORBIDDEN")
        assert said in refusal["error"]


@asynccontextmanager
async def impostor(certificate: Path, key: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A TLS server with this certificate: its port, and what it is told once somebody believed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    told: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.read(1024))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], told


@pytest.mark.parametrize("whose", ["of another authority", "of another server"])
async def test_a_certificate_is_checked(federation: Federation, tmp_path: Path, whose: str) -> None:
    """Who answers in the practice's place is told nothing: neither whom it is about nor by whom."""
    us, partner = await asyncio.gather(Account.on(federation.hospital), Account.on(federation.practice))
    if whose == "of another authority":
        leaf = trustme.CA().issue_cert(PRACTICE)
        certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
        leaf.cert_chain_pems[0].write_to_path(certificate)
        leaf.private_key_pem.write_to_path(key)
    else:
        folder = federation.outsider.log.parents[1] / "tls"
        certificate, key = folder / "certificate.pem", folder / "key.pem"
    room = await us.room()
    async with impostor(certificate, key) as (port, told):
        async with federation.impersonated(PRACTICE, port):
            assert not await us.invites(partner.user_id, room)
        assert told == []
    assert await us.invites(partner.user_id, room)
