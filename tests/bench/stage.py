"""A homeserver, hubs and people for the cases that need them; no rate limits for any of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.homeserver import accounts
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.matrix.account import AccountFile
from hub.seal import MasterKey, MasterKeyFile, Vault
from hub.storage.engine import Database
from hub.terminal.cast import Credentials
from hub.terminal.person import Person
from tests.bench.raw import Raw
from tests.support.synapse import HUBS, SERVER_NAME, TestHomeserver, free_port, login


@dataclass(frozen=True)
class Stage:
    """Shared by the cases of a run; each case makes accounts and rooms of its own."""

    homeserver: TestHomeserver
    folder: Path
    _admin_token: str = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def set_up(cls, folder: Path) -> AsyncIterator[Stage]:
        """A fresh homeserver for the length of a block."""
        server = EmbeddedHomeserver(folder / "synapse", free_port(), SERVER_NAME, hubs=HUBS)
        await server.start()
        try:
            homeserver = await TestHomeserver.of(server)
            admin, password = await homeserver.new_user("admin", admin=True)
            async with accounts.signed_in(server.url, admin, password) as token:
                yield cls(homeserver, folder, token)
        finally:
            await server.stop()

    def new_folder(self, name: str) -> Path:
        """A folder that nobody used before."""
        made = self.folder / f"{name}-{secrets.token_hex(3)}"
        made.mkdir(mode=0o700)
        return made

    async def unlimited(self, user_id: str) -> None:
        """Lift the rate limits of an account."""
        await accounts.lift_rate_limits(self.homeserver.url, self._admin_token, user_id)

    async def account(self, prefix: str) -> tuple[str, str]:
        """A fresh account without limits: (user id, password)."""
        user_id, password = await self.homeserver.new_user(prefix)
        await self.unlimited(user_id)
        return user_id, password

    @asynccontextmanager
    async def raw(self, prefix: str) -> AsyncIterator[tuple[Raw, str, str]]:
        """A fresh account spoken for in plain HTTP: with its user id and token."""
        user_id, password = await self.account(prefix)
        token = await login(self.homeserver.url, user_id, password)
        async with Raw.speaking(self.homeserver.url, token) as raw:
            yield raw, user_id, token

    @asynccontextmanager
    async def people(self, count: int, db: Database | None = None) -> AsyncIterator[list[Person]]:
        """Signed-in people, professionals in the hub's directory where its database is given."""
        async with AsyncExitStack() as stack:
            found = []
            for _ in range(count):
                user_id, password = await self.account("personne")
                if db is not None:
                    async with db.transaction() as tx:
                        await directory.enrol(tx, user_id, Role.PROFESSIONAL, "Personne", now())
                credentials = Credentials(user_id, password, Role.PROFESSIONAL.value, "Personne")
                folder, key = self.new_folder("person"), MasterKey.generate()
                person = Person.at(self.homeserver.url, credentials, folder, key)
                found.append(await stack.enter_async_context(person))
            yield found


@asynccontextmanager
async def database_of(data: Path) -> AsyncIterator[Database]:
    """The database of a hub that runs, or did, as its own process."""
    vault = Vault(MasterKeyFile(data / "master.key"))
    db = Database.open(f"sqlite+aiosqlite:///{data}/parcours.db", vault)
    try:
        yield db
    finally:
        await db.close()


def token_of(data: Path) -> str:
    """The access token of a hub that is stopped, for a bare program to speak in its place."""
    account = AccountFile(data / "hub", MasterKeyFile(data / "master.key")).load()
    assert account is not None
    return account.access_token
