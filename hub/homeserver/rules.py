"""What the policy says of rooms and people: pure rules, on values. ``policy.py`` asks them inside Synapse.

Each returns the `Rule` that refuses, or None. There are two kinds of people: professionals are those whom the
hub lists; everybody else (patients, caregivers, partners' people whom our hub does not know, accounts that
nobody enrolled) is treated as a patient, so that what is missing or unreadable only ever takes rights away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

ROLES = "fr.parcours.roles"
"""Account data of a hub: ``{"professionals": ["@dr.moreau:chu.example.fr", …]}``, whole at each change."""

PERMISSIONS = "fr.parcours.permissions"
"""Account data of anybody: ``{"default": "allow"|"block", "exceptions": {"users": […], "servers": […]}}``."""

Content = Mapping[str, Any]


class Rule(StrEnum):
    """What refused; the value is the key of its sentence."""

    ALIAS = "policy.alias"
    CREATION = "policy.creation"
    EMAIL = "policy.email"
    ENCRYPTION = "policy.encryption"
    ENTRY = "policy.entry"
    GUESTS = "policy.guests"
    HISTORY = "policy.history"
    HUB_ONLY = "policy.hub_only"
    INVITATION = "policy.invitation"
    PERMISSIONS = "policy.permissions"
    PUBLIC = "policy.public"
    REDACTION = "policy.redaction"
    SERVER = "policy.server"
    TOGETHER = "policy.together"


@dataclass(frozen=True)
class People:
    """Who is who on and around this server. ``professionals`` is what the hubs listed."""

    server: str
    hubs: frozenset[str]
    partners: frozenset[str]
    professionals: frozenset[str] = frozenset()

    def professional(self, user_id: str) -> bool:
        """Whether this is a professional, or a hub."""
        return user_id in self.professionals or user_id in self.hubs

    def our_hub(self, user_id: str | None) -> bool:
        """Whether this is a hub of this server."""
        return user_id is not None and user_id in self.hubs and server_of(user_id) == self.server

    def spoken_to(self, user_id: str) -> bool:
        """Whether the person's server is ours or a partner."""
        return server_of(user_id) in {self.server, *self.partners}

    def patients(self, user_ids: Iterable[str]) -> set[str]:
        """Those who are treated as patients."""
        return {user_id for user_id in user_ids if not self.professional(user_id)}


def server_of(user_id: str) -> str:
    """What stands after the first colon."""
    return user_id.partition(":")[2]


def listed(roles: object) -> frozenset[str]:
    """The professionals of a hub's account data; nobody when it is missing or makes no sense."""
    return frozenset(_texts(roles.get("professionals")) or () if isinstance(roles, Mapping) else ())


def accepts(permissions: object, inviter: str) -> bool:
    """What the invited person's own setting says. Never set: yes. What makes no sense is no."""
    if not permissions:
        return True
    match permissions:
        case {"default": "allow" | "block" as default, **more} if more.keys() <= {"exceptions"}:
            exceptions = more.get("exceptions", {})
        case _:
            return False
    if not isinstance(exceptions, Mapping) or not exceptions.keys() <= {"users", "servers"}:
        return False
    users, servers = _texts(exceptions.get("users", ())), _texts(exceptions.get("servers", ()))
    if users is None or servers is None:
        return False
    excepted = inviter in users or server_of(inviter) in servers
    return excepted if default == "block" else not excepted


def invitation(
    people: People, inviter: str, invitee: str, present: Collection[str], permissions: object
) -> Rule | None:
    """``present``: who is in the room or invited to it. ``permissions``: the invitee's, None for a partner's
    people, whose own server asks them.

    A partner answers for the role of its people; but whom our hub does not list is a patient here: they reach
    our professionals, not our patients.
    """
    if inviter in people.hubs:
        return None if people.spoken_to(invitee) else Rule.SERVER
    if not (people.spoken_to(inviter) and people.spoken_to(invitee)):
        return Rule.SERVER
    if invitee in people.hubs:
        return None
    if server_of(inviter) == people.server and not people.professional(inviter):
        return Rule.INVITATION
    if not accepts(permissions, inviter):
        return Rule.PERMISSIONS
    if people.patients([invitee]) and people.patients({inviter, *present} - {invitee}):
        return Rule.TOGETHER
    return None


def beside(people: People, person: str, invited_by: str | None, present: Collection[str]) -> Rule | None:
    """A partner's person whom a partner brings into a room that we are in.

    Beside our patients only those whom our hub lists, or whom it invited.
    """
    ours = {one for one in people.patients(present) if server_of(one) == people.server}
    known = people.professional(person) or people.our_hub(invited_by)
    return Rule.TOGETHER if ours and not known else None


def entry(people: People, person: str, invited_by: str | None, joined: Collection[str]) -> Rule | None:
    """``joined``: who is in the room already. The second look, for invitations that crossed one another."""
    if not people.spoken_to(person):
        return Rule.SERVER
    if people.professional(person) or invited_by in people.hubs:
        return None
    if invited_by is None:
        return Rule.ENTRY
    return Rule.TOGETHER if people.patients(set(joined) - {person}) else None


def creation(people: People, creator: str, config: Content) -> Rule | None:
    """``config``: the body of ``/createRoom``. Its invitations are judged one by one, by `invitation`."""
    if config.get("visibility") == "public" or config.get("preset") == "public_chat":
        return Rule.PUBLIC
    if config.get("invite_3pid"):
        return Rule.EMAIL
    if config.get("room_alias_name") and creator not in people.hubs:
        return Rule.ALIAS
    invited = config.get("invite") or []
    alone_with_a_hub = len(invited) == 1 and invited[0] in people.hubs
    if not people.professional(creator) and not alone_with_a_hub:
        return Rule.CREATION
    return next(
        (
            rule
            for event in config.get("initial_state") or []
            if event["type"] not in {*FORCED, POWER_LEVELS}  # those are put right, not refused
            and (rule := state(people, creator, event["type"], event["content"]))
        ),
        None,
    )


POWER_LEVELS = "m.room.power_levels"
MEGOLM = "m.megolm.v1.aes-sha2"

FORCED: Mapping[str, Content] = {
    "m.room.encryption": {"algorithm": MEGOLM},
    "m.room.history_visibility": {"history_visibility": "invited"},
    "m.room.guest_access": {"guest_access": "forbidden"},
}
"""In every room from its first moment, unless its maker chose something stricter."""

_WIDGETS = ("im.vector.modular.widgets", "m.widget", "io.element.widgets.layout")

_HUB_ONLY = {
    **dict.fromkeys(_WIDGETS, Rule.HUB_ONLY),
    POWER_LEVELS: Rule.HUB_ONLY,
    "m.room.tombstone": Rule.HUB_ONLY,  # without it, no upgrade: that makes a room beside `creation`
    "m.room.canonical_alias": Rule.ALIAS,
}

LASTING = frozenset({*FORCED, *_HUB_ONLY, "m.room.join_rules"})
"""What a redaction would empty."""


def state(
    people: People, sender: str, kind: str, content: Content, before: Content | None = None
) -> Rule | None:
    """A state event that is no membership; ``before``: what it would replace."""
    if sender not in people.hubs and kind in _HUB_ONLY:
        return _HUB_ONLY[kind]
    match kind:
        case "m.room.encryption" if not _as_strong(content, before or FORCED[kind]):
            return Rule.ENCRYPTION
        case "m.room.history_visibility" if not _as_private(people, sender, content):
            return Rule.HISTORY
        case "m.room.guest_access" if content.get("guest_access") != "forbidden":
            return Rule.GUESTS
        case "m.room.join_rules" if content.get("join_rule") not in _PRIVATE:
            return Rule.PUBLIC
        case "m.room.third_party_invite":
            return Rule.EMAIL
    return None


def partners_state(people: People, sender: str, kind: str, content: Content) -> Rule | None:
    """The same for a partner's event: who has power in a room is its own server's to say."""
    return None if kind in _HUB_ONLY and kind not in _WIDGETS else state(people, sender, kind, content)


def _as_private(people: People, sender: str, content: Content) -> bool:
    """Our hub may open a room's past to who comes later; without its keys (MSC4268) nobody reads it."""
    opened = {"shared"} if people.our_hub(sender) else set()
    return content.get("history_visibility") in {"invited", "joined", *opened}


_PRIVATE = {"invite", "knock", "restricted", "knock_restricted", "private"}

_ROTATION = {"rotation_period_ms": 604_800_000, "rotation_period_msgs": 100}
"""Matrix' own defaults: a week, a hundred messages."""


def _as_strong(content: Content, before: Content) -> bool:
    """The same algorithm, keys renewed at least as often."""
    for key, default in _ROTATION.items():
        period = content.get(key, default)
        if type(period) is not int or not 0 < period <= before.get(key, default):
            return False
    return content.get("algorithm") == MEGOLM


def closed(people: People, creator: str, config: Content) -> dict[str, Any]:
    """What to change in the body of a ``/createRoom`` that `creation` lets pass."""
    given = list(config.get("initial_state") or [])
    kept = [event for event in given if event["type"] not in FORCED or _stricter(people, creator, event)]
    chosen = {event["type"] for event in kept}
    forced = [
        {"type": kind, "state_key": "", "content": dict(content)}
        for kind, content in FORCED.items()
        if kind not in chosen
    ]
    if creator in people.hubs:
        return {"initial_state": kept + forced}
    version = config.get("room_version", HOUSE_VERSION)
    asked = next((event["content"] for event in kept if event["type"] == POWER_LEVELS), None)
    levels = power_levels(
        people,
        creator,
        asked or config.get("power_level_content_override") or {},
        config.get("invite") or [],
        for_equals=config.get("preset") == "trusted_private_chat",
    )
    if version not in _CREATOR_IS_LISTED:
        del levels["users"][creator]
    return {
        "initial_state": [event for event in kept if event["type"] != POWER_LEVELS] + forced,
        "power_level_content_override": levels,
        # The other preset is the same but for whom it raises, in version 12 for ever: we say whom, above.
        "preset": "private_chat",
        "room_version": version,
        "creation_content": {
            key: value
            for key, value in (config.get("creation_content") or {}).items()
            if key != "additional_creators"
        },
    }


def _stricter(people: People, creator: str, event: Content) -> bool:
    return not event.get("state_key") and state(people, creator, event["type"], event["content"]) is None


HOUSE_VERSION = "11"
"""Of a room whose client asks for none, as in ``homeserver-config/shared/rooms.yaml.j2``."""

_CREATOR_IS_LISTED = {str(version) for version in range(1, 12)}
"""From 12 on, creators stand above power levels."""

_EVENTS = {
    "m.room.name": 50,
    "m.room.avatar": 50,
    "m.room.history_visibility": 100,
    "m.room.server_acl": 100,
    "m.room.encryption": 100,
    "m.room.guest_access": 100,
    "m.room.join_rules": 100,
}
"""Synapse's own, and what keeps a room closed."""


def power_levels(
    people: People, creator: str, asked: Content, invited: Collection[str], *, for_equals: bool
) -> dict[str, Any]:
    """The power levels of a room that a person makes, from what the client asked; only the hub changes them.

    Our hubs have all power, even where they are not yet: nobody could give it to them later. Of the others,
    only professionals are raised: as asked, or to the creator's height in a room ``for_equals``. Inviting
    takes no power: it is a matter of `invitation`.
    """
    own_hubs = [hub for hub in people.hubs if server_of(hub) == people.server or hub in invited]
    equals = [one for one in invited if people.professional(one)] if for_equals else []
    users = {user: level for user, level in _levels(asked.get("users")).items() if people.professional(user)}
    users |= dict.fromkeys([creator, *equals, *own_hubs], 100)
    # What a partner's people may do, their server decides: they get no more than a moderator's power here.
    users = {
        user: level if server_of(user) == people.server or user in people.hubs else min(level, 50)
        for user, level in users.items()
    }
    floors = dict.fromkeys(("kick", "ban", "redact", "state_default"), 50)
    return {
        "users": {user: min(level, 100) for user, level in users.items()},
        "users_default": 0,
        "events": _EVENTS | _levels(asked.get("events")) | dict.fromkeys(_HUB_ONLY, 100),
        "events_default": _levels(asked).get("events_default", 0),
        "invite": _levels(asked).get("invite", 0),
        **{key: max(floor, _levels(asked).get(key, floor)) for key, floor in floors.items()},
        "notifications": _levels(asked.get("notifications")),
    }


def _levels(given: object) -> dict[str, int]:
    """Names and whole numbers, and nothing else."""
    if not isinstance(given, Mapping):
        return {}
    return {name: level for name, level in given.items() if type(level) is int}


def _texts(given: object) -> tuple[str, ...] | None:
    """A list of texts; None when it is none. Synapse hands lists out as tuples."""
    if isinstance(given, list | tuple) and all(isinstance(text, str) for text in given):
        return tuple(given)
    return None
