"""Use cases of the directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from hub.care.directory import store
from hub.care.directory.model import STAFF, Person, Role, UserId, stream
from hub.storage.unit_of_work import UnitOfWork

OPERATOR = "operator"
"""Who did it, in the journal, when it was done on the command line of the hub and not by a message."""


async def find(tx: UnitOfWork, user_id: str) -> Person:
    """The person behind a Matrix account; ``Role.UNKNOWN`` when nobody enrolled them."""
    found = await store.find(tx.connection, UserId(user_id))
    return found or Person(UserId(user_id), Role.UNKNOWN)


async def staff(tx: UnitOfWork) -> set[UserId]:
    """The professionals and administrators, some thousands at most."""
    return await store.having(tx.connection, STAFF)


async def enrol(
    tx: UnitOfWork,
    user_id: str,
    role: Role,
    display_name: str | None,
    now: datetime,
    *,
    by: str = OPERATOR,
    cause: str | None = None,
) -> Person:
    """Give a person a role and a name; their language stays theirs. Enrolling the same twice changes nothing.

    Raises ``ValueError`` for ``Role.UNKNOWN``: it is the absence of a role, not one to give.
    """
    if role is Role.UNKNOWN:
        raise ValueError("unknown is not a role to enrol somebody in")
    before = await find(tx, user_id)
    person = replace(before, role=role, display_name=display_name)
    if person != before:
        await store.enrol(tx.connection, person, now)
        await _note(tx, person, "PersonEnrolled", {"role": role.value}, now, by, cause)
    return person


async def choose_language(tx: UnitOfWork, person: Person, language: str, now: datetime, cause: str) -> Person:
    """Answer ``person`` in ``language`` (an ISO 639-1 code) from now on, enrolled or not."""
    if person.language == language:
        return person
    changed = replace(person, language=str(language))
    await store.choose_language(tx.connection, changed, now)
    await _note(tx, person, "LanguageChosen", {"language": language}, now, person.user_id, cause)
    return changed


async def verified(
    tx: UnitOfWork, user_id: str, device_id: str, now: datetime, *, by: str = OPERATOR
) -> None:
    """Note that ``by`` compared codes with a person, on that device of theirs, and found them the same."""
    person = await find(tx, user_id)
    await _note(tx, person, "PersonVerified", {"device_id": device_id}, now, by, None)


async def _note(
    tx: UnitOfWork,
    person: Person,
    name: str,
    payload: Mapping[str, str],
    at: datetime,
    by: str,
    cause: str | None,
) -> None:
    data = json.dumps(payload).encode()
    await tx.journal.append(stream(person.user_id), name, data, at=at, by=by, cause=cause)
