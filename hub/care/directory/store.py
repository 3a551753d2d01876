"""People ↔ SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Column, Table, Text, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.care.directory.model import Person, Role, UserId
from hub.storage.tables import Moment, insert, metadata

people = Table(
    "people",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("display_name", Text),
    Column("language", Text),
    Column("enrolled_at", Moment, nullable=False),
)

_FIND = select(people).where(people.c.user_id == bindparam("of"))  # built once: every message asks


async def find(connection: AsyncConnection, user_id: UserId) -> Person | None:
    """Whoever has a row, enrolled or not."""
    row = (await connection.execute(_FIND, {"of": user_id})).one_or_none()
    if row is None:
        return None
    return Person(user_id, Role(row.role), row.display_name, row.language)


async def having(connection: AsyncConnection, roles: Collection[Role]) -> set[UserId]:
    """Everybody in one of these roles."""
    wanted = select(people.c.user_id).where(people.c.role.in_([role.value for role in roles]))
    return {UserId(user_id) for user_id in (await connection.execute(wanted)).scalars()}


async def enrol(connection: AsyncConnection, person: Person, now: datetime) -> None:
    """Write role and name; a language already chosen stays."""
    values = {"role": person.role.value, "display_name": person.display_name, "enrolled_at": now}
    row = insert(people).values(user_id=person.user_id, **values)
    await connection.execute(row.on_conflict_do_update(index_elements=[people.c.user_id], set_=values))


async def choose_language(connection: AsyncConnection, person: Person, now: datetime) -> None:
    """Write the language alone: whoever changes somebody's role at the same moment is not undone."""
    row = insert(people).values(
        user_id=person.user_id, role=person.role.value, enrolled_at=now, language=person.language
    )
    changed = {"language": person.language}
    await connection.execute(row.on_conflict_do_update(index_elements=[people.c.user_id], set_=changed))
