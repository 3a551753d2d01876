"""What each role may do. Whatever is not written here is refused.

To add a permission: a member of :class:`Permission`, then the roles that hold it. Both lines are read
together in review.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from hub.care.directory.model import Role


class Permission(StrEnum):
    """What a command needs."""

    SEE_HELP = "see_help"
    CHOOSE_LANGUAGE = "choose_language"
    SEE_SELF = "see_self"


# Somebody nobody enrolled may find out what to do about it, in a language they read: nothing else.
_ANYBODY: Final = frozenset({Permission.SEE_HELP, Permission.CHOOSE_LANGUAGE})
_ENROLLED: Final = _ANYBODY | {Permission.SEE_SELF}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.UNKNOWN: _ANYBODY,
        Role.PATIENT: _ENROLLED,
        Role.CAREGIVER: _ENROLLED,
        Role.PROFESSIONAL: _ENROLLED,
        Role.ADMIN: _ENROLLED,
    }
)
