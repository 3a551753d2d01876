"""A homeserver, or anybody on it, that means harm: what it can forge, and what it can break."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from nio.crypto import OutboundGroupSession
from unpaddedbase64 import encode_base64

from hub.errors import OperatorError
from hub.matrix import identity, signing
from hub.matrix.account import Seeds
from hub.matrix.batch import Received, Undecryptable
from hub.matrix.inbound import open_event
from hub.matrix.member import Member
from hub.matrix.rooms import Room
from hub.matrix.trust import HALF_TOLD_PAUSES, TrustBook
from tests.matrix.test_inbound import HUB, MESSAGE, ROOM, answering, encrypted, known_session, member_in
from tests.matrix.test_trust import ALICE, PHONE, Keys


@contextmanager
def answering_in_turn(member: Member, *answers: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """These answers, one a request; yields those that are left."""
    left = list(answers)

    async def call(*_: object, **__: object) -> object:
        return left.pop(0)

    member.client.call = call  # type: ignore[method-assign, assignment]
    yield left


async def test_the_hub_signs_no_keys_but_its_own(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    seeds = Seeds(*(secrets.token_bytes(32).hex() for _ in range(3)))
    forged = {"user_id": HUB, "device_id": "HUBDEVICE", "keys": {"ed25519:HUBDEVICE": "forged"}}
    sent: list[object] = []

    async def call(*arguments: object, **_: object) -> dict[str, Any]:
        sent.append(arguments)
        return {}

    member.client.call = call  # type: ignore[method-assign]
    with pytest.raises(OperatorError):
        await identity._sign_device(member.client, seeds, forged)
    assert sent == []
    await member.close()


async def test_a_device_of_our_name_under_another_master_key_gets_nothing(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    theirs = Keys()
    ours = signing.public_key(secrets.token_bytes(32).hex())
    for own_master_key, allowed in ((ours, 0), (signing.public_key(theirs.master), 1)):
        book = TrustBook(member.client, member.trust.pins, own_master_key=own_master_key)
        # A device that signed itself and that "our" self-signing key signed, as far as the server shows it.
        published = theirs.published(user_id=HUB)
        with answering(member, published):
            devices, refused = await book.recipients([HUB])
        assert len(devices) == allowed
        assert len(refused) == 1 - allowed
    await member.close()


@pytest.mark.parametrize(
    "broken",
    [
        {"keys": {"ed25519:BAD": "not a key", "curve25519:BAD": "x"}, "user_id": ALICE, "device_id": "BAD"},
        {"keys": {}, "device_id": "BAD"},
        {"keys": None},
        [],
        "device",
        None,
    ],
)
async def test_a_malformed_device_costs_nobody_anything(tmp_path: Path, broken: object) -> None:
    member = member_in(tmp_path)
    answer = Keys().published()
    answer["device_keys"][ALICE]["BAD"] = broken
    with answering(member, answer):
        allowed, _ = await member.trust.recipients([ALICE])
    assert [device.device_id for device in allowed] == [PHONE]
    await member.close()


async def test_whose_server_does_not_answer_stays_as_known(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    with answering(member, Keys().published()):
        await member.trust.refresh([ALICE])
    member.trust.mark_stale([ALICE])
    with answering(member, {"device_keys": {}, "failures": {"x": {}}}):
        allowed, _ = await member.trust.recipients([ALICE])
    assert [device.device_id for device in allowed] == [PHONE]
    assert ALICE in member.trust.stale  # and asked about again
    await member.close()


async def test_who_is_told_by_half_is_asked_about_again(tmp_path: Path) -> None:
    """A server that just learned of somebody elsewhere knows the devices before the identity."""
    member, whole = member_in(tmp_path), Keys().published()
    half = {**whole, "master_keys": {}, "self_signing_keys": {}}
    with answering_in_turn(member, half, half, whole) as left:
        allowed, _ = await member.trust.recipients([ALICE])
    assert [device.device_id for device in allowed] == [PHONE]
    assert left == []
    await member.close()


async def test_who_stays_half_told_is_refused_and_waited_for_once(tmp_path: Path) -> None:
    member, whole = member_in(tmp_path), Keys().published()
    half = {**whole, "master_keys": {}, "self_signing_keys": {}}
    with answering_in_turn(member, *[half] * (len(HALF_TOLD_PAUSES) + 2)) as left:
        for _ in range(2):
            member.trust.mark_stale([ALICE])
            allowed, refused = await member.trust.recipients([ALICE])
            assert allowed == []
            assert [device.device_id for device in refused] == [PHONE]
    assert left == []
    await member.close()


async def test_who_signed_nothing_is_not_waited_for(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    unsigned = {"device_keys": Keys().published(cross_signed=False)["device_keys"]}
    with answering_in_turn(member, unsigned) as left:
        _, refused = await member.trust.recipients([ALICE])
    assert [device.device_id for device in refused] == [PHONE]
    assert left == []
    await member.close()


async def test_a_claim_that_a_partner_did_not_hear_is_made_again_with_the_next_message(
    tmp_path: Path,
) -> None:
    member, claims = member_in(tmp_path), []
    published = Keys().published()
    failures: dict[str, Any] = {"x": {"status": 503}}
    member.rooms.update(Room(ROOM, encrypted=True, members={HUB: "join", ALICE: "join"}))

    async def call(_method: str, url: str, content: Any = None, **_: object) -> dict[str, Any]:
        if "keys/claim" in url:
            claims.append(content)
            return {"one_time_keys": {}, "failures": failures}
        return {"event_id": "$e", **published}

    member.client.call = call  # type: ignore[method-assign, assignment]
    await member.outbound.send(ROOM, "m.room.message", {"body": "one"}, "t1")
    failures = {}
    await member.outbound.send(ROOM, "m.room.message", {"body": "two"}, "t2")
    await member.outbound.send(ROOM, "m.room.message", {"body": "three"}, "t3")
    assert len(claims) == 2  # its server answered the second: not asked again with every message
    await member.close()


@pytest.mark.parametrize(
    "key", [{}, [], "x", None, {"signed_curve25519:A": {}}, {"signed_curve25519:A": "x"}]
)
async def test_a_malformed_one_time_key_stops_no_claim(tmp_path: Path, key: object) -> None:
    member = member_in(tmp_path)
    for answer in (
        {"one_time_keys": {ALICE: {PHONE: key}}},
        {"one_time_keys": key},
        {"one_time_keys": {ALICE: key}},
    ):
        with answering(member, answer):
            await member.client.claim_keys({ALICE: [PHONE]})
    await member.close()


async def test_copies_of_a_session_are_kept_apart_over_a_restart(tmp_path: Path) -> None:
    """Passed on shortened, or under another room: the sender's own stays what it was."""
    member = member_in(tmp_path)
    session = known_session(member)
    early = encrypted(session, MESSAGE)
    mallory = encode_base64(b"m" * 32)
    member.client.machine.create_group_session(mallory, mallory, ROOM, session.id, session.session_key)
    member.client.machine.create_group_session(mallory, mallory, "!other:x", session.id, session.session_key)
    await member.close()
    again = member_in(tmp_path)
    event = open_event(again, ROOM, early)
    assert isinstance(event, Received)
    assert [one.sender_key for one in event.sessions] == [encode_base64(bytes(32))]
    assert len(again.client.machine.inbound_sessions(ROOM, session.id)) == 2
    await again.close()


@pytest.mark.parametrize("session_id", ["", "a\u0000b", "x" * 3000, "é" * 43])
async def test_a_session_that_cannot_be_is_not_waited_for(tmp_path: Path, session_id: str) -> None:
    member = member_in(tmp_path)
    assert open_event(member, ROOM, encrypted(OutboundGroupSession(), MESSAGE, session_id=session_id)) is None
    assert isinstance(open_event(member, ROOM, encrypted(OutboundGroupSession(), MESSAGE)), Undecryptable)
    await member.close()


async def test_a_write_of_keys_that_fails_can_be_repeated(tmp_path: Path) -> None:
    member: Member = member_in(tmp_path)
    olm = member.client.machine
    session = OutboundGroupSession()
    key = encode_base64(bytes(32))
    with pytest.raises(RuntimeError), olm.together():
        olm.create_group_session(key, key, ROOM, session.id, session.session_key)
        raise RuntimeError
    assert olm.inbound_sessions(ROOM, session.id) == []  # memory is not ahead of the disk
    await member.close()


async def test_a_fallback_key_that_was_not_published_is_not_replaced(tmp_path: Path) -> None:
    """Another one in its place would push out the one that the server still hands out."""
    member = member_in(tmp_path)
    olm = member.client.machine
    assert olm.fresh_fallback_key().keys() == olm.fresh_fallback_key().keys()
    before = olm.fresh_fallback_key().keys()
    olm.mark_keys_as_published()
    assert olm.fresh_fallback_key().keys() != before
    await member.close()
