"""Who may do what: a pure question, asked before a command's arguments are even read."""

from __future__ import annotations

from hub.care.directory.model import Person
from hub.commands.command import Command
from hub.commands.emergency import emergency
from hub.commands.permissions import PERMISSIONS
from hub.errors import Refusal


def may(person: Person, command: Command) -> bool:
    """Whether ``person`` may use ``command``. A role that nobody wrote down may nothing."""
    return command.needs in PERMISSIONS.get(person.role, frozenset())


def authorise(person: Person, command: Command) -> None:
    """Raises the :class:`Refusal` that says what this person can do instead."""
    if may(person, command):
        return
    if not person.enrolled:
        raise Refusal("person.unknown", user_id=person.user_id, emergency=emergency(person))
    raise Refusal("command.forbidden", role=person.role)
