"""The reminder that nobody reads a room as an emergency call."""

from __future__ import annotations

from hub.care.directory.model import Person, Role

_STAFF = frozenset({Role.PROFESSIONAL, Role.ADMIN})


def emergency(person: Person) -> object:
    """A fact: the sentence for everybody but professionals, nothing for them.

    "Langue gonflée" is no command with a wrong argument: whoever was not understood may be calling for help.
    """
    return "" if person.role in _STAFF else ("emergency", {})
