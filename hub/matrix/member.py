"""One account, online: its device, rooms, trust and voice, opened and closed together.

The hub and the people of ``parcours demo`` and ``parcours chat`` are members alike: the same client code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self
from uuid import uuid4

from hub.errors import OperatorError
from hub.matrix import backup, history, identity, signing
from hub.matrix.account import Account, AccountFile, new_device_id, new_pickle_key
from hub.matrix.backfill import Backfill
from hub.matrix.backup import Backup
from hub.matrix.batch import Batch, ToDevice, Withheld
from hub.matrix.client import Client, MatrixError, Unreachable, path
from hub.matrix.outbound import Outbound
from hub.matrix.rooms import RoomBook
from hub.matrix.secret_storage import RecoveryKey
from hub.matrix.secret_store import SecretStore
from hub.matrix.trust import Pins, Policy, TrustBook
from hub.observe import Log

log = Log(__name__)


class NotInvited(Exception):
    """The room does not let us in."""


@dataclass(frozen=True)
class Restored:
    """What came back: under which device, how many room keys, and how many other sessions were ended."""

    user_id: str
    device_id: str
    keys: int
    sessions: int


@dataclass
class Member:
    """An account that is signed in, cross-signed and ready to sync."""

    account: Account
    file: AccountFile
    client: Client
    trust: TrustBook
    rooms: RoomBook = field(default_factory=RoomBook)
    one_time_keys: int | None = None  # on the server, by its last word
    to_device: list[ToDevice] = field(default_factory=list)  # since the last batch kept
    taken: set[str] = field(default_factory=set)  # to-device messages since the last batch kept
    withheld: dict[tuple[str, str, str], Withheld] = field(default_factory=dict)  # room, session, sender
    new_keys: set[tuple[str, str]] = field(default_factory=set)  # (room, session) since the last batch kept
    backfills: dict[str, Backfill] = field(default_factory=dict)
    """By room: what was fetched of a past that could not be fetched at once."""
    backup: Backup | None = None
    shares_history: history.Allows = history.never
    """Whether who is invited into a room may read what was said in it before."""
    outbound: Outbound = field(init=False)

    def __post_init__(self) -> None:
        self.outbound = Outbound(self)

    @property
    def user_id(self) -> str:
        """Our full Matrix id."""
        return self.account.user_id

    @classmethod
    async def open(cls, file: AccountFile, account: Account, pins: Pins, policy: Policy) -> Self:
        """Sign in (again, if need be), publish keys, make the cross-signing chain whole.

        Raises OperatorError with what to do; what stays half-made is finished by the next call.
        """
        try:
            client, account = await _signed_in(file, account)
        except Unreachable as fault:
            raise OperatorError("homeserver.unreachable", url=account.homeserver) from fault
        try:
            if account.restoring:
                raise OperatorError("recovery.unfinished", user_id=account.user_id)
            await client.upload_keys(one_time_keys_on_server=None)
            account = await identity.establish(client, account, file)
            if account.former_device:
                await identity.sign_out_others(client, account, [account.former_device])
                account = file.update(account, former_device="")
        except BaseException as fault:
            await client.close()
            if isinstance(fault, Unreachable):
                raise OperatorError("homeserver.unreachable", url=account.homeserver) from fault
            if isinstance(fault, MatrixError):
                raise OperatorError("account.keys_refused", errcode=fault.errcode) from fault
            raise
        own_master_key = signing.public_key(account.seeds.master) if account.seeds else None
        return cls(account, file, client, TrustBook(client, pins, policy, own_master_key))

    async def close(self) -> None:
        """Close connections; what was not sent stays in the outbox."""
        await self.client.close()
        if self.client.store is not None:
            self.client.store.database.close()

    def move_on(self, batch: Batch) -> None:
        """A batch was kept: what it says of rooms and keys holds from now on."""
        for room in batch.rooms:
            self.rooms.update(room)
        self.new_keys -= batch.keys
        self.taken.clear()
        del self.to_device[: len(batch.to_device)]

    async def keep_up(self) -> None:
        """What a device owes the others after each sync: fresh one-time keys, repaired Olm sessions."""
        await self.client.upload_keys(one_time_keys_on_server=self.one_time_keys)
        olm = self.client.machine
        if olm.wedged_devices:
            await self.client.claim_keys(olm.get_users_for_key_claiming())
            olm.wedged_devices.clear()  # who had no key to claim is tried when it fails again
        while olm.outgoing_to_device_messages:
            message = olm.outgoing_to_device_messages.pop(0)
            await self.client.call("PUT", path("sendToDevice", message.type, uuid4().hex), message.as_dict())

    async def back_up(self) -> int:
        """Send to the backup what it lacks; returns how many keys.

        It is opened or made first, and with the next call when it was taken away. Raises as Client.call does,
        and OperatorError.
        """
        if self.backup is None:
            self.backup, self.account = await backup.opened(self.client, self.account, self.file)
        try:
            return await self.backup.save()
        except MatrixError as refused:
            if refused.errcode in ("M_WRONG_ROOM_KEYS_VERSION", "M_NOT_FOUND"):
                self.backup = None
            raise

    async def join(self, room_id: str) -> str:
        """Join a room we were invited to; joining twice is joining once. Returns the room id.

        Raises NotInvited when the invitation was taken back, or the room is gone.
        """
        try:
            return str((await self.client.call("POST", path("join", room_id), {}))["room_id"])
        except MatrixError as refused:
            if refused.errcode in ("M_FORBIDDEN", "M_NOT_FOUND"):
                raise NotInvited from refused
            raise

    async def invite(self, room_id: str, user_id: str, *, with_history: bool = False) -> None:
        """Ask somebody into a room; ``with_history``, where the room allows it, to read what was said before.

        The keys go first: the invited device looks for them as it joins.
        """
        if with_history:
            await history.share(self, room_id, user_id)
        await self.client.call("POST", path("rooms", room_id, "invite"), {"user_id": user_id})

    async def create_room(self, content: Mapping[str, Any]) -> str:
        """``/createRoom`` as it is; returns the room id."""
        return str((await self.client.call("POST", path("createRoom"), content))["room_id"])


async def restore(file: AccountFile, account: Account, recovery: RecoveryKey) -> Restored:
    """The account comes back as itself from its recovery key.

    On a new device, signed by the identity that people know, with the keys of the backup; every other session
    of the account is ended.

    ``account`` needs a password and nothing else. What is interrupted is finished by the next call. Raises
    OperatorError as ``identity.recalled`` does.
    """
    account = file.update(account, restoring=True)
    client, account = await _signed_in(file, account)
    try:
        seeds = await identity.recalled(client, recovery)
        store = SecretStore(client, recovery)
        backup_key = (await store.read(backup.SECRET) or b"").hex()
        account = file.update(
            account, seeds=seeds, recovery_key=recovery.text, recovery_shown=True, backup_key=backup_key
        )
        await client.upload_keys(one_time_keys_on_server=None)
        account = await identity.establish(client, account, file)
        keys = await backup.restored(client, account)
        sessions = await identity.sign_out_others(client, account)
        file.update(account, restoring=False, former_device="")
        return Restored(account.user_id, str(client.device_id), keys, sessions)
    finally:
        await client.close()
        if client.store is not None:
            client.store.database.close()


async def _signed_in(file: AccountFile, account: Account) -> tuple[Client, Account]:
    """A client whose token and key store belong together, and the account as it is afterwards."""
    folder = file.folder / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account.access_token and (folder / f"{account.device_id}.db").exists():
        client = Client(account.homeserver, account.user_id, account.device_id, folder, account.pickle_key)
        client.restore_login(account.user_id, account.device_id, account.access_token)
        try:
            session = await _session(client)
        except BaseException:
            await client.close()
            raise
        if session is Session.OPEN:
            return client, account
        await client.close()
        if session is Session.PAUSED:
            account = file.update(account, access_token="")
    if account.access_token:
        # A lost key store, a deleted device. New keys under the same name would be refused by whoever knew
        # the old ones: we come as a new device.
        log.warning("matrix.new_device", account=account.user_id)
        account = file.update(
            account,
            device_id=new_device_id(),
            pickle_key=new_pickle_key(),
            access_token="",
            former_device=account.device_id,
        )
    # Killed between signing in and noting the token, we sign in on the same device again: none is left over.
    client = Client(account.homeserver, account.user_id, account.device_id, folder, account.pickle_key)
    try:
        await _log_in(client, account)
    except BaseException:
        await client.close()
        raise
    return client, file.update(account, access_token=client.access_token)


class Session(Enum):
    """What the server says of a token."""

    OPEN = auto()
    PAUSED = auto()  # a "soft logout": the device and its keys are still there
    ENDED = auto()


async def _session(client: Client) -> Session:
    try:
        found = await client.call("GET", path("account", "whoami"))
    except MatrixError as refused:
        if refused.errcode == "M_UNKNOWN_TOKEN":
            return Session.PAUSED if refused.soft_logout else Session.ENDED
        raise
    if found.get("device_id") != client.device_id:
        raise OperatorError("account.other_device", user_id=client.user_id)
    return Session.OPEN


async def _log_in(client: Client, account: Account) -> None:
    for _ in range(5):
        try:
            await client.log_in(account.password, "Parcours")
        except MatrixError as refused:
            if refused.errcode == "M_LIMIT_EXCEEDED":
                await asyncio.sleep(refused.retry_after or 1)
                continue
            raise OperatorError("account.login_refused", user_id=account.user_id) from refused
        return
    raise OperatorError("account.login_refused", user_id=account.user_id)


def new_account(homeserver: str, user_id: str, password: str) -> Account:
    """An account that has not signed in yet."""
    return Account(homeserver, user_id, new_device_id(), password, pickle_key=new_pickle_key())
