"""What the policy answers to partners' servers: real events, asked of its callbacks as Synapse asks them.

What it answers to this server's own people is in ``test_policy.py``, on a whole Synapse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from synapse.api.room_versions import RoomVersions
from synapse.events import EventBase, make_event_from_dict
from synapse.module_api.errors import Codes, ConfigError, SynapseError

from hub.homeserver.policy import Policy
from hub.homeserver.rules import PERMISSIONS, ROLES, Rule
from hub.locale import Language, translate

HERE, CITY, ELSEWHERE = "chu.example.fr", "ville.example.fr", "ailleurs.example"
HUB, CITY_HUB = f"@parcours:{HERE}", f"@parcours:{CITY}"
DOCTOR, JEANNE, PAUL = f"@dr.moreau:{HERE}", f"@jeanne:{HERE}", f"@paul:{HERE}"
LISTED, UNLISTED, STRANGER = f"@dr.garcia:{CITY}", f"@dr.petit:{CITY}", f"@dr.who:{ELSEWHERE}"

numbers = count(1)


def event(sender: str, kind: str, content: Mapping[str, Any], state_key: str | None = "") -> EventBase:
    made: dict[str, Any] = {
        "type": kind,
        "sender": sender,
        "room_id": f"!salon:{CITY}",
        "content": dict(content),
        "origin_server_ts": next(numbers),
        "depth": 1,
        "auth_events": [],
        "prev_events": [],
        "hashes": {},
        "signatures": {},
    }
    return make_event_from_dict(
        made | ({} if state_key is None else {"state_key": state_key}), RoomVersions.V11
    )


def member(sender: str, membership: str, person: str | None = None) -> EventBase:
    return event(sender, "m.room.member", {"membership": membership}, person or sender)


@dataclass
class Api:
    """As much of Synapse's ModuleApi as the policy asks for: a database that lies on the table."""

    notes: dict[tuple[str, str], Mapping[str, Any]]
    members: list[EventBase] = field(default_factory=list)
    server_name: str = HERE
    coming_in: bool = False
    """Whether Synapse is still fetching the members."""

    @property
    def _store(self) -> Api:
        return self

    async def is_partial_state_room(self, room_id: str) -> bool:
        return self.coming_in

    @property
    def account_data_manager(self) -> Api:
        return self

    async def get_global(self, user_id: str, kind: str) -> Mapping[str, Any] | None:
        assert self.is_mine(user_id), "Synapse raises for anybody else"
        return self.notes.get((user_id, kind))

    def is_mine(self, user_id: str) -> bool:
        return user_id.endswith(f":{HERE}")

    async def get_room_state(
        self, room_id: str, filter_: Iterable[tuple[str, str | None]]
    ) -> dict[tuple[str, str], EventBase]:
        assert not self.coming_in, "Synapse would wait for the members, and for us"
        assert list(filter_) == [("m.room.member", None)]
        return {("m.room.member", str(one.state_key)): one for one in self.members}

    def register_third_party_rules_callbacks(self, **_: object) -> None:
        pass

    def register_spam_checker_callbacks(self, **_: object) -> None:
        pass


@pytest.fixture
def api() -> Api:
    return Api({(HUB, ROLES): {"professionals": (DOCTOR, LISTED)}})


@pytest.fixture
def policy(api: Api) -> Policy:
    config = Policy.parse_config({"hubs": [HUB, CITY_HUB], "partners": [CITY]})
    return Policy(config, api)  # type: ignore[arg-type]


async def answered(policy: Policy, invitation: EventBase) -> Rule | None:
    """The rule that refuses the invitation; one that is refused stays out however it arrives."""
    spam = await policy.check_event_for_spam(invitation)
    try:
        assert await policy.federated_user_may_invite(invitation) == "NOT_SPAM"
    except SynapseError as said:
        assert (said.code, said.errcode, spam) == (403, Codes.FORBIDDEN, Codes.FORBIDDEN)
        (rule,) = [rule for rule in Rule if translate(Language.FR, rule) in said.msg]
        return rule
    assert spam == "NOT_SPAM"
    return None


@pytest.mark.parametrize(
    ("inviter", "invitee", "rule"),
    [
        (LISTED, JEANNE, None),
        (LISTED, DOCTOR, None),
        (UNLISTED, DOCTOR, None),
        (UNLISTED, JEANNE, Rule.TOGETHER),
        (CITY_HUB, JEANNE, None),
        (STRANGER, DOCTOR, Rule.SERVER),
        (STRANGER, JEANNE, Rule.SERVER),
    ],
)
async def test_who_of_a_partner_may_invite_whom(
    policy: Policy, inviter: str, invitee: str, rule: Rule | None
) -> None:
    assert await answered(policy, member(inviter, "invite", invitee)) == rule


async def test_a_partners_professional_does_not_bring_two_patients_together(policy: Policy, api: Api) -> None:
    api.members = [member(LISTED, "join"), member(CITY_HUB, "join"), member(LISTED, "invite", PAUL)]
    assert await answered(policy, member(LISTED, "invite", JEANNE)) is Rule.TOGETHER
    assert await answered(policy, member(CITY_HUB, "invite", JEANNE)) is None
    api.members[-1] = member(PAUL, "leave")
    assert await answered(policy, member(LISTED, "invite", JEANNE)) is None


@pytest.mark.parametrize(
    ("permissions", "rule"),
    [
        ({"default": "block"}, Rule.PERMISSIONS),
        ({"default": "block", "exceptions": {"servers": (CITY,)}}, None),
        ({"default": "block", "exceptions": {"users": (LISTED,)}}, None),
        ({"default": "allow", "exceptions": {"servers": (CITY,)}}, Rule.PERMISSIONS),
        ({"default": "allow", "exceptions": {"servers": (HERE,)}}, None),
        ({"default": "everybody"}, Rule.PERMISSIONS),
    ],
    ids=str,
)
async def test_a_partners_invitation_follows_the_setting_too(
    policy: Policy, api: Api, permissions: Mapping[str, Any], rule: Rule | None
) -> None:
    for person in (DOCTOR, JEANNE):
        api.notes[person, PERMISSIONS] = permissions
        assert await answered(policy, member(LISTED, "invite", person)) == rule
        assert await answered(policy, member(CITY_HUB, "invite", person)) is None


async def test_without_the_hubs_list_no_partner_reaches_a_patient(policy: Policy, api: Api) -> None:
    api.notes.clear()
    assert await answered(policy, member(LISTED, "invite", JEANNE)) is Rule.TOGETHER
    assert await answered(policy, member(CITY_HUB, "invite", JEANNE)) is None


@pytest.mark.parametrize(
    ("sender", "kind", "content", "passes"),
    [
        (UNLISTED, "m.room.topic", {"topic": "Tournée"}, True),
        (STRANGER, "m.room.topic", {"topic": "Tournée"}, False),
        (STRANGER, "m.room.member", {"membership": "join"}, False),
        (UNLISTED, "im.vector.modular.widgets", {"url": "https://example.org"}, False),
        (CITY_HUB, "im.vector.modular.widgets", {"url": "https://example.org"}, True),
        (CITY_HUB, "m.room.join_rules", {"join_rule": "public"}, False),
        (CITY_HUB, "m.room.join_rules", {"join_rule": "invite"}, True),
        (CITY_HUB, "m.room.history_visibility", {"history_visibility": "shared"}, False),
        (CITY_HUB, "m.room.guest_access", {"guest_access": "can_join"}, False),
        (CITY_HUB, "m.room.encryption", {"algorithm": "none"}, False),
        (LISTED, "m.room.power_levels", {"users": {LISTED: 100}}, True),  # its own server's to judge
        (DOCTOR, "m.room.topic", {"topic": "la nôtre, qui revient"}, True),
    ],
)
async def test_events_that_break_a_rule_are_dropped_however_they_come(
    policy: Policy, sender: str, kind: str, content: Mapping[str, Any], passes: bool
) -> None:
    arrived = event(sender, kind, content, sender if kind == "m.room.member" else "")
    assert await policy.should_drop_federated_event(arrived) is not passes
    assert (await policy.check_event_for_spam(arrived) == "NOT_SPAM") is passes


async def test_a_strangers_message_is_dropped_and_a_partners_is_not(policy: Policy) -> None:
    assert not await policy.should_drop_federated_event(event(UNLISTED, "m.room.encrypted", {}, None))
    assert await policy.should_drop_federated_event(event(STRANGER, "m.room.encrypted", {}, None))


@pytest.mark.parametrize(
    ("person", "inviter", "there", "rule"),
    [
        (UNLISTED, DOCTOR, DOCTOR, None),
        (UNLISTED, DOCTOR, JEANNE, Rule.TOGETHER),
        (UNLISTED, HUB, JEANNE, None),
        (UNLISTED, None, DOCTOR, Rule.ENTRY),
        (LISTED, DOCTOR, JEANNE, None),
        (STRANGER, DOCTOR, DOCTOR, Rule.SERVER),
    ],
)
async def test_who_of_a_partner_comes_into_our_rooms(
    policy: Policy, person: str, inviter: str | None, there: str, rule: Rule | None
) -> None:
    """Asked when the partner's server wants to join for its user (``/make_join``)."""
    known = [
        event(DOCTOR, "m.room.create", {}),
        event(DOCTOR, "m.room.power_levels", {}),
        member(there, "join"),
    ]
    invited = [member(inviter, "invite", person)] if inviter else []
    state = {(one.type, str(one.state_key)): one for one in (*known, *invited)}
    if rule is None:
        assert await policy.check_event_allowed(member(person, "join"), state) == (True, None)
        return
    with pytest.raises(SynapseError) as said:
        await policy.check_event_allowed(member(person, "join"), state)
    assert translate(Language.FR, rule) in said.value.msg


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"hubs": [HUB]},
        {"hubs": [], "partners": []},
        {"hubs": HUB, "partners": []},
        {"hubs": ["parcours"], "partners": []},
        {"hubs": [HUB], "partners": CITY},
        {"hubs": [HUB], "partners": [""]},
        {"hubs": [HUB], "partners": [], "partner": [CITY]},
    ],
    ids=str,
)
def test_a_configuration_that_is_not_understood_ends_the_start(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Policy.parse_config(config)


async def test_members_that_are_still_being_fetched_are_not_waited_for(policy: Policy, api: Api) -> None:
    """Synapse asks about each of them as it fetches them: to wait would be to wait for ourselves."""
    api.coming_in = True
    invitation = member(LISTED, "invite", DOCTOR)
    assert await policy.check_event_for_spam(invitation) == "NOT_SPAM"


async def test_nobody_of_a_partner_is_brought_beside_our_patients(policy: Policy, api: Api) -> None:
    """Their server does not ask ours whether somebody may come in: the event arrives, and is judged."""
    api.members = [member(DOCTOR, "join"), member(DOCTOR, "invite", JEANNE)]
    for came in (member(LISTED, "invite", UNLISTED), member(UNLISTED, "join")):
        assert await policy.check_event_for_spam(came) == Codes.FORBIDDEN
    assert await policy.check_event_for_spam(member(LISTED, "join")) == "NOT_SPAM"

    api.members.append(member(HUB, "invite", UNLISTED))
    assert await policy.check_event_for_spam(member(UNLISTED, "join")) == "NOT_SPAM"
    api.members[-1] = member(UNLISTED, "join")
    assert await policy.check_event_for_spam(member(UNLISTED, "join")) == "NOT_SPAM"  # a new name

    api.members = [member(DOCTOR, "join"), member(LISTED, "join")]
    assert await policy.check_event_for_spam(member(UNLISTED, "join")) == "NOT_SPAM"  # no patient is there
