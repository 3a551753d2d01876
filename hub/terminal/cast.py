"""The demonstration's people. Nobody here exists."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hub.care.directory.model import Role
from hub.errors import OperatorError


@dataclass(frozen=True)
class Part:
    """An account to be made."""

    localpart: str
    display_name: str
    role: Role


CAST: Sequence[Part] = (
    Part("admin", "Administration Parcours", Role.ADMIN),
    Part("dr.moreau", "Dr Camille Moreau, chirurgie", Role.PROFESSIONAL),
    Part("ide.lefevre", "Nadia Lefèvre, infirmière", Role.PROFESSIONAL),
    Part("dr.garcia", "Dr Luis Garcia, médecin traitant", Role.PROFESSIONAL),
    Part("kine.petit", "Hugo Petit, kinésithérapeute", Role.PROFESSIONAL),
    Part("jeanne.martin", "Jeanne Martin", Role.PATIENT),
    Part("paul.durand", "Paul Durand", Role.PATIENT),
    Part("alice.martin", "Alice Martin, aidante", Role.CAREGIVER),
)

PRACTICE: Sequence[Part] = (Part("dr.faure", "Dr Anne Faure, médecin traitante en ville", Role.PROFESSIONAL),)
"""Those of the city practice, which has a homeserver of its own."""


@dataclass(frozen=True)
class Credentials:
    """An account that somebody can sign in with."""

    user_id: str
    password: str = field(repr=False)
    role: str
    display_name: str

    @property
    def localpart(self) -> str:
        """The short name, as typed when signing in."""
        return self.user_id[1:].partition(":")[0]


def read(path: Path) -> list[Credentials]:
    """The accounts of a data folder; none where no file is. Raises OperatorError ``accounts.unreadable``."""
    try:
        return [Credentials(**kept) for kept in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as fault:
        raise OperatorError("accounts.unreadable", path=str(path)) from fault


def write(path: Path, accounts: Sequence[Credentials]) -> None:
    """Replace the file; only its owner can read it."""
    text = json.dumps([asdict(account) for account in accounts], indent=2, ensure_ascii=False)
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
    temporary.replace(path)


def credentials(user_id: str, part: Part) -> Credentials:
    """A part's account under this user id, with a new password."""
    return Credentials(user_id, new_password(), part.role.value, part.display_name)


def new_password() -> str:
    """Long enough for a demonstration on a laptop, short enough to be typed."""
    return "-".join(secrets.token_hex(2) for _ in range(4))
