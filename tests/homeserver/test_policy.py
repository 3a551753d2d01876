"""The policy, as people's clients meet it on a real Synapse. No hub runs: its account's data is enough."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.homeserver import accounts
from hub.homeserver.rules import PERMISSIONS, ROLES, Rule
from hub.locale import Language, translate
from tests.support.hub import in_own_task, settings
from tests.support.synapse import TestHomeserver, call, login

pytestmark = pytest.mark.integration

ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}

Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Someone:
    """An account, signed in."""

    url: str
    user_id: str
    token: str

    async def ask(self, method: str, *parts: str, **body: Any) -> Answer:
        path = "/".join(quote(part, safe="") for part in parts)
        return await call(
            method,
            f"{self.url}/_matrix/client/v3/{path}",
            token=self.token,
            json=None if method == "GET" else body,
        )

    async def create(self, **config: Any) -> Answer:
        return await self.ask("POST", "createRoom", **config)

    async def room(self, **config: Any) -> str:
        """A room that has to come about."""
        status, body = await self.create(**config)
        assert status == 200, body
        return str(body["room_id"])

    async def invite(self, room: str, other: Someone) -> Answer:
        return await self.ask("POST", "rooms", room, "invite", user_id=other.user_id)

    async def join(self, room: str) -> Answer:
        return await self.ask("POST", "rooms", room, "join")

    async def set_state(self, room: str, kind: str, content: Mapping[str, Any], key: str = "") -> Answer:
        return await self.ask("PUT", "rooms", room, "state", kind, key, **content)

    async def state(self, room: str, kind: str) -> dict[str, Any]:
        status, content = await self.ask("GET", "rooms", room, "state", kind, "")
        assert status == 200, content
        return content

    async def note(self, kind: str, content: Mapping[str, Any]) -> None:
        assert (await self.ask("PUT", "user", self.user_id, "account_data", kind, **content))[0] == 200


@dataclass(frozen=True)
class Ward:
    """Everybody, made once for the file. ``hub`` is an account without a program."""

    hub: Someone
    doctor: Someone
    nurse: Someone
    patient: Someone
    other_patient: Someone


async def signed_in(homeserver: TestHomeserver, prefix: str, *, professional: bool = True) -> Someone:
    user_id, password = await homeserver.new_user(prefix, professional=professional)
    return Someone(homeserver.url, user_id, await login(homeserver.url, user_id, password))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ward(homeserver: TestHomeserver) -> Ward:
    name, password = next(homeserver.hub_names), "une longue phrase de passe"
    hub = await accounts.register(homeserver.url, homeserver.registration_secret, name, password)
    assert hub is not None
    return Ward(
        Someone(homeserver.url, hub, await login(homeserver.url, hub, password)),
        await signed_in(homeserver, "docteur"),
        await signed_in(homeserver, "infirmiere"),
        await signed_in(homeserver, "malade", professional=False),
        await signed_in(homeserver, "voisin", professional=False),
    )


def refused(answer: Answer, rule: Rule) -> bool:
    """Whether it is a refusal by this rule, told in both languages."""
    status, body = answer
    assert status == 403, answer
    assert body["errcode"] == "M_FORBIDDEN"
    assert body["error"] == " / ".join(translate(language, rule) for language in (Language.FR, Language.EN))
    return True


def allowed(answer: Answer) -> bool:
    assert answer[0] == 200, answer
    return True


async def rooms_of(someone: Someone) -> set[str]:
    return set((await someone.ask("GET", "joined_rooms"))[1]["joined_rooms"])


# ---- what every room is


@pytest.mark.parametrize("maker", ["doctor", "hub"])
async def test_a_room_is_closed_from_its_first_moment_whatever_its_client_asks(
    ward: Ward, maker: str
) -> None:
    person: Someone = getattr(ward, maker)
    asked = [
        {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "org.example.none"}},
        {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "can_join"}},
        {
            "type": "m.room.history_visibility",
            "state_key": "",
            "content": {"history_visibility": "world_readable"},
        },
    ]
    decoys = [
        {"type": "m.room.encryption", "state_key": "elsewhere", "content": ENCRYPTION},
        {"type": "m.room.guest_access", "state_key": "elsewhere", "content": {"guest_access": "forbidden"}},
        {"type": "m.room.history_visibility", "state_key": "x", "content": {"history_visibility": "joined"}},
    ]
    configs: tuple[dict[str, Any], ...] = (
        {},
        {"preset": "trusted_private_chat"},
        {"initial_state": asked},
        {"initial_state": decoys},
    )
    for config in configs:
        room = await person.room(**config)
        assert await person.state(room, "m.room.encryption") == ENCRYPTION
        assert await person.state(room, "m.room.history_visibility") == {"history_visibility": "invited"}
        assert await person.state(room, "m.room.guest_access") == {"guest_access": "forbidden"}
        assert (await person.state(room, "m.room.join_rules"))["join_rule"] == "invite"


async def test_what_a_client_asks_that_is_stricter_is_kept(ward: Ward) -> None:
    strict = ENCRYPTION | {"rotation_period_msgs": 10}
    room = await ward.doctor.room(
        initial_state=[
            {"type": "m.room.encryption", "content": strict},
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
        ]
    )
    assert await ward.doctor.state(room, "m.room.encryption") == strict
    assert await ward.doctor.state(room, "m.room.history_visibility") == {"history_visibility": "joined"}


@pytest.mark.parametrize(
    "config",
    [
        {"visibility": "public"},
        {"preset": "public_chat"},
        {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "public"}}]},
    ],
    ids=["listed", "preset", "rule"],
)
async def test_no_room_is_born_public(ward: Ward, config: dict[str, Any]) -> None:
    before = await rooms_of(ward.doctor)
    assert refused(await ward.doctor.create(**config), Rule.PUBLIC)
    assert refused(await ward.hub.create(**config), Rule.PUBLIC)
    assert await rooms_of(ward.doctor) == before, "nothing half made"


async def test_no_room_becomes_public(ward: Ward) -> None:
    for maker in (ward.doctor, ward.hub):
        room = await maker.room()
        assert refused(await maker.set_state(room, "m.room.join_rules", {"join_rule": "public"}), Rule.PUBLIC)
        listing = await maker.ask("PUT", "directory", "list", "room", room, visibility="public")
        assert refused(listing, Rule.PUBLIC)
        assert allowed(await maker.set_state(room, "m.room.join_rules", {"join_rule": "knock"}))


async def test_only_the_hub_gives_a_room_an_address(ward: Ward) -> None:
    name = ward.hub.user_id[1:].partition(":")[0]
    address = f"#parcours-{name}:hub.localhost"
    room = await ward.doctor.room()
    assert refused(await ward.doctor.create(room_alias_name="chirurgie"), Rule.ALIAS)
    assert refused(await ward.doctor.ask("PUT", "directory", "room", address, room_id=room), Rule.ALIAS)
    canonical = {"alias": address}
    assert refused(await ward.doctor.set_state(room, "m.room.canonical_alias", canonical), Rule.ALIAS)

    room = await ward.hub.room()
    assert allowed(await ward.hub.ask("PUT", "directory", "room", address, room_id=room))
    assert allowed(await ward.hub.set_state(room, "m.room.canonical_alias", canonical))


@pytest.mark.parametrize("maker", ["doctor", "hub"])
async def test_what_protects_a_room_is_not_weakened_later(ward: Ward, maker: str) -> None:
    person: Someone = getattr(ward, maker)
    room = await person.room()

    async def change(kind: str, **content: Any) -> Answer:
        return await person.set_state(room, kind, content)

    weaker: tuple[dict[str, Any], ...] = (
        {},
        {"algorithm": "m.olm.v1"},
        ENCRYPTION | {"rotation_period_msgs": 101},
        ENCRYPTION | {"rotation_period_ms": 10**12},
        ENCRYPTION | {"rotation_period_msgs": "often"},
    )
    for content in weaker:
        assert refused(await change("m.room.encryption", **content), Rule.ENCRYPTION), content
    assert allowed(await change("m.room.encryption", **ENCRYPTION, rotation_period_msgs=50))
    assert refused(await change("m.room.encryption", **ENCRYPTION), Rule.ENCRYPTION)

    for visibility in ("world_readable", "", "anybody"):
        answer = await change("m.room.history_visibility", history_visibility=visibility)
        assert refused(answer, Rule.HISTORY)
    opened = await change("m.room.history_visibility", history_visibility="shared")
    assert allowed(opened) if maker == "hub" else refused(opened, Rule.HISTORY)
    assert allowed(await change("m.room.history_visibility", history_visibility="joined"))

    assert refused(await change("m.room.guest_access", guest_access="can_join"), Rule.GUESTS)
    assert refused(await change("m.room.guest_access"), Rule.GUESTS)


@pytest.mark.parametrize("version", ["10", "11"])
async def test_what_protects_a_room_is_not_erased(ward: Ward, version: str) -> None:
    room = await ward.doctor.room(room_version=version)
    _, said = await ward.doctor.ask(
        "PUT", "rooms", room, "send", "m.room.encrypted", "1", algorithm="m.megolm"
    )
    state: Any = (await ward.doctor.ask("GET", "rooms", room, "state"))[1]
    (encryption,) = [event for event in state if event["type"] == "m.room.encryption"]

    redact = ("PUT", "rooms", room, "redact")
    assert refused(await ward.doctor.ask(*redact, encryption["event_id"], "2"), Rule.REDACTION)
    assert allowed(await ward.doctor.ask(*redact, said["event_id"], "3"))


# ---- who decides in a room


async def test_a_room_that_element_makes_has_safe_power_levels(ward: Ward) -> None:
    """The body of Element's createRoom for a chat, and then some."""
    room = await ward.doctor.room(
        preset="trusted_private_chat",
        is_direct=True,
        visibility="private",
        invite=[ward.nurse.user_id, ward.patient.user_id],
        power_level_content_override={
            "users": {ward.doctor.user_id: 100, ward.patient.user_id: 100},
            "users_default": 100,
            "state_default": 0,
            "events": {"org.matrix.msc3401.call.member": 0, "im.vector.modular.widgets": 0},
        },
    )
    levels = await ward.doctor.state(room, "m.room.power_levels")
    assert ward.patient.user_id not in levels["users"]
    assert {levels["users"][one.user_id] for one in (ward.doctor, ward.nurse, ward.hub)} == {100}
    assert (levels["users_default"], levels["state_default"]) == (0, 50)
    assert levels["events"]["org.matrix.msc3401.call.member"] == 0
    assert levels["events"]["im.vector.modular.widgets"] == levels["events"]["m.room.power_levels"] == 100


async def test_only_the_hub_changes_power_levels_and_widgets(ward: Ward) -> None:
    room = await ward.doctor.room(invite=[ward.hub.user_id])
    assert allowed(await ward.hub.join(room))
    levels: dict[str, Any] = await ward.doctor.state(room, "m.room.power_levels")
    raised = levels | {"users": levels["users"] | {ward.nurse.user_id: 50}}
    widget = {"type": "m.custom", "url": "https://example.org", "name": "Formulaire"}
    changes: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("m.room.power_levels", raised, ""),
        ("im.vector.modular.widgets", widget, "formulaire"),
        ("m.widget", widget, "formulaire"),
        ("io.element.widgets.layout", {"widgets": {}}, ""),
    )
    for kind, content, key in changes:
        assert refused(await ward.doctor.set_state(room, kind, content, key), Rule.HUB_ONLY)
        assert allowed(await ward.hub.set_state(room, kind, content, key))
    initial = [{"type": "im.vector.modular.widgets", "state_key": "x", "content": widget}]
    assert refused(await ward.doctor.create(initial_state=initial), Rule.HUB_ONLY)
    assert allowed(await ward.hub.create(initial_state=initial))
    assert allowed(await ward.doctor.set_state(room, "m.room.topic", {"topic": "Tournée"}))


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_room_is_not_replaced_behind_the_policys_back(ward: Ward, version: str) -> None:
    invited = [ward.nurse.user_id, ward.patient.user_id]
    room = await ward.doctor.room(room_version=version, preset="trusted_private_chat", invite=invited)
    assert "additional_creators" not in await ward.doctor.state(room, "m.room.create")
    before = await rooms_of(ward.doctor)
    upgrade = await ward.doctor.ask("POST", "rooms", room, "upgrade", new_version="11")
    assert refused(upgrade, Rule.HUB_ONLY)
    assert await rooms_of(ward.doctor) == before, "nothing half made"
    room = await ward.hub.room(room_version=version)
    assert allowed(await ward.hub.ask("POST", "rooms", room, "upgrade", new_version="11"))


# ---- who meets whom


async def test_a_patient_opens_a_room_with_the_hub_and_no_other(ward: Ward) -> None:
    for invite in ([], [ward.doctor], [ward.hub, ward.doctor], [ward.other_patient]):
        answer = await ward.patient.create(invite=[one.user_id for one in invite])
        assert refused(answer, Rule.CREATION)
    assert await rooms_of(ward.patient) == set()

    room = await ward.patient.room(
        preset="trusted_private_chat", is_direct=True, invite=[ward.hub.user_id], initial_state=[]
    )
    assert allowed(await ward.hub.join(room))
    for other in (ward.doctor, ward.other_patient):
        assert refused(await ward.patient.invite(room, other), Rule.INVITATION)
    assert allowed(await ward.hub.invite(room, ward.doctor))
    assert allowed(await ward.doctor.join(room))
    assert refused(await ward.patient.invite(room, ward.nurse), Rule.INVITATION)
    assert allowed(await ward.doctor.invite(room, ward.nurse))  # no power needed, a role
    assert allowed(
        await ward.patient.ask("PUT", "profile", ward.patient.user_id, "displayname", displayname="M.")
    )
    await ward.patient.ask("POST", "rooms", room, "leave")


async def test_two_patients_meet_through_the_hub_alone(ward: Ward) -> None:
    before = await rooms_of(ward.nurse)
    both = [ward.patient.user_id, ward.other_patient.user_id]
    assert refused(await ward.nurse.create(invite=both), Rule.TOGETHER)
    assert await rooms_of(ward.nurse) == before, "nothing half made"

    room = await ward.nurse.room(invite=[ward.hub.user_id, ward.doctor.user_id, ward.patient.user_id])
    assert refused(await ward.nurse.invite(room, ward.other_patient), Rule.TOGETHER)  # one is only invited
    assert allowed(await ward.hub.join(room))
    assert allowed(await ward.hub.invite(room, ward.other_patient))
    assert allowed(await ward.other_patient.join(room))
    assert refused(await ward.patient.join(room), Rule.TOGETHER)  # the nurse's invitation crossed the hub's
    assert allowed(await ward.hub.ask("POST", "rooms", room, "kick", user_id=ward.patient.user_id))
    assert allowed(await ward.hub.invite(room, ward.patient))
    assert allowed(await ward.patient.join(room))

    assert allowed(await ward.patient.ask("POST", "rooms", room, "leave"))
    assert refused(await ward.nurse.invite(room, ward.patient), Rule.TOGETHER)  # one is there
    assert allowed(await ward.other_patient.ask("POST", "rooms", room, "leave"))
    assert allowed(await ward.nurse.invite(room, ward.patient))
    assert allowed(await ward.patient.join(room))


async def test_a_patient_comes_in_by_invitation(ward: Ward) -> None:
    team = await ward.doctor.room(invite=[ward.nurse.user_id, ward.patient.user_id])
    for one in (ward.nurse, ward.patient):
        assert allowed(await one.join(team))
    through_the_team = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": team}]}
    room = await ward.doctor.room(initial_state=[{"type": "m.room.join_rules", "content": through_the_team}])
    assert allowed(await ward.nurse.join(room))
    assert refused(await ward.patient.join(room), Rule.ENTRY)

    assert allowed(await ward.doctor.set_state(room, "m.room.join_rules", {"join_rule": "knock"}))
    assert refused(await ward.patient.ask("POST", "knock", room), Rule.ENTRY)
    assert allowed(await ward.nurse.ask("POST", "rooms", room, "leave"))
    assert allowed(await ward.nurse.ask("POST", "knock", room))
    assert allowed(await ward.doctor.invite(room, ward.patient))
    assert allowed(await ward.patient.join(room))


async def test_nobody_is_invited_by_mail(ward: Ward) -> None:
    mail = {"medium": "email", "address": "a@example.org", "id_server": "example.org", "id_access_token": "x"}
    room = await ward.doctor.room()
    assert refused(await ward.doctor.create(invite_3pid=[mail]), Rule.EMAIL)
    assert (await ward.doctor.ask("POST", "rooms", room, "invite", **mail))[0] == 403
    assert refused(await ward.hub.create(invite_3pid=[mail]), Rule.EMAIL)


async def test_a_server_that_is_no_partner_is_said_to_be_none(ward: Ward) -> None:
    elsewhere = Someone("", "@dr.who:ailleurs.example", "")
    room = await ward.doctor.room()
    assert refused(await ward.doctor.invite(room, elsewhere), Rule.SERVER)
    assert refused(await ward.doctor.create(invite=[elsewhere.user_id]), Rule.SERVER)


async def test_an_administrator_of_the_homeserver_is_no_exception(
    homeserver: TestHomeserver, ward: Ward
) -> None:
    user_id, password = await homeserver.new_user("technicien", admin=True, professional=False)
    admin = Someone(homeserver.url, user_id, await login(homeserver.url, user_id, password))
    assert refused(await admin.create(), Rule.CREATION)
    room = await admin.room(invite=[ward.hub.user_id])
    assert refused(await admin.invite(room, ward.patient), Rule.INVITATION)
    assert refused(await admin.set_state(room, "m.room.join_rules", {"join_rule": "public"}), Rule.PUBLIC)


# ---- what each person allows


@pytest.mark.parametrize(
    ("chosen", "comes_in"),
    [
        ({}, True),
        ({"default": "allow"}, True),
        ({"default": "block"}, False),
        ({"default": "block", "exceptions": {"users": ["DOCTOR"]}}, True),
        ({"default": "block", "exceptions": {"users": ["@another:hub.localhost"]}}, False),
        ({"default": "block", "exceptions": {"servers": ["hub.localhost"]}}, True),
        ({"default": "block", "exceptions": {"servers": ["ville.example.fr"]}}, False),
        ({"default": "allow", "exceptions": {"users": ["DOCTOR"]}}, False),
        ({"default": "allow", "exceptions": {"users": ["@another:hub.localhost"], "servers": []}}, True),
        ({"default": "allow", "exceptions": {"servers": ["hub.localhost"]}}, False),
        ({"default": "maybe"}, False),
        ({"exceptions": {"users": ["DOCTOR"]}}, False),
        ({"default": "allow", "exception": {"users": ["DOCTOR"]}}, False),
        ({"default": "allow", "exceptions": {"user": ["DOCTOR"]}}, False),
        ({"default": "allow", "exceptions": {"users": "DOCTOR"}}, False),
    ],
    ids=str,
)
async def test_an_invitation_follows_the_setting_of_whoever_is_invited(
    ward: Ward, rooms: tuple[str, str], guest: Someone, chosen: dict[str, Any], comes_in: bool
) -> None:
    doctors, hubs = rooms
    await guest.note(PERMISSIONS, json.loads(json.dumps(chosen).replace("DOCTOR", ward.doctor.user_id)))
    answer = await ward.doctor.invite(doctors, guest)
    assert allowed(answer) if comes_in else refused(answer, Rule.PERMISSIONS)
    assert allowed(await ward.hub.invite(hubs, guest)), "the hub always reaches people"
    for room in rooms:
        await guest.ask("POST", "rooms", room, "leave")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guest(homeserver: TestHomeserver) -> Someone:
    return await signed_in(homeserver, "difficile", professional=False)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rooms(ward: Ward) -> tuple[str, str]:
    """One of the doctor, one of the hub."""
    return await ward.doctor.room(), await ward.hub.room()


# ---- who is who


async def test_a_role_list_that_is_missing_or_broken_closes(homeserver: TestHomeserver, ward: Ward) -> None:
    """What one hub lists, whatever the others do."""
    user = await signed_in(homeserver, "remplacant", professional=False)
    assert refused(await user.create(), Rule.CREATION)
    await ward.hub.note(ROLES, {"professionals": [user.user_id]})
    assert allowed(await user.create())
    broken: tuple[dict[str, Any], ...] = (
        {},
        {"professionals": user.user_id},
        {"professionals": {user.user_id: True}},
        {"professionals": [user.user_id, 7]},
        {"professional": [user.user_id]},
    )
    for content in broken:
        await ward.hub.note(ROLES, content)
        assert refused(await user.create(), Rule.CREATION), content
    await user.note(ROLES, {"professionals": [user.user_id]})
    assert refused(await user.create(), Rule.CREATION), "nobody appoints themselves"


async def test_what_the_hub_enrolled_holds_when_the_hub_is_gone(
    homeserver: TestHomeserver, tmp_path: Path
) -> None:
    people = {
        role: await signed_in(homeserver, role.value, professional=False)
        for role in (Role.PROFESSIONAL, Role.ADMIN, Role.PATIENT, Role.CAREGIVER, Role.UNKNOWN)
    }
    changed = await signed_in(homeserver, "parti", professional=False)
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))

    async def enrol(running: wiring.Running, user_id: str, role: Role) -> None:
        async with running.db.transaction() as tx:
            await directory.enrol(tx, user_id, role, None, now())

    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        hub = running.member.user_id
        for role, person in people.items():
            if role is not Role.UNKNOWN:
                await enrol(running, person.user_id, role)
        await enrol(running, changed.user_id, Role.PROFESSIONAL)
        await running.roles.publish()
        assert allowed(await changed.create())
        await enrol(running, changed.user_id, Role.PATIENT)  # published by nobody
    async with in_own_task(wiring.running(chosen, lambda step: None)):
        pass  # a start publishes

    for role, person in people.items():
        answer = await person.create()
        enrolled = role in {Role.PROFESSIONAL, Role.ADMIN}
        assert allowed(answer) if enrolled else refused(answer, Rule.CREATION)
        assert allowed(await person.create(invite=[hub])), "the room waits for the hub to come back"
    assert refused(await changed.create(), Rule.CREATION)


async def test_the_log_names_the_rule_and_nobody(homeserver: TestHomeserver, ward: Ward) -> None:
    user = await signed_in(homeserver, "curieux", professional=False)
    assert refused(await user.create(name="Salle secrète", invite=[ward.doctor.user_id]), Rule.CREATION)
    written = homeserver.log.read_text()
    assert "policy.creation" in written
    for hidden in (user.user_id, ward.doctor.user_id, "Salle secrète"):
        assert hidden not in written
