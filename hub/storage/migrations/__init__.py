"""How the schema came to be, one step a file in ``versions/``, and where a database stands among them.

To change the schema: edit the tables (``hub/storage/tables.py``, ``care/<feature>/store.py``), copy the
newest file in ``versions/``, give it the next number, name the former one as ``down_revision``, and write
``upgrade``. There is no way back down: a database newer than the program is refused, and its backup
restored. A test compares the migrated schema with the tables, on both databases.
"""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class Version(Enum):
    """A database's schema, seen from this program."""

    OLDER = auto()
    CURRENT = auto()
    NEWER = auto()


def version(connection: Connection) -> Version:
    """Compare a database with this program. An empty one is OLDER; one with steps unknown to us is NEWER."""
    scripts = ScriptDirectory.from_config(_config())
    present = set(MigrationContext.configure(connection).get_current_heads())
    if not present <= {step.revision for step in scripts.walk_revisions()}:
        return Version.NEWER
    return Version.CURRENT if present == set(scripts.get_heads()) else Version.OLDER


def upgrade(connection: Connection) -> None:
    """Take the steps that are missing, inside the caller's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
