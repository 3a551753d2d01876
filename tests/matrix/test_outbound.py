"""Fail closed: what is not surely encrypted is not said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.member import Member
from hub.matrix.outbound import NotEncrypted, NotInRoom
from hub.matrix.rooms import Room
from tests.matrix.test_inbound import HUB, ROOM, member_in

SECRET = {"msgtype": "m.text", "body": "INR 4,2"}


class Homeserver:
    """Answers ``/state/m.room.encryption`` as told, and remembers what was sent."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.sent: list[tuple[str, Any]] = []

    def answers(self, member: Member) -> None:
        """Stand in for the homeserver of this member."""
        member.client.call = self.call  # type: ignore[method-assign, assignment]

    async def call(self, method: str, path: str, content: Any = None, **_: object) -> Any:
        if method == "GET":
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer
        self.sent.append((path, content))
        return {"event_id": "$e", "device_keys": {}}


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (MatrixError(404, {"errcode": "M_NOT_FOUND"}), NotEncrypted),
        (MatrixError(403, {"errcode": "M_FORBIDDEN"}), MatrixError),
        (MatrixError(500, {}), MatrixError),
        (Unreachable("gone"), Unreachable),
    ],
)
async def test_unknown_encryption_never_becomes_plaintext(
    tmp_path: Path, answer: Exception, raised: type[Exception]
) -> None:
    member, server = member_in(tmp_path), Homeserver(answer)
    server.answers(member)
    member.rooms.update(Room(ROOM, members={HUB: "join"}))
    with pytest.raises(raised):
        await member.outbound.send(ROOM, "m.room.message", SECRET, "t1")
    assert server.sent == []


async def test_a_room_that_the_server_calls_plain_becomes_encrypted_for_good(tmp_path: Path) -> None:
    member, server = member_in(tmp_path), Homeserver(MatrixError(404, {"errcode": "M_NOT_FOUND"}))
    server.answers(member)
    member.rooms.update(Room(ROOM, members={HUB: "join"}))
    assert await member.outbound.send_in_clear(ROOM, {"body": "fixed"}, "t1") == "$e"
    encryption = {
        "type": "m.room.encryption",
        "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
    }
    member.rooms.update(member.rooms[ROOM].after(encryption))
    with pytest.raises(NotEncrypted):
        await member.outbound.send_in_clear(ROOM, {"body": "fixed"}, "t2")


async def test_what_is_sent_to_an_encrypted_room_is_ciphertext(tmp_path: Path) -> None:
    member, server = member_in(tmp_path), Homeserver({})
    server.answers(member)
    member.rooms.update(Room(ROOM, encrypted=True, members={HUB: "join"}))
    reply = {**SECRET, "m.relates_to": {"m.in_reply_to": {"event_id": "$q"}}}
    assert await member.outbound.send(ROOM, "m.room.message", reply, "t1") == "$e"
    ((path, content),) = [sent for sent in server.sent if "/send/" in sent[0]]
    assert "m.room.encrypted" in path
    assert "INR" not in str(content)
    assert content["m.relates_to"] == reply["m.relates_to"]


async def test_a_room_that_we_are_not_in_gets_nothing(tmp_path: Path) -> None:
    member = member_in(tmp_path)
    with pytest.raises(NotInRoom):
        await member.outbound.send(ROOM, "m.room.message", SECRET, "t1")


async def test_room_rotation_is_honoured(tmp_path: Path) -> None:
    member, server = member_in(tmp_path), Homeserver({})
    server.answers(member)
    member.rooms.update(Room(ROOM, encrypted=True, members={HUB: "join"}, rotation_messages=2))
    for number in range(5):
        await member.outbound.send(ROOM, "m.room.message", SECRET, f"t{number}")
    sessions = [content["session_id"] for path, content in server.sent if "/send/" in path]
    assert len(set(sessions)) == 3


async def test_what_nio_would_send_or_forget_by_itself_is_closed(tmp_path: Path) -> None:
    """Its sending falls back to plaintext, its sync moves on before anything was done."""
    member = member_in(tmp_path)
    with pytest.raises(NotImplementedError):
        await member.client.room_send(ROOM, "m.room.message", SECRET)
    with pytest.raises(NotImplementedError):
        await member.client.sync_forever()
