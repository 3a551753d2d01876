"""People as the hub knows them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

UserId = NewType("UserId", str)
"""A Matrix user id, such as ``@claire.martin:chu-exemple.fr``. Opaque: only its owner's server gives it a
meaning.
"""

_LONGEST_USER_ID = 255  # bytes, Matrix specification, appendix "Common identifier format"


class Role(StrEnum):
    """What a person is in the care of somebody. Permissions hang on it."""

    PROFESSIONAL = "professional"
    PATIENT = "patient"
    CAREGIVER = "caregiver"
    ADMIN = "admin"
    UNKNOWN = "unknown"


STAFF = frozenset({Role.PROFESSIONAL, Role.ADMIN})
"""Who makes rooms and invites into them; the homeserver's policy asks."""


@dataclass(frozen=True)
class Person:
    """``language`` is an ISO 639-1 code, None until they choose one."""

    user_id: UserId
    role: Role
    display_name: str | None = None
    language: str | None = None

    @property
    def name(self) -> str:
        """How to call them: the name in the directory, or else their Matrix id."""
        return self.display_name or self.user_id

    @property
    def enrolled(self) -> bool:
        return self.role is not Role.UNKNOWN


def user_id(text: str) -> UserId:
    """``text`` as a Matrix user id. Raises ``ValueError`` when it cannot be one."""
    localpart, colon, server = text.partition(":")
    if not (localpart.startswith("@") and len(localpart) > 1 and colon and server):
        raise ValueError("a Matrix user id looks like @name:server")
    if len(text.encode(errors="replace")) > _LONGEST_USER_ID or not text.isprintable() or " " in text:
        raise ValueError("a Matrix user id is short and has no space")
    return UserId(text)


def stream(person: UserId) -> str:
    """The stream of the journal that tells what concerns this person outside any pathway."""
    return f"person:{person}"
