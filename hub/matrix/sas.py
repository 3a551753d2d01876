"""Verification by a short code that two people compare aloud (``m.sas.v1``), seen by the one who was asked.

A pure machine: contents of ``m.key.verification.*`` come in, contents to send come out, in order. Who may
ask, how contents travel and what follows from a success is for ``verification.py``. nio's own SAS is not
used: its commitment is hexadecimal, the MAC that it offers is not the one that it computes, and it leaves
master keys out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import vodozemac
from nio.api import Api
from unpaddedbase64 import encode_base64

JsonObject = dict[str, Any]

LASTS = timedelta(minutes=10)
"""From the question to the end; then the transaction is over for both sides."""
METHOD = "m.sas.v1"
AGREEMENT, HASH, MAC = "curve25519-hkdf-sha256", "sha256", "hkdf-hmac-sha256.v2"
_PREFIX = "m.key.verification."


class Stage(StrEnum):
    """How far it came."""

    ASKED = "asked"  # and we have not said yet whether we are ready
    BEGUN = "begun"  # their device makes the next step
    COMPARING = "comparing"  # both sides show the code
    CONFIRMED = "confirmed"  # the code is the same, says our side
    VERIFIED = "verified"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self in (Stage.VERIFIED, Stage.CANCELLED)


class Cancel(StrEnum):
    """Why a verification ends without success, as the specification names it."""

    USER = "m.user"
    TIMEOUT = "m.timeout"
    UNKNOWN_METHOD = "m.unknown_method"
    UNKNOWN_TRANSACTION = "m.unknown_transaction"
    UNEXPECTED = "m.unexpected_message"
    INVALID = "m.invalid_message"
    KEY_MISMATCH = "m.key_mismatch"
    MISMATCHED_SAS = "m.mismatched_sas"
    MISMATCHED_COMMITMENT = "m.mismatched_commitment"  # said by the side that started, never by ours


@dataclass(frozen=True)
class Code:
    """What both sides see: seven indices into the specification's table of 64 emoji, and three numbers."""

    emoji: tuple[int, ...]
    decimals: tuple[int, int, int]


@dataclass(frozen=True)
class Party:
    """One side. ``keys``: key id → public key, unpadded base64: the device's and the owner's master key."""

    user_id: str
    device_id: str
    keys: Mapping[str, str]

    @property
    def device_key(self) -> str:
        """The id of the device's own key."""
        return f"ed25519:{self.device_id}"


Message = tuple[str, JsonObject]
"""An event type and a content that does not say yet to which transaction it belongs."""


class _Refused(Exception):
    def __init__(self, code: Cancel) -> None:
        self.code = code


@dataclass
class Verification:
    """One transaction. Every method returns what to send because of it; once it is over, nothing."""

    transaction: str
    ours: Party
    theirs: Party
    asked_at: datetime
    stage: Stage = Stage.ASKED
    code: Code | None = None
    cancelled: Cancel | None = None
    """Why, once it is cancelled."""
    proven: frozenset[str] = frozenset()
    """The ids of their keys that are proven by their MACs."""
    _sas: vodozemac.Sas = field(default_factory=vodozemac.Sas, repr=False)
    _secret: vodozemac.EstablishedSas | None = field(default=None, repr=False)
    _accepted: bool = False

    def take(self) -> list[Message]:
        """Our side is ready to compare."""
        if self.stage is not Stage.ASKED:
            return []
        self.stage = Stage.BEGUN
        return [(_PREFIX + "ready", {"from_device": self.ours.device_id, "methods": [METHOD]})]

    def confirm(self) -> list[Message]:
        """Our side sees the same code."""
        if self.stage is not Stage.COMPARING or self._secret is None:
            return []
        self.stage = Stage.CONFIRMED
        macs = {key_id: self._mac(key, key_id) for key_id, key in self.ours.keys.items()}
        content = {"mac": macs, "keys": self._mac(_names(macs), "KEY_IDS")}
        return [(_PREFIX + "mac", content), *self._done()]

    def refuse(self) -> list[Message]:
        """Our side sees another code or, before there is one, does not want to."""
        return self.cancel(Cancel.MISMATCHED_SAS if self.stage is Stage.COMPARING else Cancel.USER)

    def expire(self, now: datetime) -> list[Message]:
        """Give up what takes too long."""
        return self.cancel(Cancel.TIMEOUT) if now - self.asked_at >= LASTS else []

    def cancel(self, code: Cancel) -> list[Message]:
        """End it, and say why."""
        if self.stage.over:
            return []
        self.stage, self.cancelled = Stage.CANCELLED, code
        return [cancellation(code)]

    def hear(self, kind: str, content: Mapping[str, Any]) -> list[Message]:
        """An event of the other side in this transaction."""
        if self.stage.over:
            return []
        if kind == _PREFIX + "cancel":
            self.stage, self.cancelled = Stage.CANCELLED, _why(content.get("code"))
            return []
        try:
            match kind.removeprefix(_PREFIX):
                case "start" if self.stage is Stage.BEGUN and not self._accepted:
                    return self._start(content)
                case "key" if self.stage is Stage.BEGUN and self._accepted:
                    return self._key(content)
                case "mac" if self.stage in (Stage.COMPARING, Stage.CONFIRMED) and not self.proven:
                    return self._their_macs(content)
                case "done" if self.stage is Stage.CONFIRMED and self.proven:
                    self.stage = Stage.VERIFIED
                    return []
            raise _Refused(Cancel.UNEXPECTED)
        except _Refused as refused:
            return self.cancel(refused.code)

    def _start(self, content: Mapping[str, Any]) -> list[Message]:
        if content.get("from_device") != self.theirs.device_id:
            raise _Refused(Cancel.UNEXPECTED)
        displays = [
            way for way in ("decimal", "emoji") if _offers(content, "short_authentication_string", way)
        ]
        understood = (
            content.get("method") == METHOD
            and _offers(content, "key_agreement_protocols", AGREEMENT)
            and _offers(content, "hashes", HASH)
            and _offers(content, "message_authentication_codes", MAC)
            and displays
        )
        if not understood:
            raise _Refused(Cancel.UNKNOWN_METHOD)
        our_key = self._sas.public_key.to_base64()
        try:
            bound = commitment(our_key, content)
        except (ValueError, RecursionError) as malformed:
            raise _Refused(Cancel.INVALID) from malformed
        self._accepted = True
        return [
            (
                _PREFIX + "accept",
                {
                    "method": METHOD,
                    "key_agreement_protocol": AGREEMENT,
                    "hash": HASH,
                    "message_authentication_code": MAC,
                    "short_authentication_string": displays,
                    "commitment": bound,
                },
            )
        ]

    def _key(self, content: Mapping[str, Any]) -> list[Message]:
        their_key, our_key = content.get("key"), self._sas.public_key.to_base64()
        if not isinstance(their_key, str):
            raise _Refused(Cancel.INVALID)
        try:
            self._secret = self._sas.diffie_hellman(vodozemac.Curve25519PublicKey.from_base64(their_key))
        except ValueError as bad:
            raise _Refused(Cancel.INVALID) from bad
        # Their device started, so that it stands first.
        sides = ((self.theirs, their_key), (self.ours, our_key))
        parts = [part for side, key in sides for part in (side.user_id, side.device_id, key)]
        shown = self._secret.bytes("|".join(["MATRIX_KEY_VERIFICATION_SAS", *parts, self.transaction]))
        self.code = Code(tuple(shown.emoji_indices), shown.decimals)
        self.stage = Stage.COMPARING
        return [(_PREFIX + "key", {"key": our_key})]

    def _their_macs(self, content: Mapping[str, Any]) -> list[Message]:
        """Check every key that they vouch for. One that is not theirs as we know them is somebody else's."""
        macs, of_names = content.get("mac"), content.get("keys")
        if not isinstance(macs, dict) or not isinstance(of_names, str):
            raise _Refused(Cancel.INVALID)
        if self.theirs.device_key not in macs or not macs.keys() <= self.theirs.keys.keys():
            raise _Refused(Cancel.KEY_MISMATCH)
        self._check(_names(macs), "KEY_IDS", of_names)
        for key_id, mac in macs.items():
            self._check(self.theirs.keys[key_id], key_id, mac)
        self.proven = frozenset(macs)
        return self._done()

    def _done(self) -> list[Message]:
        return [(_PREFIX + "done", {})] if self.stage is Stage.CONFIRMED and self.proven else []

    def _mac(self, text: str, what: str) -> str:
        assert self._secret is not None  # noqa: S101 - there is one from COMPARING on
        return str(self._secret.calculate_mac(text, self._mac_info(self.ours, self.theirs, what)))

    def _check(self, text: str, what: str, mac: object) -> None:
        assert self._secret is not None  # noqa: S101
        try:
            if not isinstance(mac, str):
                raise _Refused(Cancel.INVALID)
            self._secret.verify_mac(text, self._mac_info(self.theirs, self.ours, what), mac)
        except ValueError as wrong:
            raise _Refused(Cancel.KEY_MISMATCH) from wrong

    def _mac_info(self, sender: Party, receiver: Party, what: str) -> str:
        parts = (sender.user_id, sender.device_id, receiver.user_id, receiver.device_id)
        return "".join(["MATRIX_KEY_VERIFICATION_MAC", *parts, self.transaction, what])


def cancellation(code: Cancel) -> Message:
    """Says why it ends."""
    return _PREFIX + "cancel", {"code": code, "reason": code}


def commitment(key: str, start: Mapping[str, Any]) -> str:
    """What binds us to our key before we know theirs: unpadded base64 of SHA-256 over it and their start."""
    return encode_base64(hashlib.sha256((key + str(Api.to_canonical_json(start))).encode()).digest())


def _why(code: object) -> Cancel:
    """Of what others write only the codes that we know are kept."""
    return next((known for known in Cancel if known == code), Cancel.USER)


def _names(macs: Mapping[str, Any]) -> str:
    return ",".join(sorted(macs))


def _offers(content: Mapping[str, Any], field_name: str, wanted: str) -> bool:
    offered = content.get(field_name)
    return isinstance(offered, list) and wanted in offered
