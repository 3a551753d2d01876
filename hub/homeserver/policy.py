"""The policy: what every room keeps to, enforced by Synapse itself, whatever the client and whoever asks.

Synapse loads this module into each of its processes (``homeserver-config/shared/policy.yaml.j2``); it is the
only one here that runs there and imports Synapse. ``rules.py`` decides; this is where Synapse asks:

    a room is made            ``on_create_room``, before anything of it exists
    a local event is made     ``check_event_allowed``: invitations, entries, state; for administrators too
    a partner invites         ``federated_user_may_invite``
    a partner's event comes   ``should_drop_federated_event``; ``check_event_for_spam`` for what is fetched

Nothing asks the hub: it may be down. Who is a professional stands in the account data of the hub's own
account, in Synapse's database: it is there as long as Synapse is, every worker hears of a change, the hub may
run on another computer, and nobody but the hub writes it, whole, in one request (``roles.py``). Only
professionals are listed, some thousands at most: everybody else has the fewest rights anyway, so a list that
is missing, broken or late refuses and never allows.

The log gets the name of the rule that refused, no id and no content.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from synapse.module_api import (
    NOT_SPAM,
    EventBase,
    JsonDict,
    ModuleApi,
    Requester,
    RoomAlias,
    StateMap,
    UserID,
)
from synapse.module_api.errors import Codes, ConfigError, SynapseError

from hub.homeserver import rules
from hub.homeserver.rules import People, Rule
from hub.locale import Language, translate

log = logging.getLogger(__name__)  # Synapse's log: the hub's own is in another process

Spam = Literal["NOT_SPAM"] | Codes


@dataclass(frozen=True)
class Config:
    """``hubs``: user ids of the hubs, ours and partners'. ``partners``: names of the servers spoken to.
    ``professionals``: user ids, where no hub of this server lists them."""

    hubs: frozenset[str]
    partners: frozenset[str]
    professionals: frozenset[str]


class Policy:
    """One for each process of Synapse, for its whole life."""

    def __init__(self, config: Config, api: ModuleApi) -> None:
        self._config = config
        self._api = api
        self._server = api.server_name
        api.register_third_party_rules_callbacks(
            on_create_room=self.on_create_room,
            check_event_allowed=self.check_event_allowed,
            check_threepid_can_be_invited=self.check_threepid_can_be_invited,
            check_visibility_can_be_modified=self.check_visibility_can_be_modified,
        )
        api.register_spam_checker_callbacks(
            check_event_for_spam=self.check_event_for_spam,
            federated_user_may_invite=self.federated_user_may_invite,
            should_drop_federated_event=self.should_drop_federated_event,
            user_may_create_room_alias=self.user_may_create_room_alias,
            user_may_join_room=self.user_may_join_room,
            user_may_publish_room=self.user_may_publish_room,
        )

    @staticmethod
    def parse_config(config: JsonDict) -> Config:
        """Raises ConfigError, which ends Synapse's start, for a key that is unknown, missing or malformed."""
        if unknown := config.keys() - {"hubs", "partners", "professionals"}:
            raise ConfigError(f"the policy knows no {', '.join(sorted(unknown))}", ["config"])
        hubs, partners, staff = config.get("hubs"), config.get("partners"), config.get("professionals", [])
        if not hubs or not isinstance(hubs, list) or not all(map(UserID.is_valid, hubs)):
            raise ConfigError("hubs: a list of user ids, at least one", ["config", "hubs"])
        if not isinstance(partners, list) or not all(isinstance(name, str) and name for name in partners):
            raise ConfigError("partners: a list of server names", ["config", "partners"])
        if not isinstance(staff, list) or not all(map(UserID.is_valid, staff)):
            raise ConfigError("professionals: a list of user ids", ["config", "professionals"])
        return Config(frozenset(hubs), frozenset(partners), frozenset(staff))

    # ---- rooms

    async def on_create_room(self, requester: Requester, config: JsonDict, is_admin: bool) -> None:
        """Refuse, or change ``config`` in place: a room is closed and encrypted before anybody is in it."""
        creator, people = requester.user.to_string(), await self._people()
        _enforce(rules.creation(people, creator, config))
        present = [creator]
        for invitee in config.get("invite") or []:
            _enforce(await self._invitation(people, creator, invitee, present))
            present.append(invitee)
        config.update(rules.closed(people, creator, config))

    async def check_event_allowed(self, event: EventBase, state: StateMap[EventBase]) -> tuple[bool, None]:
        """Any event that this server makes, and what it proposes to partners' people who want to come in."""
        _enforce(await self._event(event, state))
        return True, None

    async def _event(self, event: EventBase, state: StateMap[EventBase]) -> Rule | None:
        if event.type == "m.room.redaction":
            erased = (event.redacts, event.content.get("redacts"))  # before and since room version 11
            lasting = [one.event_id for (kind, _), one in state.items() if kind in rules.LASTING]
            return Rule.REDACTION if any(event_id in lasting for event_id in erased) else None
        if not event.is_state():
            return None
        if event.type == "m.room.member":
            return await self._membership(event, state)
        if (
            event.type == rules.POWER_LEVELS
            and (event.type, "") not in state
            and _is_founder(event.sender, state)
        ):
            return None  # the first, as `rules.closed` wrote them
        before = state.get((event.type, event.state_key))
        return rules.state(
            self._unnamed, event.sender, event.type, event.content, before.content if before else None
        )

    async def _membership(self, event: EventBase, state: StateMap[EventBase]) -> Rule | None:
        people, person = await self._people(), event.state_key
        match event.membership:
            case "invite":
                present = _members(state, "join", "invite")
                return await self._invitation(people, event.sender, person, present)
            case "join":
                if person in _members(state, "join"):  # a new name or picture
                    return None
                if (rules.POWER_LEVELS, "") not in state and _is_founder(person, state):
                    return None
                asked = state.get(("m.room.member", person))
                inviter = asked.sender if asked and asked.membership == "invite" else None
                return rules.entry(people, person, inviter, _members(state, "join"))
            case "knock":
                return rules.entry(people, person, None, ())
        return None

    async def check_threepid_can_be_invited(
        self, medium: str, address: str, state: StateMap[EventBase]
    ) -> bool:
        """Nobody knows who will read that mail."""
        return False

    async def check_visibility_can_be_modified(
        self, room_id: str, state: StateMap[EventBase], visibility: str
    ) -> bool:
        """No room is listed, by whomever."""
        return visibility != "public"

    async def user_may_publish_room(self, user_id: str, room_id: str) -> Spam:
        """Said before the callback above, with a sentence."""
        _enforce(Rule.PUBLIC)
        return NOT_SPAM

    async def user_may_create_room_alias(self, user_id: str, alias: RoomAlias) -> Spam:
        """An address is for a room that strangers may find."""
        _enforce(None if user_id in self._config.hubs else Rule.ALIAS)
        return NOT_SPAM

    async def user_may_join_room(self, user_id: str, room_id: str, is_invited: bool) -> Spam:
        """For a partner's rooms, whose members we do not know yet; in ours, `_membership` looks again."""
        people = await self._people()
        _enforce(None if is_invited or people.professional(user_id) else Rule.ENTRY)
        return NOT_SPAM

    # ---- partners

    async def federated_user_may_invite(self, event: EventBase) -> Spam:
        """An invitation to one of our people; the sentence goes back to who invites."""
        _enforce(await self._from_partner(event))
        return NOT_SPAM

    async def should_drop_federated_event(self, event: EventBase) -> bool:
        """Events as they arrive. Invitations pass, to be answered with a sentence or found out just below."""
        return _noted(self._foreign(event)) is not None

    async def check_event_for_spam(self, event: EventBase) -> Spam:
        """Every event, however it came: a partner's that breaks a rule stays out of the room, emptied."""
        if self._api.is_mine(event.sender):
            return NOT_SPAM  # `check_event_allowed` saw it
        return NOT_SPAM if _noted(await self._from_partner(event)) is None else Codes.FORBIDDEN

    async def _from_partner(self, event: EventBase) -> Rule | None:
        if rule := self._foreign(event):
            return rule
        if event.type != "m.room.member" or event.membership not in ("invite", "join"):
            return None
        members, person = await self._members_of(event.room_id), event.state_key
        present = [one for one in _members(members, "join", "invite") if one != person]
        if event.membership == "invite" and self._api.is_mine(person):
            return await self._invitation(await self._people(), event.sender, person, present)
        before = members.get(("m.room.member", person))
        if before is not None and before.membership == "join":
            return None
        invited = event if event.membership == "invite" else before
        return rules.beside(await self._people(), person, invited.sender if invited else None, present)

    async def _members_of(self, room_id: str) -> StateMap[EventBase]:
        """Whoever is in a room, as far as this server is in it itself.

        Just after one of our people came into a partner's room, Synapse fetches the members and asks us about
        each: to wait for them here would be to wait for ourselves. Who meets whom is looked at again as
        somebody comes in.
        """
        if await self._api._store.is_partial_state_room(room_id):  # type: ignore[misc, call-arg, arg-type]
            return {}
        return await self._api.get_room_state(room_id, [("m.room.member", None)])

    def _foreign(self, event: EventBase) -> Rule | None:
        """What can be said of a partner's event by itself."""
        if not self._unnamed.spoken_to(event.sender):
            return Rule.SERVER
        if not event.is_state():
            return None
        return rules.partners_state(self._unnamed, event.sender, event.type, event.content)

    # ---- people

    async def _invitation(
        self, people: People, inviter: str, invitee: str, present: list[str]
    ) -> Rule | None:
        mine = self._api.is_mine(invitee)
        permissions = await self._account_data(invitee, rules.PERMISSIONS) if mine else None
        return rules.invitation(people, inviter, invitee, present, permissions)

    @property
    def _unnamed(self) -> People:
        """Enough where professionals do not matter."""
        return People(self._server, self._config.hubs, self._config.partners)

    async def _people(self) -> People:
        professionals = set(self._config.professionals)
        for hub in self._config.hubs:
            if self._api.is_mine(hub):
                professionals |= rules.listed(await self._account_data(hub, rules.ROLES))
        return People(self._server, self._config.hubs, self._config.partners, frozenset(professionals))

    async def _account_data(self, user_id: str, kind: str) -> Mapping[str, Any] | None:
        return await self._api.account_data_manager.get_global(user_id, kind)


def _members(state: StateMap[EventBase], *memberships: str) -> list[str]:
    return [
        person
        for (kind, person), event in state.items()
        if kind == "m.room.member" and event.membership in memberships
    ]


def _is_founder(user_id: str, state: StateMap[EventBase]) -> bool:
    create = state.get(("m.room.create", ""))
    return create is not None and create.sender == user_id


def _noted(rule: Rule | None) -> Rule | None:
    if rule is not None:
        log.warning("%s", rule.value)
    return rule


def _enforce(rule: Rule | None) -> None:
    """Raise what a client shows. Synapse knows no reader's language, so the sentence comes in both."""
    if rule := _noted(rule):
        said = (translate(language, rule) for language in (Language.FR, Language.EN))
        raise SynapseError(403, " / ".join(said), Codes.FORBIDDEN)
