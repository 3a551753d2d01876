"""Which keys may be passed on, and that nobody forgets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nio.crypto import OutboundGroupSession
from nio.crypto.attachments import decrypt_attachment
from unpaddedbase64 import encode_base64

from hub.matrix import history
from hub.matrix.batch import ToDevice
from hub.matrix.member import Member
from hub.matrix.olm import SHARED_HISTORY_NAMES
from hub.matrix.rooms import Room
from tests.matrix.test_inbound import HUB, NURSE, ROOM, answering, member_in
from tests.matrix.test_trust import ALICE, Keys

THEIR_KEY = encode_base64(bytes(32))


async def always(room_id: str) -> bool:
    return True


def given_key(member: Member, *, room_id: str = ROOM, **flags: Any) -> OutboundGroupSession:
    """A room key as a nurse's device gives it to us."""
    session = OutboundGroupSession()
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "room_id": room_id,
        "session_id": session.id,
        "session_key": session.session_key,
        **flags,
    }
    payload = {
        "sender": NURSE,
        "sender_device": "PHONE",
        "keys": {"ed25519": THEIR_KEY},
        "recipient": HUB,
        "recipient_keys": {"ed25519": member.client.machine.account.identity_keys["ed25519"]},
        "type": "m.room_key",
        "content": content,
    }
    member.client.machine._handle_olm_event(NURSE, THEIR_KEY, payload)
    return session


def ids(keys: list[dict[str, Any]]) -> list[str]:
    return [key["session_id"] for key in keys]


@pytest.mark.parametrize("flag", sorted(SHARED_HISTORY_NAMES))
async def test_only_marked_sessions_of_the_room_are_in_a_bundle_after_a_restart_too(
    tmp_path: Path, flag: str
) -> None:
    member = member_in(tmp_path)
    flags: list[dict[str, Any]] = [{flag: True}, {}, {flag: False}, {flag: "true"}]
    marked, *others = [given_key(member, **one) for one in flags]
    given_key(member, room_id="!other:x", **{flag: True})
    await member.close()
    member = member_in(tmp_path)
    made = history.bundle(member, ROOM)
    assert ids(made["room_keys"]) == [marked.id]
    assert made["room_keys"][0]["sender_key"] == THEIR_KEY
    assert sorted(ids(made["withheld"])) == sorted(other.id for other in others)
    assert all("session_key" not in withheld for withheld in made["withheld"])
    await member.close()


async def test_a_mark_does_not_outlive_the_write_that_failed(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    with pytest.raises(RuntimeError), member.client.machine.together():
        given_key(member, shared_history=True)
        raise RuntimeError
    assert history.bundle(member, ROOM) == {"room_keys": [], "withheld": []}
    await member.close()


async def test_a_rule_that_changes_makes_a_new_key(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    room = Room(ROOM, encrypted=True, members={HUB: "join"})
    sessions = [member.outbound._session(room, set(), shared).id for shared in (False, True, True, False)]
    assert len(set(sessions)) == 3
    assert sessions[1] == sessions[2]
    assert ids(history.bundle(member, ROOM)["room_keys"]) == [sessions[1]]
    await member.close()


async def test_a_room_where_nobody_decided_shares_nothing(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    given_key(member, shared_history=True)
    assert (
        await history.share(member, ROOM, ALICE) == 0
    )  # and asked the homeserver, which is not there, nothing
    await member.close()


@pytest.mark.parametrize(("cross_signed", "shared"), [(True, 1), (False, 0)])
async def test_a_bundle_is_for_signed_devices_and_nobody_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cross_signed: bool, shared: int
) -> None:
    member = member_in(tmp_path)
    member.shares_history = always
    key = given_key(member, shared_history=True).session_key
    files: list[bytes] = []
    sent: list[tuple[str, Any, list[str]]] = []

    async def upload(data: bytes) -> str:
        files.append(data)
        return "mxc://x/bundle"

    async def send_olm(kind: str, content: Any, devices: Any) -> Any:
        sent.append((kind, content, [device.device_id for device in devices]))
        yield devices

    monkeypatch.setattr(member.client, "upload", upload)
    monkeypatch.setattr(member.outbound, "send_olm", send_olm)
    with answering(member, Keys().published(cross_signed=cross_signed)):
        assert await history.share(member, ROOM, ALICE) == shared
    assert len(files) == len(sent) == shared
    for data, (kind, content, devices) in zip(files, sent, strict=True):
        assert (kind, devices, content["room_id"]) == ("m.room_key_bundle", ["PHONE"], ROOM)
        assert content["file"]["url"] == "mxc://x/bundle"
        assert content["file"]["v"] == "v2"
        assert key.encode()[:20] not in data and ROOM.encode() not in data
        file = content["file"]
        opened = decrypt_attachment(data, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
        assert b"room_keys" in opened
    await member.close()


async def test_what_others_offer_is_passed_by() -> None:
    history.decline([ToDevice(NURSE, name, {"room_id": ROOM}) for name in (*history.BUNDLES, "m.other")])
