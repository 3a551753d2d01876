"""What somebody who means harm may send, by seed: true shapes with a few things wrong in each.

An event, a to-device message, an answer of the homeserver starts as a sound one; then some of its parts are
replaced by whatever JSON can hold, left out, or put into a list.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nio.crypto import OutboundGroupSession
from unpaddedbase64 import encode_base64

JsonObject = dict[str, Any]

MEGOLM = "m.megolm.v1.aes-sha2"
OLM = "m.olm.v1.curve25519-aes-sha2"

NUMBERS = (0, -1, 1.5, 2**31, 2**53 - 1, -(2**53) + 1, 1e308)
HUGE_NUMBERS = (2**63, 2**64, 10**400, float("nan"), float("inf"))
STRINGS = (
    "",
    "\0",
    "a\0b",
    "\u202e/aide",
    "/aide\u200b",
    "é" * 43,
    "A" * 43,
    "x" * 20_000,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "<img src=x onerror=alert(1)>",
    "{person} {0} %s %(x)s",
    "../../etc/passwd",
    "'; DROP TABLE inbox; --",
    "m.room.message",
    "join",
    "🧨",
)
SURROGATES = ("\ud800", "/aide \udfff", "\ud83d")
"""Half characters: JSON can write them, UTF-8 cannot."""


@dataclass
class Malice:
    """Makes hostile things. ``honest``: encrypted events of somebody else, to replay. ``anything``: make also
    what only a homeserver can send, since ours would refuse it from a member."""

    chance: random.Random
    me: str
    victims: Sequence[str]
    rooms: Sequence[str]
    anything: bool = True
    honest: list[JsonObject] = field(default_factory=list)
    session: OutboundGroupSession = field(default_factory=OutboundGroupSession)
    _made: int = 0

    def value(self, depth: int = 3) -> Any:
        """Whatever JSON can hold."""
        dice = self.chance
        kind = dice.randrange(8 if depth else 4)
        if kind == 0:
            return dice.choice((None, True, False))
        if kind == 1:
            return dice.choice(NUMBERS + (HUGE_NUMBERS if self.anything else ()))
        if kind <= 3:
            return dice.choice(STRINGS + (SURROGATES if self.anything else ()) + tuple(self.rooms))
        if kind == 4:
            nested: Any = "x"
            for _ in range(dice.choice((5, 50, 150))):
                nested = dice.choice(([nested], {"x": nested}))
            return nested
        if kind == 5:
            return [self.value(depth - 1) for _ in range(dice.randrange(4))]
        return {str(self.value(0)): self.value(depth - 1) for _ in range(dice.randrange(4))}

    def spoilt(self, whole: Any, wrongs: int | None = None) -> Any:
        """A copy with some parts (none, one, a few) wrong."""
        spoilt = copy.deepcopy(whole)
        for _ in range(self.chance.choice((0, 1, 1, 2, 4)) if wrongs is None else wrongs):
            places = list(_places(spoilt))
            if not places:
                break
            inside, key = self.chance.choice(places)
            match self.chance.randrange(4):
                case 0 if isinstance(inside, dict):
                    del inside[key]
                case 1:
                    inside[key] = [inside[key]]
                case _:
                    inside[key] = self.value()
        return spoilt

    def event(self) -> JsonObject:
        """One for a timeline, or for the state of a room."""
        self._made += 1
        base = {
            "event_id": f"$evil{self._made}",
            "sender": self.me,
            "origin_server_ts": 1_700_000_000_000,
            **self.chance.choice(self._kinds())(),
        }
        return dict(self.spoilt(base)) if self.anything else {**base, "content": self.spoilt(base["content"])}

    def _kinds(self) -> tuple[Callable[[], JsonObject], ...]:
        often = (self._said, self._encrypted, self._garbage, self._replay)
        return (*often, *often, self._edit, self._membership, self._encryption, self._state, self._small)

    def _said(self) -> JsonObject:
        text = self.chance.choice(("/aide", "/langue en", "bonjour", "/inconnu", *STRINGS))
        content = {
            "msgtype": self.chance.choice(("m.text", "m.notice", "m.emote", "m.image")),
            "body": text,
            "format": "org.matrix.custom.html",
            "formatted_body": "<b>/aide</b>",
            "m.mentions": {"user_ids": list(self.victims), "room": True},
        }
        return {"type": "m.room.message", "content": content}

    def _edit(self) -> JsonObject:
        said = self._said()
        target = self.chance.choice(self.honest)["event_id"] if self.honest else "$none"
        said["content"]["m.new_content"] = {"msgtype": "m.text", "body": "/langue en"}
        said["content"]["m.relates_to"] = {"rel_type": "m.replace", "event_id": target}
        return said

    def _encrypted(self) -> JsonObject:
        """A message in a session of our own, which the victim may or may not know."""
        inner = self.spoilt({"room_id": self.chance.choice(self.rooms), **self._said()}, 1)
        self.session.shared, self.session.max_messages = True, 10**6
        return self._megolm(self.session.id, self.session.encrypt(json.dumps(inner)))

    def _garbage(self) -> JsonObject:
        known = [event["content"]["session_id"] for event in self.honest]
        session_id = self.chance.choice([self.session.id, encode_base64(self.chance.randbytes(32)), *known])
        ciphertext = encode_base64(self.chance.randbytes(self.chance.choice((0, 1, 60, 500))))
        return self._megolm(session_id, self.chance.choice((ciphertext, "AwgA", "é", "A" * 5000)))

    def _megolm(self, session_id: str, ciphertext: str) -> JsonObject:
        content = {
            "algorithm": MEGOLM,
            "session_id": session_id,
            "ciphertext": ciphertext,
            "sender_key": encode_base64(bytes(32)),
            "device_id": "PHONE",
        }
        return {"type": "m.room.encrypted", "content": content}

    def _replay(self) -> JsonObject:
        """Somebody else's ciphertext, under our name or under his."""
        if not self.honest:
            return self._garbage()
        event = self.chance.choice(self.honest)
        sender = event["sender"] if self.anything and self.chance.random() < 0.5 else self.me
        return {"type": "m.room.encrypted", "content": copy.deepcopy(event["content"]), "sender": sender}

    def _membership(self) -> JsonObject:
        # Whoever leaves can do no more harm.
        states = ("join", "invite", "leave", "ban", "knock", "x") if self.anything else ("join",)
        content = {
            "membership": self.chance.choice(states),
            "displayname": "Parcours",
            "avatar_url": "mxc://x/y",
        }
        who = self.chance.choice((self.me, "@stranger:x", "@a\0b:x", "nobody"))
        return {"type": "m.room.member", "state_key": who, "content": content}

    def _encryption(self) -> JsonObject:
        algorithm = self.chance.choice(("none", "", MEGOLM, "m.megolm.v0"))
        content = {"algorithm": algorithm, "rotation_period_msgs": 1, "rotation_period_ms": 1}
        return {"type": "m.room.encryption", "state_key": self.chance.choice(("", "x")), "content": content}

    def _state(self) -> JsonObject:
        kinds: tuple[tuple[str, JsonObject], ...] = (
            ("m.room.create", {"room_version": "12", "additional_creators": [self.me]}),
            ("m.room.power_levels", {"users": {self.me: 100}, "users_default": 0}),
            ("m.room.history_visibility", {"history_visibility": "world_readable"}),
            ("m.room.tombstone", {"body": "", "replacement_room": "!v12withoutserver"}),
            ("m.room.name", {"name": "Parcours"}),
            ("m.space.child", {"via": ["x"]}),
        )
        kind, content = self.chance.choice(kinds)
        return {"type": kind, "state_key": "", "content": content}

    def _small(self) -> JsonObject:
        target = self.chance.choice(self.honest)["event_id"] if self.honest else "$none"
        kinds: tuple[tuple[str, JsonObject], ...] = (
            ("m.room.redaction", {"redacts": target, "reason": "x"}),
            ("m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": "👍"}}),
            (
                "org.matrix.msc3381.poll.response",
                {"m.selections": ["x"], "m.relates_to": {"event_id": target}},
            ),
            ("", {}),
            ("m.room.message", {}),
        )
        kind, content = self.chance.choice(kinds)
        return {
            "type": kind,
            "content": content,
            **({"redacts": target} if kind == "m.room.redaction" else {}),
        }

    def to_device(self, their_key: str) -> JsonObject:
        """A message for the device whose Curve25519 key is ``their_key``."""
        body = encode_base64(self.chance.randbytes(self.chance.choice((0, 10, 200))))
        olm = {
            "algorithm": OLM,
            "sender_key": encode_base64(self.chance.randbytes(32)),
            "ciphertext": {their_key: {"type": self.chance.choice((0, 1)), "body": body}},
        }
        key = {
            "algorithm": MEGOLM,
            "room_id": self.chance.choice(self.rooms),
            "session_id": self.session.id,
            "session_key": self.session.session_key,
            "sender_key": encode_base64(bytes(32)),
            "forwarding_curve25519_key_chain": [],
        }
        request = {
            "action": "request",
            "body": key,
            "requesting_device_id": "EVIL",
            "request_id": str(self._made),
        }
        kind, content = self.chance.choice(
            (
                ("m.room.encrypted", olm),
                ("m.room.encrypted", olm),
                ("m.room_key", key),
                ("m.forwarded_room_key", key),
                ("m.room_key_request", request),
                ("m.secret.request", {**request, "name": "m.cross_signing.master"}),
                ("m.secret.send", {"request_id": "x", "secret": "x"}),
                (
                    "m.key.verification.start",
                    {"method": "m.sas.v1", "transaction_id": "x", "from_device": "X"},
                ),
                ("m.dummy", {}),
                ("m.room_key.withheld", {**key, "code": "m.blacklisted"}),
            )
        )
        base = {"type": kind, "sender": self.me, "content": content}
        return dict(self.spoilt(base)) if self.anything else {**base, "content": self.spoilt(content)}


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) in a tree of JSON."""
    if isinstance(tree, dict):
        inside: list[tuple[Any, Any]] = [(tree, key) for key in tree]
    elif isinstance(tree, list):
        inside = [(tree, index) for index in range(len(tree))]
    else:
        return []
    children = [tree[key] for _, key in inside]
    return [*inside, *(place for child in children for place in _places(child))]
