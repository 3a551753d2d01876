"""Which events belong to which verification, and who may ask for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from unpaddedbase64 import encode_base64

from hub.matrix.batch import Received, ToDevice
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.rooms import Room
from hub.matrix.sas import LASTS, Cancel, Stage
from hub.matrix.verification import Verifications, Way, concerns
from tests.matrix.test_inbound import HUB, ROOM, member_in
from tests.matrix.test_trust import ALICE, PHONE, Keys

NOON = datetime(2025, 3, 3, 12, 0, tzinfo=UTC)
BOB = "@bob:x"
ASKED = Way(ALICE, PHONE, "$asked", ROOM)
DIRECTLY = Way(ALICE, PHONE, "T1", None)


class Wire:
    """A homeserver that shows Alice's devices and notes what we send in clear, or refuses to."""

    def __init__(self, published: dict[str, Any]) -> None:
        self.published = published
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.refuses: Exception | None = None

    async def call(self, method: str, path: str, content: Any = None, **_: object) -> dict[str, Any]:
        if path.endswith("/keys/query"):
            return self.published
        if self.refuses:
            raise self.refuses
        assert "/sendToDevice/" in path, path
        kind = path.split("/")[-2].removeprefix("m.key.verification.")
        ((devices),) = content["messages"].values()
        ((message),) = devices.values()
        self.sent.append((kind, message))
        return {}


def wired(folder: Path, published: dict[str, Any] | None = None) -> tuple[Verifications, Wire]:
    member, wire = member_in(folder), Wire(published or Keys().published())
    member.client.call = wire.call  # type: ignore[method-assign, assignment]
    member.rooms.update(Room(ROOM, members={HUB: "join", ALICE: "join", BOB: "join"}, encrypted=True))
    return Verifications(member), wire


def request(
    *, sender: str = ALICE, room_id: str = ROOM, event_id: str = "$asked", **changes: Any
) -> Received:
    content = {
        "msgtype": "m.key.verification.request",
        "to": HUB,
        "from_device": PHONE,
        "methods": ["m.sas.v1"],
    } | changes
    return Received(event_id, room_id, sender, NOON, "m.room.message", content, {})


def in_room(kind: str, *, sender: str = ALICE, room_id: str = ROOM, event_id: str = "$asked") -> Received:
    relation = {"rel_type": "m.reference", "event_id": event_id}
    content = {"code": "m.user", "from_device": PHONE}
    return Received("$e", room_id, sender, NOON, f"m.key.verification.{kind}", content, relation)


def directly(kind: str, *, sender: str = ALICE, transaction: object = "T1", **more: Any) -> ToDevice:
    content = {
        "transaction_id": transaction,
        "from_device": PHONE,
        "methods": ["m.sas.v1"],
        "timestamp": NOON.timestamp() * 1000,
    }
    return ToDevice(sender, f"m.key.verification.{kind}", content | more)


async def everybody(user_id: str) -> bool:
    return True


async def nobody(user_id: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("event", "way"), [(request(), ASKED), (directly("request"), DIRECTLY)], ids=["in room", "to device"]
)
async def test_who_may_ask_and_has_a_signed_device_waits_for_the_operator(
    tmp_path: Path, event: Received | ToDevice, way: Way
) -> None:
    keys = Keys()
    verifications, wire = wired(tmp_path, keys.published())
    assert concerns(event)
    await verifications.hear(event, NOON, everybody)
    await verifications.send()
    assert wire.sent == []
    assert verifications.open[way].stage is Stage.ASKED
    assert len(verifications.open[way].theirs.keys) == 2
    await verifications.member.close()


@pytest.mark.parametrize(
    ("published", "admits", "code"),
    [
        (Keys().published(), nobody, Cancel.USER),
        (Keys().published(cross_signed=False), everybody, Cancel.KEY_MISMATCH),
        ({"device_keys": {ALICE: {}}}, everybody, Cancel.KEY_MISMATCH),
    ],
    ids=["may not", "unsigned", "unknown"],
)
async def test_others_are_declined(
    tmp_path: Path, published: dict[str, Any], admits: Any, code: Cancel
) -> None:
    verifications, wire = wired(tmp_path, published)
    await verifications.hear(directly("request"), NOON, admits)
    await verifications.send()
    assert wire.sent == [("cancel", {"code": code, "reason": code, "transaction_id": "T1"})]
    assert not verifications.busy
    await verifications.member.close()


async def test_a_changed_identity_is_declined(tmp_path: Path) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("request"), NOON, everybody)
    wire.published = Keys().published()
    await verifications.hear(directly("request", transaction="T2"), NOON, everybody)
    await verifications.send()
    assert [message["code"] for _, message in wire.sent] == [Cancel.KEY_MISMATCH]
    await verifications.member.close()


@pytest.mark.parametrize(
    "event",
    [
        request(to=BOB),
        request(methods=["m.qr_code.show.v1"]),
        request(methods="m.sas.v1"),
        request(from_device=None),
        request(room_id="!unknown:x"),
        request(sender="@stranger:x"),
        directly("request", transaction=None),
        directly("request", timestamp=(NOON - LASTS).timestamp() * 1000),
        directly("request", timestamp=(NOON + LASTS).timestamp() * 1000),
        directly("request", timestamp="noon"),
        in_room("start", event_id="$other"),
        in_room("cancel", event_id="$other"),
        directly("mac", transaction="other"),
        directly("cancel", transaction="other"),
    ],
    ids=lambda event: f"{event.type} {event.sender} {event.content}"[:60],
)
async def test_what_is_no_request_to_us_is_passed_by(tmp_path: Path, event: Received | ToDevice) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(event, NOON, everybody)
    await verifications.send()
    assert (verifications.busy, wire.sent) == (False, [])
    await verifications.member.close()


@pytest.mark.parametrize(
    "event",
    [
        in_room("cancel", sender=BOB),
        in_room("cancel", room_id="!other:x"),
        in_room("cancel", event_id="$other"),
        directly("cancel", transaction="$asked"),
    ],
    ids=["another person", "another room", "another transaction", "another way"],
)
async def test_nobody_else_and_nowhere_else_touches_a_verification(
    tmp_path: Path, event: Received | ToDevice
) -> None:
    verifications, _ = wired(tmp_path)
    await verifications.hear(request(), NOON, everybody)
    await verifications.hear(event, NOON, everybody)
    assert verifications.open[ASKED].stage is Stage.ASKED
    await verifications.hear(in_room("cancel"), NOON, everybody)
    assert verifications.open[ASKED].stage is Stage.CANCELLED
    await verifications.member.close()


async def test_who_asks_again_gives_up_what_was_before(tmp_path: Path) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("request"), NOON, everybody)
    await verifications.hear(directly("request", transaction="T2"), NOON, everybody)
    await verifications.send()
    assert [(kind, message["transaction_id"]) for kind, message in wire.sent] == [("cancel", "T1")]
    assert verifications.open[Way(ALICE, PHONE, "T2", None)].stage is Stage.ASKED
    await verifications.member.close()


async def test_a_transaction_that_is_over_does_not_begin_again(tmp_path: Path) -> None:
    verifications, _ = wired(tmp_path)
    await verifications.hear(directly("request"), NOON, everybody)
    verifications.refuse(DIRECTLY)
    verifications.forget(DIRECTLY)
    await verifications.hear(directly("request"), NOON, everybody)
    assert not verifications.open
    await verifications.member.close()


async def test_what_began_before_a_restart_is_unknown(tmp_path: Path) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("start"), NOON, everybody)
    await verifications.send()
    assert [(kind, message["code"]) for kind, message in wire.sent] == [
        ("cancel", Cancel.UNKNOWN_TRANSACTION)
    ]
    await verifications.member.close()


async def test_ten_minutes_after_the_question_it_is_over(tmp_path: Path) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("request"), NOON + timedelta(minutes=3), everybody)
    verifications.expire(NOON + LASTS - timedelta(seconds=1))
    assert verifications.open[DIRECTLY].stage is Stage.ASKED
    verifications.expire(NOON + LASTS)
    await verifications.send()
    assert [(kind, message["code"]) for kind, message in wire.sent] == [("cancel", Cancel.TIMEOUT)]
    await verifications.member.close()


@pytest.mark.parametrize("away", [Unreachable("x"), MatrixError(502, {}), MatrixError(429, {})], ids=repr)
async def test_what_could_not_be_sent_is_sent_later(tmp_path: Path, away: Exception) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("request"), NOON, everybody)
    verifications.take(DIRECTLY)
    wire.refuses = away
    with pytest.raises(type(away)):
        await verifications.send()
    wire.refuses = None
    await verifications.send()
    await verifications.send()
    assert [kind for kind, _ in wire.sent] == ["ready"]
    await verifications.member.close()


async def test_a_device_that_is_gone_holds_up_nobody(tmp_path: Path) -> None:
    verifications, wire = wired(tmp_path)
    await verifications.hear(directly("request"), NOON, everybody)
    verifications.take(DIRECTLY)
    wire.refuses = MatrixError(403, {})
    await verifications.send()
    wire.refuses = None
    verifications.refuse(DIRECTLY)
    await verifications.send()
    assert [kind for kind, _ in wire.sent] == ["cancel"]
    await verifications.member.close()


def test_state_events_are_no_requests() -> None:
    content = dict(request().content)
    state = Received("$e", ROOM, ALICE, NOON, "m.room.message", content, {}, state_key=encode_base64(b"x"))
    assert not concerns(state)
