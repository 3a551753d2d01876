"""The short code as the specification has it: the other side is played here, from the specification alone."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import vodozemac

from hub.matrix.sas import LASTS, Cancel, Message, Party, Stage, Verification, commitment

NOON = datetime(2025, 3, 3, 12, 0, tzinfo=UTC)
HUB = Party("@hub:x", "HUBDEVICE", {"ed25519:HUBDEVICE": "hub device key", "ed25519:HUBMASTER": "HUBMASTER"})
NURSE = Party("@nurse:x", "PHONE", {"ed25519:PHONE": "phone key", "ed25519:MASTER": "MASTER"})
TRANSACTION = "$asked"
START: dict[str, Any] = {
    "from_device": "PHONE",
    "method": "m.sas.v1",
    "key_agreement_protocols": ["curve25519", "curve25519-hkdf-sha256"],
    "hashes": ["sha256"],
    "message_authentication_codes": ["hkdf-hmac-sha256.v2", "hkdf-hmac-sha256"],
    "short_authentication_string": ["emoji", "decimal"],
    "m.relates_to": {"rel_type": "m.reference", "event_id": TRANSACTION},
}


class Nurse:
    """The device that asked and starts."""

    def __init__(self) -> None:
        self.sas = vodozemac.Sas()
        self.key = self.sas.public_key.to_base64()
        self.secret: vodozemac.EstablishedSas | None = None
        self.commitment = ""

    def hears(self, message: Message) -> None:
        kind, content = message
        match kind.removeprefix("m.key.verification."):
            case "accept":
                self.commitment = content["commitment"]
            case "key":
                start = json.dumps(START, separators=(",", ":"), sort_keys=True)
                digest = hashlib.sha256((content["key"] + start).encode()).digest()
                assert self.commitment == base64.b64encode(digest).decode().rstrip("=")
                their_key = vodozemac.Curve25519PublicKey.from_base64(content["key"])
                self.secret = self.sas.diffie_hellman(their_key)
                info = (
                    f"MATRIX_KEY_VERIFICATION_SAS|@nurse:x|PHONE|{self.key}"
                    f"|@hub:x|HUBDEVICE|{content['key']}|{TRANSACTION}"
                )
                self.shown = self.secret.bytes(info)
            case "mac":
                assert self.secret is not None
                direction = f"MATRIX_KEY_VERIFICATION_MAC@hub:xHUBDEVICE@nurse:xPHONE{TRANSACTION}"
                self.secret.verify_mac(
                    "ed25519:HUBDEVICE,ed25519:HUBMASTER", f"{direction}KEY_IDS", content["keys"]
                )
                assert content["mac"].keys() == HUB.keys.keys()
                for key_id, mac in content["mac"].items():
                    self.secret.verify_mac(HUB.keys[key_id], direction + key_id, mac)

    def macs(self, **keys: str) -> dict[str, Any]:
        """The MACs of these keys, or of the nurse's own."""
        assert self.secret is not None
        direction = f"MATRIX_KEY_VERIFICATION_MAC@nurse:xPHONE@hub:xHUBDEVICE{TRANSACTION}"
        named = {f"ed25519:{name}": key for name, key in keys.items()} or dict(NURSE.keys)
        return {
            "mac": {name: self.secret.calculate_mac(key, direction + name) for name, key in named.items()},
            "keys": self.secret.calculate_mac(",".join(sorted(named)), f"{direction}KEY_IDS"),
        }


def asked() -> Verification:
    return Verification(TRANSACTION, HUB, NURSE, NOON)


def said(verification: Verification, kind: str, content: dict[str, Any]) -> list[Message]:
    return verification.hear(f"m.key.verification.{kind}", content)


def kinds(messages: list[Message]) -> list[str]:
    return [kind.removeprefix("m.key.verification.") for kind, _ in messages]


def comparing() -> tuple[Verification, Nurse]:
    """Both have the code before them."""
    ours, nurse = asked(), Nurse()
    assert ours.take() == [
        ("m.key.verification.ready", {"from_device": "HUBDEVICE", "methods": ["m.sas.v1"]})
    ]
    for kind, content in (("start", START), ("key", {"key": nurse.key})):
        for message in said(ours, kind, content):
            nurse.hears(message)
    assert ours.stage is Stage.COMPARING
    return ours, nurse


def ended(verification: Verification, messages: list[Message], code: Cancel) -> bool:
    """Whether it was cancelled with this code, and says no more."""
    return (
        messages == [("m.key.verification.cancel", {"code": code, "reason": code})]
        and (verification.stage, verification.cancelled) == (Stage.CANCELLED, code)
        and verification.hear("m.key.verification.key", {"key": "x"}) == []
        and verification.confirm() == verification.refuse() == []
    )


def test_a_commitment_is_unpadded_base64_of_key_and_canonical_start() -> None:
    key = "A" * 43
    expected = hashlib.sha256((key + '{"a":[1,"é"],"b":{}}').encode()).digest()
    assert commitment(key, {"b": {}, "a": [1, "é"]}) == base64.b64encode(expected).decode().rstrip("=")


@pytest.mark.parametrize("they_first", [True, False])
def test_both_see_the_same_code_and_prove_their_keys(they_first: bool) -> None:
    ours, nurse = comparing()
    assert ours.code is not None
    assert ours.code.emoji == tuple(nurse.shown.emoji_indices)
    assert ours.code.decimals == nurse.shown.decimals
    if they_first:
        assert said(ours, "mac", nurse.macs()) == []
        answer = ours.confirm()
    else:
        answer = [*ours.confirm(), *said(ours, "mac", nurse.macs())]
    assert kinds(answer) == ["mac", "done"]
    nurse.hears(answer[0])
    assert not ours.stage.over  # until they say so too
    assert said(ours, "done", {}) == []
    assert ours.stage is Stage.VERIFIED
    assert ours.proven == NURSE.keys.keys()


def test_only_what_was_vouched_for_is_proven() -> None:
    ours, nurse = comparing()
    said(ours, "mac", nurse.macs(PHONE="phone key"))
    ours.confirm()
    said(ours, "done", {})
    assert ours.stage is Stage.VERIFIED
    assert ours.proven == {"ed25519:PHONE"}


@pytest.mark.parametrize(
    "keys",
    [
        {"PHONE": "another key", "MASTER": "MASTER"},
        {"PHONE": "phone key", "MASTER": "another key"},
        {"PHONE": "phone key", "FORGED": "FORGED"},
        {"MASTER": "MASTER"},
    ],
    ids=["device", "master", "an unknown master", "no device"],
)
def test_other_keys_than_those_we_know_are_refused(keys: dict[str, str]) -> None:
    ours, nurse = comparing()
    assert ended(ours, said(ours, "mac", nurse.macs(**keys)), Cancel.KEY_MISMATCH)


def test_a_mac_that_is_left_out_or_moved_is_noticed() -> None:
    ours, nurse = comparing()
    content = nurse.macs()
    del content["mac"]["ed25519:MASTER"]
    assert ended(ours, said(ours, "mac", content), Cancel.KEY_MISMATCH)
    ours, nurse = comparing()
    content = nurse.macs()
    content["mac"] = dict(zip(content["mac"], reversed(content["mac"].values()), strict=True))
    assert ended(ours, said(ours, "mac", content), Cancel.KEY_MISMATCH)


def test_the_operator_refuses() -> None:
    ours = asked()
    assert ended(ours, ours.refuse(), Cancel.USER)
    ours, nurse = comparing()
    said(ours, "mac", nurse.macs())
    assert ended(ours, ours.refuse(), Cancel.MISMATCHED_SAS)


@pytest.mark.parametrize("code", [*Cancel, "org.example.other", None])
def test_they_cancel_and_get_no_answer(code: str | None) -> None:
    ours, _ = comparing()
    assert said(ours, "cancel", {"code": code}) == []
    assert ours.stage is Stage.CANCELLED
    assert ours.cancelled == (code if code in list(Cancel) else Cancel.USER)


def test_it_lasts_ten_minutes_at_most() -> None:
    for ours in (asked(), comparing()[0]):
        assert ours.expire(NOON + LASTS - timedelta(seconds=1)) == []
        assert ended(ours, ours.expire(NOON + LASTS), Cancel.TIMEOUT)
        assert ours.expire(NOON + 2 * LASTS) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": "m.reciprocate.v1"},
        {"key_agreement_protocols": ["curve25519"]},
        {"hashes": "sha256"},
        {"message_authentication_codes": ["hkdf-hmac-sha256"]},
        {"short_authentication_string": []},
    ],
)
def test_a_way_that_we_do_not_speak_is_refused(change: dict[str, Any]) -> None:
    ours = asked()
    ours.take()
    assert ended(ours, said(ours, "start", START | change), Cancel.UNKNOWN_METHOD)


@pytest.mark.parametrize("kind", ["ready", "accept", "key", "mac", "done", "other", "start"])
def test_nothing_may_come_before_its_turn(kind: str) -> None:
    ours, nurse = asked(), Nurse()
    content = START if kind == "start" else {"key": nurse.key}
    assert ended(ours, said(ours, kind, content), Cancel.UNEXPECTED)


@pytest.mark.parametrize(("kind", "twice"), [("start", START), ("key", {"key": "A" * 43}), ("done", {})])
def test_nothing_may_come_twice(kind: str, twice: dict[str, Any]) -> None:
    ours, _ = comparing()
    assert ended(ours, said(ours, kind, twice), Cancel.UNEXPECTED)


def test_another_device_may_not_go_on_where_one_began() -> None:
    ours = asked()
    ours.take()
    assert ended(ours, said(ours, "start", START | {"from_device": "LAPTOP"}), Cancel.UNEXPECTED)


@pytest.mark.parametrize("key", ["A" * 43, "", "é", None, 7, ["x"]], ids=repr)
def test_a_key_that_is_none_or_fixes_the_secret_is_refused(key: object) -> None:
    ours = asked()
    ours.take()
    said(ours, "start", START)
    assert ended(ours, said(ours, "key", {"key": key}), Cancel.INVALID)


@pytest.mark.parametrize(
    "content",
    [{}, {"mac": [], "keys": ""}, {"mac": {"ed25519:PHONE": 1}, "keys": 1}, {"mac": {}, "keys": ""}],
)
def test_malformed_macs_are_refused(content: dict[str, Any]) -> None:
    ours, _ = comparing()
    assert kinds(said(ours, "mac", content)) == ["cancel"]
    assert ours.stage is Stage.CANCELLED


def test_words_that_no_json_can_carry_end_it() -> None:
    ours = asked()
    ours.take()
    assert ended(ours, said(ours, "start", START | {"x": "\ud800"}), Cancel.INVALID)
