"""The spine's tables, and the metadata that features add theirs to (``care/<feature>/store.py``).

A change here goes with a migration: a test compares the two on both databases.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

insert = postgresql.insert
"""INSERT with ON CONFLICT. Both databases spell it alike, and SQLAlchemy renders this construct for both."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Since the epoch, rounded down. A naive datetime is a mistake and raises ValueError."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as milliseconds since the epoch: the same, exactly, on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else milliseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(milliseconds=value)


Serial = BigInteger().with_variant(Integer, "sqlite")
"""A number that counts up by itself; SQLite does so for INTEGER alone."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # 8 random bytes; stands at the head of every box it sealed
    Column("scope", Text, nullable=False),
    Column("wrapped", LargeBinary),  # the id of the master key, then the key; NULL once erased
)
# At most one living key a scope; erased ones stay, so that their rows are known as erased rather than broken.
Index(
    "uq_data_keys_living",
    data_keys.c.scope,
    unique=True,
    sqlite_where=data_keys.c.wrapped.is_not(None),
    postgresql_where=data_keys.c.wrapped.is_not(None),
)

sync_positions = Table(
    "sync_positions",
    metadata,
    Column("account", Text, primary_key=True),
    Column("next_batch", Text, nullable=False),
    Column("first_start", Moment, nullable=False),
    Column("saved_at", Moment, nullable=False),
)

# A queue's row is "new" until it is "done" or "parked"; "erased" when its key went first, "withdrawn" when
# its room did, "dropped" when an operator gave it up.
_NEW = text("state = 'new'")

inbox = Table(
    "inbox",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("account", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("session_id", Text),
    Column("message_index", BigInteger),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("settled_at", Moment),
    Column("reference", Text),
    UniqueConstraint("account", "event_id"),
    # One Megolm message counts once, whatever event carries it: the specification's replay check, kept over
    # restarts.
    UniqueConstraint("account", "session_id", "message_index", "sender"),
)
# Partial: the queues stay as quick as their backlog is short, however many rows were dealt with before.
Index("ix_inbox_new", inbox.c.account, inbox.c.id, sqlite_where=_NEW, postgresql_where=_NEW)
Index(
    "ix_inbox_new_room",
    inbox.c.account,
    inbox.c.room_id,
    inbox.c.id,
    sqlite_where=_NEW,
    postgresql_where=_NEW,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("account", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("txn_id", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queued_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("settled_at", Moment),
    Column("event_id", Text),
    Column("reference", Text),
    UniqueConstraint("account", "txn_id"),
)
Index("ix_outbox_new", outbox.c.account, outbox.c.id, sqlite_where=_NEW, postgresql_where=_NEW)
Index(
    "ix_outbox_new_room",
    outbox.c.account,
    outbox.c.room_id,
    outbox.c.id,
    sqlite_where=_NEW,
    postgresql_where=_NEW,
)

waiting = Table(
    "waiting",
    metadata,
    Column("account", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("room_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("since", Moment, nullable=False),
    Column("told", Boolean, nullable=False),
    Index("ix_waiting_session", "account", "room_id", "session_id"),
)

# Append-only: triggers in the database refuse UPDATE and DELETE (see the migration).
journal = Table(
    "journal",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text),
    Column("payload", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

# The end of each stream. Its row is the lock that makes two writers take turns; its proof is the last hash,
# sealed, without which a stream could be cut short unseen.
journal_heads = Table(
    "journal_heads",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("proof", LargeBinary, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("account", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("master_key", Text, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("changed_to", Text),
    Column("changed_at", Moment),
    Column("accepted_by", Text),
)

# Where the hub and an operator at a terminal meet: he writes ``answer``, and the hub everything else.
verifications = Table(
    "verifications",
    metadata,
    Column("account", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("device_id", Text, nullable=False),
    Column("room_id", Text),
    Column("stage", Text, nullable=False),
    Column("code", Text),
    Column("reason", Text),
    Column("answer", Text),
    Column("asked_at", Moment, nullable=False),
    Column("settled_at", Moment),
)

# What an account knows of its rooms, kept with the sync position that it belongs to.
rooms = Table(
    "rooms",
    metadata,
    Column("account", Text, primary_key=True),
    Column("room_id", Text, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)
