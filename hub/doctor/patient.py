"""Who is examined: a hub that runs, from inside; or, beside it or without it, what lies on its disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from hub import ready
from hub.config import Settings
from hub.errors import OperatorError
from hub.matrix import checkup
from hub.matrix.account import Account, AccountFile
from hub.matrix.checkup import KeySupply
from hub.matrix.client import Client
from hub.matrix.member import Member
from hub.seal import Master, MasterKey, MasterKeyFile, Vault
from hub.storage.engine import Database


class Patient(Protocol):
    """The parts of a hub. Asking for one that cannot be had raises an OperatorError that says why."""

    @property
    def settings(self) -> Settings: ...
    @property
    def running(self) -> bool: ...
    @property
    def account(self) -> Account: ...
    @property
    def db(self) -> Database: ...
    @property
    def client(self) -> Client: ...

    async def key_supply(self) -> KeySupply: ...


@dataclass(frozen=True)
class Awake:
    """The hub of this process."""

    settings: Settings
    db: Database
    member: Member
    running: bool = True

    @property
    def account(self) -> Account:
        return self.member.account

    @property
    def client(self) -> Client:
        return self.member.client

    async def key_supply(self) -> KeySupply:
        """By the last sync's word."""
        return KeySupply(self.member.one_time_keys or 0, not self.member.client.fallback_key_used)


class OnDisk:
    """The hub whose data folder this is. Nothing is made, upgraded or signed in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def running(self) -> bool:
        """Whether a hub of this folder says that it is ready."""
        return ready.found(self.settings.data) is not None

    @cached_property
    def master(self) -> Master:
        return MasterKey.from_env() or MasterKeyFile(self.settings.data / "master.key")

    @cached_property
    def account(self) -> Account:
        found = AccountFile(self.settings.data / "hub", self.master).load()
        if found is None:
            raise OperatorError("identity.none", data=str(self.settings.data))
        return found

    @cached_property
    def db(self) -> Database:
        url = self.settings.database_url()
        path = sqlite_file(self.settings)
        if path is not None and not path.exists():  # opening it would make an empty one
            raise OperatorError("database.unreachable", database=str(path))
        return Database.open(url, Vault(self.master))

    @cached_property
    def client(self) -> Client:
        account, folder = self.account, self.settings.data / "hub" / "keys"
        if not (folder / f"{account.device_id}.db").exists():
            raise OperatorError("matrix.store_corrupt", path=str(folder))
        url = self.settings.homeserver.url or account.homeserver
        client = Client(url, account.user_id, account.device_id, folder, account.pickle_key)
        client.restore_login(account.user_id, account.device_id, account.access_token)
        return client

    async def key_supply(self) -> KeySupply:
        """Asked for: no sync told us."""
        return await checkup.key_supply(self.client)

    async def close(self) -> None:
        """Close what was opened."""
        opened = vars(self)
        if "client" in opened:
            await self.client.close()
            if self.client.store is not None:
                self.client.store.database.close()
        if "db" in opened:
            await self.db.close()


def sqlite_file(settings: Settings) -> Path | None:
    """The file of the database; None for a server."""
    scheme, _, path = settings.database_url().partition(":///")
    return Path(path) if scheme == "sqlite+aiosqlite" else None
