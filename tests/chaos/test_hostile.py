"""Members and homeservers that mean harm, among honest people: these are answered all the same, once each."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import pytest
from nio.crypto import OutboundGroupSession

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.config import Settings
from hub.delivery.letter import Letter
from hub.delivery.relay import now
from hub.homeserver import accounts
from hub.matrix import signing
from hub.matrix.client import Client, MatrixError, Unreachable, path
from hub.matrix.rooms import Room
from hub.matrix.wire import parsed
from hub.observe import Metrics
from hub.storage.engine import Database
from hub.terminal.person import Person, replies_to
from tests.chaos import scale
from tests.chaos.malice import MEGOLM, Malice
from tests.chaos.tally import Tally
from tests.matrix.test_inbound import HUB, NURSE, ROOM, encrypted, member_in
from tests.matrix.test_trust import Keys
from tests.support.databases import Backend
from tests.support.hub import TestHub
from tests.support.synapse import TestHomeserver, login

pytestmark = [pytest.mark.chaos]

MALLORY = "@mallory:x"
EVENTS_A_SYNC = 20
HONEST_SHARE = 0.7
COMMANDS = ("/aide", "/langue en", "/langue fr")
ANSWERS = (["help.overview"], ["language.changed"], ["language.already"])

JsonObject = dict[str, Any]


@dataclass
class Homeserver:
    """One that sends what it is told to; a member of it is honest, the others are not."""

    malice: Malice
    keys: Keys = field(default_factory=Keys)
    answer: JsonObject = field(default_factory=dict)

    async def call(self, method: str, path: str, content: JsonObject | None = None, **_: object) -> Any:
        return parsed(json.dumps(self._answer(path, content)))

    def _answer(self, path: str, content: JsonObject | None) -> JsonObject:
        path = unquote(path)
        if "/sync" in path:
            return self.answer
        if "/keys/query" in path:
            return self._keys(list((content or {})["device_keys"]))
        if "/messages" in path:
            return {"chunk": [self.malice.event() for _ in range(3)], "start": "a"}
        return {}

    def _keys(self, asked: list[str]) -> JsonObject:
        """True ones for the honest, whatever comes to mind for the others."""
        answer: JsonObject = {"device_keys": {}, "master_keys": {}, "self_signing_keys": {}}
        for user_id in asked:
            theirs = self.keys if user_id == NURSE else Keys()
            published = theirs.published(user_id=user_id)
            if user_id != NURSE:
                published = self.malice.spoilt(published)
            for kind, of in answer.items():
                if isinstance(published.get(kind), dict):
                    of |= {
                        k: v for k, v in published[kind].items() if k not in (NURSE, HUB) or user_id == NURSE
                    }
        return answer


async def test_malformed_forged_and_replayed_events_cost_honest_people_nothing(
    tmp_path: Path,
    database: Database,
    backend: Backend,
    tally: Tally,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chance = scale.by_chance(f"hostile {backend.name}")
    malice = Malice(chance, MALLORY, [HUB, NURSE], [ROOM, "!other:x", "!v12withoutserver"])
    server = Homeserver(malice)
    member = member_in(tmp_path)
    flow = wiring.assemble(Settings(), database, member, Metrics.create())
    member.client.call = server.call  # type: ignore[method-assign, assignment]
    member.rooms.update(Room(ROOM, encrypted=True, members={HUB: "join", NURSE: "join", MALLORY: "join"}))
    olm, nurse = member.client.machine, OutboundGroupSession()
    nurse.max_messages = 10**6
    olm.create_group_session(
        server.keys.curve25519, signing.public_key(server.keys.phone), ROOM, nurse.id, nurse.session_key
    )
    olm.create_group_session("k" * 43, "f" * 43, ROOM, malice.session.id, malice.session.session_key)
    async with database.transaction() as tx:
        for user_id in (NURSE, MALLORY):
            await directory.enrol(tx, user_id, Role.PROFESSIONAL, "", now())
    said: list[str] = []
    for n in range(scale.EVENTS // EVENTS_A_SYNC):
        events = [malice.event() for _ in range(EVENTS_A_SYNC)]
        answer = sync_answer(malice, f"s{n}", olm.account.identity_keys["curve25519"])
        if chance.random() < HONEST_SHARE:
            inner = {
                "room_id": ROOM,
                "type": "m.room.message",
                "content": {"msgtype": "m.text", "body": "/aide"},
            }
            honest = {**encrypted(nurse, inner), "event_id": f"$honest{n}"}
            malice.honest.append(honest)
            said.append(f"$honest{n}")
            events.insert(chance.randrange(len(events)), honest)
        answer["rooms"]["join"][ROOM] = {"timeline": {"events": events}}
        server.answer = answer
        await flow.receive(f"s{n - 1}" if n else "s")
        while await flow.clerk.turn():
            pass
        tally.faults["events"] += len(events)
        tally.faults["to-device messages"] += EVENTS_A_SYNC // 4
    answers = await answered(database)
    tally.commands, tally.answered = len(said), sum(event_id in answers for event_id in said)
    tally.lost = tally.commands - tally.answered
    tally.doubled = sum(len(answers[event_id]) - 1 for event_id in said if event_id in answers)
    assert [answers.get(event_id) for event_id in said if answers.get(event_id) not in ANSWERS] == []
    async with database.transaction() as tx:
        assert await tx.inbox.parked(HUB) == []
        facts = [*await tx.journal.read(f"person:{NURSE}"), *await tx.journal.read(f"person:{MALLORY}")]
    assert {fact.cause for fact in facts if fact.name == "LanguageChosen"} <= set(said)
    assert member.rooms[ROOM].encrypted is True
    assert [record for record in caplog.records if record.msg == "fault.raised"] == []
    await member.close()


async def answered(db: Database) -> dict[str | None, list[str]]:
    """Cause → the keys of what was said because of it, taken out of the outbox as the relay would."""
    found: dict[str | None, list[str]] = {}
    while True:
        async with db.transaction() as tx:
            rows = await tx.outbox.due(HUB, now(), 100)
            for row in rows:
                found.setdefault(row.cause, []).append(Letter.from_bytes(row.payload).key)
                await tx.outbox.sent(row.id, "$sent", now())
        if not rows:
            return found


def sync_answer(malice: Malice, position: str, our_key: str) -> JsonObject:
    """A sync in which anything may be wrong but its position."""
    body = {
        "timeline": {"events": [malice.event()], "limited": True, "prev_batch": "p"},
        "state": {"events": [malice.event()]},
    }
    sound = {
        "to_device": {"events": [malice.to_device(our_key) for _ in range(EVENTS_A_SYNC // 4)]},
        "rooms": {
            "join": {"!other:x": body},
            "invite": {"!asked:x": {"invite_state": {"events": [malice.event()]}}},
            "leave": {"!gone:x": {}},
        },
        "device_lists": {"changed": [MALLORY, "@stranger:x"], "left": ["@gone:x"]},
        "device_one_time_keys_count": {"signed_curve25519": 50},
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }
    answer = malice.spoilt(sound)
    rooms = answer.get("rooms")
    answer["rooms"] = rooms if isinstance(rooms, dict) else {}
    join = answer["rooms"].get("join")
    answer["rooms"]["join"] = join if isinstance(join, dict) else {}
    answer["next_batch"] = position
    return dict(answer)


@pytest.mark.integration
async def test_a_member_who_sends_whatever_synapse_lets_through_keeps_nobody_from_being_answered(
    hub: TestHub, homeserver: TestHomeserver, tally: Tally, caplog: pytest.LogCaptureFixture
) -> None:
    chance = scale.by_chance("member")
    honest, mallory = await hub.person("honnete"), await hub.person("mallory")
    await lift_limits(homeserver, mallory.user_id)
    room = await hub.meeting(honest, mallory)
    own = await hub.meeting(mallory)
    for one in (room, own):
        await mallory.say(one, "bonjour")  # a true session, from a cross-signed device
    malice = Malice(chance, mallory.user_id, [hub.user_id, honest.user_id], [room, own], anything=False)
    attacker = Attacker(mallory, malice, hub.running.member.client)
    async with hub.running.db.transaction() as tx:
        parked = await tx.inbox.parked(hub.user_id)
    said = []
    for n in range(scale.EVENTS // 2):
        await attacker.attack(chance.choice((room, room, own)))
        if n % EVENTS_A_SYNC == 0:
            said.append(await honest.say(room, chance.choice(COMMANDS)))
            malice.honest = await attacker.overheard(room, honest.user_id)
    for event_id in said:
        await honest.answer_to(room, event_id)
    tally.faults = attacker.sent
    answers = Counter(replies_to(message) for message in honest.heard if message.sender == hub.user_id)
    tally.commands, tally.answered = len(said), sum(answers[event_id] > 0 for event_id in said)
    tally.lost = tally.commands - tally.answered
    tally.doubled = sum(answers[event_id] - 1 for event_id in said if answers[event_id])
    assert [answers[event_id] for event_id in said] == [1] * len(said)
    async with hub.running.db.transaction() as tx:
        assert await tx.inbox.parked(hub.user_id) == parked
    assert hub.running.member.rooms[room].encrypted is True
    assert hub.running.member.rooms[own].encrypted is True
    assert [record for record in caplog.records if record.msg == "fault.raised"] == []


@pytest.mark.integration
async def test_messages_nested_as_deeply_as_synapse_reads_them(hub: TestHub, tally: Tally) -> None:
    honest, mallory = await hub.person("honnete"), await hub.person("mallory")
    room, target, client = await hub.meeting(honest), hub.running.member.client, mallory.member.client
    headers = {"Authorization": f"Bearer {client.access_token}"}
    for depth in range(900, 1000, 4):
        deep = f'{{"x":{"[" * depth}{"]" * depth}}}'
        body = f'{{"messages": {{"{target.user_id}": {{"{target.device_id}": {deep}}}}}}}'
        async with await client.send(
            "PUT", path("sendToDevice", "m.deep", uuid4().hex), body, headers
        ) as sent:
            tally.faults["to-device" if sent.status == 200 else "refused by Synapse"] += 1
    await hub.ask(honest, room, "/aide")
    tally.commands = tally.answered = 1


async def lift_limits(homeserver: TestHomeserver, user_id: str) -> None:
    name, password = await homeserver.new_user("admin", admin=True)
    token = await login(homeserver.url, name, password)
    await accounts.lift_rate_limits(homeserver.url, token, user_id)


@dataclass
class Attacker:
    """A member with a client of his own making."""

    person: Person
    malice: Malice
    target: Client
    sent: Counter[str] = field(default_factory=Counter)

    async def overheard(self, room_id: str, sender: str) -> list[JsonObject]:
        """What somebody said last, as the homeserver passes it on."""
        url = path("rooms", room_id, "messages", dir="b", limit="50")
        page = await self.person.member.client.call("GET", url)
        return [raw for raw in page["chunk"] if raw["sender"] == sender and raw["type"] == "m.room.encrypted"]

    async def attack(self, room_id: str) -> None:
        """One thing that may hurt."""
        kind = self.malice.chance.choice(("event", "event", "true session", "true session", "to-device"))
        event = self.malice.event()
        match kind:
            case "to-device":
                their_key = self.target.machine.account.identity_keys["curve25519"]
                message = self.malice.to_device(their_key)
                content = {"messages": {self.target.user_id: {self.target.device_id: message["content"]}}}
                done = await self._put(path("sendToDevice", message["type"], uuid4().hex), content)
            case "true session":
                done = await self._put(
                    path("rooms", room_id, "send", "m.room.encrypted", uuid4().hex),
                    self._sealed(room_id, event),
                )
            case _ if "state_key" in event:
                done = await self._put(
                    path("rooms", room_id, "state", event["type"], event["state_key"]), event["content"]
                )
            case _:
                done = await self._put(
                    path("rooms", room_id, "send", event["type"] or "x", uuid4().hex), event["content"]
                )
        self.sent[kind if done else "refused by Synapse"] += 1

    def _sealed(self, room_id: str, event: JsonObject) -> JsonObject:
        """Anything at all, encrypted as a true message would be."""
        olm = self.person.member.client.machine
        wild = replace(self.malice, anything=True)
        inner = wild.spoilt({"room_id": room_id, "type": event["type"], "content": event["content"]})
        session = olm.outbound_group_sessions[room_id]
        return {
            "algorithm": MEGOLM,
            "session_id": session.id,
            "ciphertext": session._session.encrypt(json.dumps(inner).encode()).to_base64(),
        }

    async def _put(self, url: str, content: JsonObject) -> bool:
        try:
            await self.person.member.client.call("PUT", url, content)
        except (MatrixError, Unreachable):
            return False
        return True
