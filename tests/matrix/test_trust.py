"""Whom the hub believes: signatures, pins, and one policy."""

from __future__ import annotations

import copy
import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from nio.crypto import InboundGroupSession, OutboundGroupSession
from unpaddedbase64 import encode_base64

from hub.matrix import signing
from hub.matrix.trust import Person, Pin, PinsInMemory, Policy, TrustedDevice, Verdict, _device, _identity

ALICE = "@alice:x"
PHONE = "PHONE"

JsonObject = dict[str, Any]


class Keys:
    """Alice's identity and telephone, as her client would make them."""

    def __init__(self) -> None:
        self.master, self.self_signing, self.phone = (secrets.token_bytes(32).hex() for _ in range(3))
        self.curve25519 = encode_base64(secrets.token_bytes(32))

    def published(self, *, cross_signed: bool = True, user_id: str = ALICE) -> JsonObject:
        """What ``/keys/query`` answers."""
        master = {"user_id": user_id, "usage": ["master"], "keys": named(signing.public_key(self.master))}
        signer = {
            "user_id": user_id,
            "usage": ["self_signing"],
            "keys": named(signing.public_key(self.self_signing)),
        }
        signer["signatures"] = {user_id: {name(self.master): signing.sign(signer, self.master)}}
        device: JsonObject = {
            "user_id": user_id,
            "device_id": PHONE,
            "algorithms": [],
            "keys": {
                f"ed25519:{PHONE}": signing.public_key(self.phone),
                f"curve25519:{PHONE}": self.curve25519,
            },
        }
        signatures = {f"ed25519:{PHONE}": signing.sign(device, self.phone)}
        if cross_signed:
            signatures[name(self.self_signing)] = signing.sign(device, self.self_signing)
        device["signatures"] = {user_id: signatures}
        return {
            "master_keys": {user_id: master},
            "self_signing_keys": {user_id: signer},
            "device_keys": {user_id: {PHONE: device}},
        }


def named(public: str) -> dict[str, str]:
    return {f"ed25519:{public}": public}


def name(seed: str) -> str:
    return f"ed25519:{signing.public_key(seed)}"


def phone_in(answer: JsonObject) -> TrustedDevice | None:
    _, signing_key = _identity(ALICE, answer)
    return _device(ALICE, PHONE, answer["device_keys"][ALICE][PHONE], signing_key)


def session_of(device: TrustedDevice, *, ed25519: str | None = None) -> InboundGroupSession:
    outbound = OutboundGroupSession()
    return InboundGroupSession(outbound.session_key, ed25519 or device.ed25519, device.curve25519, "!r:x")


def test_a_device_that_its_owner_signed_is_cross_signed() -> None:
    device = phone_in(Keys().published())
    assert device is not None
    assert device.cross_signed


def test_a_device_that_its_owner_did_not_sign_is_not() -> None:
    device = phone_in(Keys().published(cross_signed=False))
    assert device is not None
    assert not device.cross_signed


def test_a_self_signing_key_that_the_master_key_did_not_sign_signs_nothing() -> None:
    answer, other = Keys().published(), Keys().published()
    answer["self_signing_keys"] = other["self_signing_keys"]
    answer["device_keys"] = other["device_keys"]
    device = phone_in(answer)
    assert device is not None
    assert not device.cross_signed


def test_a_device_that_did_not_sign_itself_is_none() -> None:
    answer = Keys().published()
    answer["device_keys"][ALICE][PHONE]["keys"][f"curve25519:{PHONE}"] = encode_base64(bytes(32))
    assert phone_in(answer) is None


def test_a_device_of_another_user_or_name_is_none() -> None:
    device = Keys().published()["device_keys"][ALICE][PHONE]
    assert _device("@mallory:x", PHONE, device, None) is None
    assert _device(ALICE, "OTHER", device, None) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    )
)
def test_nothing_that_a_server_may_answer_makes_an_identity_or_breaks(hostile: object) -> None:
    content = hostile if isinstance(hostile, dict) else {"keys": hostile}
    answer = {"master_keys": {ALICE: hostile}, "self_signing_keys": {ALICE: hostile}}
    assert _identity(ALICE, answer) == (None, None)
    assert _device(ALICE, PHONE, content, None) is None
    assert not signing.signed_by({"signatures": hostile}, ALICE, encode_base64(bytes(32)))


def signed_phone(**changes: Any) -> TrustedDevice:
    keys = SigningKey.generate().verify_key.encode()
    given = {"ed25519": encode_base64(keys), "curve25519": encode_base64(bytes(32)), "cross_signed": True}
    return TrustedDevice(ALICE, PHONE, **{**given, **changes})


PINNED, CHANGED = Pin(ALICE, "m1"), Pin(ALICE, "m1", "m2")


def test_a_session_of_a_cross_signed_device_proves_its_sender() -> None:
    phone = signed_phone()
    assert Policy().judge(Person((phone,), PINNED), session_of(phone)) is Verdict.TRUSTED


def test_a_session_of_nobody_known_proves_nothing() -> None:
    phone = signed_phone()
    assert Policy().judge(None, session_of(phone)) is Verdict.UNKNOWN_DEVICE
    assert Policy().judge(Person((), PINNED), session_of(phone)) is Verdict.UNKNOWN_DEVICE


def test_a_session_whose_signing_key_is_another_proves_nothing() -> None:
    """The Ed25519 key beside a room key is the sender's claim: it must be the device's own."""
    phone = signed_phone()
    claimed = session_of(phone, ed25519=signed_phone().ed25519)
    assert Policy().judge(Person((phone,), PINNED), claimed) is Verdict.UNKNOWN_DEVICE


def test_a_forwarded_session_proves_nothing() -> None:
    phone = signed_phone()
    session = session_of(phone)
    session.forwarding_chain = ["somebody"]
    assert Policy().judge(Person((phone,), PINNED), session) is Verdict.UNKNOWN_DEVICE


def test_what_an_operator_relaxed_is_relaxed_and_nothing_else() -> None:
    phone = signed_phone(cross_signed=False)
    person, session = Person((phone,), PINNED), session_of(phone)
    assert Policy().judge(person, session) is Verdict.UNSIGNED_DEVICE
    assert not Policy().shares_keys_with(person, phone, warning=False)
    relaxed = Policy(require_cross_signed=False)
    assert relaxed.judge(person, session) is Verdict.TRUSTED
    assert relaxed.shares_keys_with(person, phone, warning=False)
    assert relaxed.judge(Person((phone,), CHANGED), session) is Verdict.CHANGED_IDENTITY


def test_a_changed_identity_reads_warnings_only_until_it_is_accepted() -> None:
    phone = signed_phone()
    changed = Person((phone,), CHANGED)
    assert Policy().judge(changed, session_of(phone)) is Verdict.CHANGED_IDENTITY
    assert not Policy().shares_keys_with(changed, phone, warning=False)
    assert Policy().shares_keys_with(changed, phone, warning=True)
    lenient = Policy(refuse_changed_identity=False)
    assert lenient.judge(changed, session_of(phone)) is Verdict.TRUSTED
    assert lenient.shares_keys_with(changed, phone, warning=False)


async def test_the_first_key_is_pinned_and_another_is_remembered_as_a_change() -> None:
    pins = PinsInMemory()
    assert await pins.pin(ALICE, "m1") == PINNED
    assert await pins.pin(ALICE, "m2") == CHANGED
    assert await pins.pin(ALICE, "m1") == CHANGED  # going back does not undo what was seen


@pytest.mark.parametrize("verdict", list(Verdict))
def test_only_one_verdict_counts(verdict: Verdict) -> None:
    from hub.intake.answers import UNTRUSTED

    assert (verdict in UNTRUSTED) == (verdict is not Verdict.TRUSTED)


@pytest.mark.parametrize("broken", [1, None, [], {}, "é", "\ud800"])
def test_a_signature_or_a_key_that_is_no_text_is_none(broken: Any) -> None:
    """From any homeserver of the federation, for any of its users: it must not stop our sync."""
    answer = Keys().published()
    for kind in ("self_signing_keys", "device_keys"):
        spoilt = copy.deepcopy(answer)
        of = spoilt[kind][ALICE] if kind == "self_signing_keys" else spoilt[kind][ALICE][PHONE]
        of["signatures"][ALICE] = dict.fromkeys(of["signatures"][ALICE], broken)
        device = phone_in(spoilt)
        assert device is None or not device.cross_signed
    spoilt = copy.deepcopy(answer)
    spoilt["device_keys"][ALICE][PHONE]["keys"][f"ed25519:{PHONE}"] = broken
    assert phone_in(spoilt) is None
