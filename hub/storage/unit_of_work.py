"""One transaction, and every store as it sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection

from hub.seal import Vault
from hub.storage.identities import Identities
from hub.storage.inbox import Inbox
from hub.storage.journal import Journal
from hub.storage.keys import Keys
from hub.storage.leases import Leases
from hub.storage.outbox import Outbox
from hub.storage.rooms import Rooms
from hub.storage.sync import Sync
from hub.storage.verifications import VerificationTable
from hub.storage.waiting import WaitingRoom


class UnitOfWork:
    """What happens through it happens together or not at all. Features use ``connection`` for theirs."""

    def __init__(self, connection: AsyncConnection, vault: Vault) -> None:
        self.connection = connection
        self.keys = Keys(connection, vault)
        self.sync = Sync(connection)
        self.inbox = Inbox(connection, self.keys)
        self.outbox = Outbox(connection, self.keys)
        self.rooms = Rooms(connection, self.keys)
        self.waiting = WaitingRoom(connection, self.keys)
        self.journal = Journal(connection, self.keys)
        self.leases = Leases(connection)
        self.identities = Identities(connection)
        self.verifications = VerificationTable(connection)
        self.on_commit: list[Callable[[], None]] = []
        """Called once it is committed, in order: counting and ringing, nothing that can fail or wait."""

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that is undone by itself when it raises."""
        try:
            async with self.connection.begin_nested():
                yield
        except BaseException:
            self.keys.forget()  # a key made in the part that is undone would seal what nobody could open
            raise
