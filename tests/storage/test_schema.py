"""The migrations lead to the tables that the code declares."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

import hub.care
from hub.errors import OperatorError
from hub.seal import Vault
from hub.storage.engine import Database
from hub.storage.tables import metadata
from tests.support.databases import Backend


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    found: list[Any] = compare_metadata(context, metadata)
    return found


async def test_migrated_and_declared_are_the_same(database: Database) -> None:
    for module in pkgutil.walk_packages(hub.care.__path__, "hub.care."):
        if module.name.endswith(".store"):
            importlib.import_module(module.name)
    async with database.transaction() as tx:
        assert await tx.connection.run_sync(differences) == []


async def test_an_empty_database_is_brought_up_to_date_and_again_is_nothing_new(
    empty: Backend, vault: Vault
) -> None:
    database = Database.open(empty.url, vault)
    with pytest.raises(OperatorError) as outdated:
        await database.check()
    assert outdated.value.code == "database.outdated"
    await database.upgrade()
    await database.check()
    await database.upgrade()
    await database.check()
    await database.close()


async def test_a_database_newer_than_the_program_is_left_alone(database: Database, backend: Backend) -> None:
    await backend.execute("UPDATE alembic_version SET version_num = '9999'")
    for attempt in (database.check, database.upgrade):
        with pytest.raises(OperatorError) as newer:
            await attempt()
        assert newer.value.code == "database.newer"
    assert await backend.execute("SELECT version_num FROM alembic_version") == [("9999",)]
