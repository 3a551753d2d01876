"""The composition root: the only module that knows every adapter, bot and bridge, and how they are joined.

``running`` brings up, in this order and each only once the one before stands: the data folder's lock, the
master key, the homeserver (embedded, where no address is configured), the database, the lease on the hub's
account, the account, the flow. It takes them down in the opposite order.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bots import accueil
from hub import lease
from hub.care.directory import service as directory
from hub.care.directory.model import Role, UserId
from hub.commands.bot import Bots
from hub.commands.parse import recognise
from hub.config import Settings
from hub.delivery.relay import now
from hub.doctor import gauges
from hub.doctor.patient import Awake
from hub.errors import OperatorError
from hub.flow import Flow
from hub.homeserver import accounts
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.homeserver.federated import PRACTICE, federated
from hub.homeserver.roles import PublishedRoles
from hub.intake.address import Address
from hub.intake.ledger import Ledger
from hub.locale import Language
from hub.matrix import member as membership
from hub.matrix.account import Account, AccountFile
from hub.matrix.client import MatrixError, Unreachable
from hub.matrix.member import Member, Restored, new_account
from hub.matrix.secret_storage import RecoveryKey
from hub.matrix.trust import Pin, Policy
from hub.observe import Log, Metrics
from hub.seal import Master, MasterKey, MasterKeyFile, Vault
from hub.storage.engine import Database, Transactions
from hub.terminal import cast

log = Log(__name__)

BOTS = (accueil.bot,)
BRIDGES = ()


@dataclass(frozen=True)
class Homeserver:
    """The homeserver in use. ``registration_secret`` makes accounts; None where others make them."""

    url: str
    server_name: str
    registration_secret: str | None

    @classmethod
    def of(cls, server: EmbeddedHomeserver) -> Homeserver:
        """An embedded one that was started."""
        return cls(server.url, server.server_name, server.registration_secret)


@dataclass(frozen=True)
class Homeservers:
    """The hub's own, and its partner's where we run that too; the embedded one whose end is the hub's end."""

    own: Homeserver
    practice: Homeserver | None = None
    embedded: EmbeddedHomeserver | None = None


@dataclass(frozen=True)
class Running:
    """A hub that answers."""

    settings: Settings
    homeserver: Homeserver
    practice: Homeserver | None
    db: Database
    member: Member
    flow: Flow
    metrics: Metrics
    master: Master
    roles: PublishedRoles


@dataclass(frozen=True)
class DatabasePins:
    """Pinned identities, kept in the hub's database."""

    db: Database

    async def pin(self, user_id: str, master_key: str) -> Pin:
        """Pin at first sight; remember a change until an operator accepts it."""
        async with self.db.transaction() as tx:
            pinned = await tx.identities.pin(user_id, master_key, now())
        return Pin(pinned.user_id, pinned.master_key, pinned.changed_to)


Step = Callable[[str], None]
"""Told the catalogue key of each step of the start, for a person who waits."""


@asynccontextmanager
async def one(settings: Settings) -> AsyncIterator[Homeservers]:
    """The homeserver at the configured address, or an embedded one."""
    configured = settings.homeserver
    if configured.url is not None:
        yield Homeservers(Homeserver(configured.url, configured.server_name, registration_secret(settings)))
        return
    hub = f"@{settings.hub.localpart}:{configured.server_name}"
    server = EmbeddedHomeserver(
        settings.data / "homeserver", configured.port, configured.server_name, hubs=(hub,)
    )
    await server.start()
    try:
        yield Homeservers(Homeserver.of(server), embedded=server)
    finally:
        await server.stop()


@asynccontextmanager
async def hospital_and_practice(settings: Settings) -> AsyncIterator[Homeservers]:
    """Two embedded homeservers, federated; the hub's is the hospital's."""
    configured = settings.homeserver
    if configured.url is not None:
        raise OperatorError("federated.configured_url", url=configured.url)
    hub = f"@{settings.hub.localpart}:{configured.server_name}"
    staff = tuple(f"@{part.localpart}:{PRACTICE}" for part in cast.PRACTICE if part.role is Role.PROFESSIONAL)
    both = federated(settings.data, configured.server_name, configured.port, hub, staff)
    async with both as (hospital, practice):
        yield Homeservers(Homeserver.of(hospital), Homeserver.of(practice), hospital)


OpenHomeservers = Callable[[Settings], AbstractAsyncContextManager[Homeservers]]
"""Which homeservers there are: `one`, or `hospital_and_practice`."""


@asynccontextmanager
async def running(
    settings: Settings, on_step: Step, homeservers: OpenHomeservers = one
) -> AsyncIterator[Running]:
    """A hub from nothing to its first sync. What ends it early ends the block, as an OperatorError."""
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings.data))
        master = master_key(settings.data)
        on_step("start.homeserver")
        opened = await stack.enter_async_context(homeservers(settings))
        homeserver = opened.own
        on_step("start.database")
        db = await stack.enter_async_context(database(settings, master))
        file = AccountFile(settings.data / "hub", master)
        account = await _hub_account(settings, homeserver, file)
        holder = await stack.enter_async_context(lease.held(db, account.name, os.getpid()))
        on_step("start.account")
        member = await stack.enter_async_context(_signed_in(settings, file, account, db))
        roles = published_roles(member.account, db)
        await roles.publish()
        on_step("start.sync")
        metrics = Metrics.create()
        flow = assemble(settings, lease.Spoken(db, account.name, holder), member, metrics)
        together = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            together.create_task(flow.run()),
            together.create_task(lease.renewed(db, account.name, holder)),
            together.create_task(roles.run()),
            together.create_task(_watch(opened.embedded)),
        ]
        await flow.synced.wait()
        tasks.append(together.create_task(gauges.rounds(Awake(settings, db, member), metrics)))
        yield Running(settings, homeserver, opened.practice, db, member, flow, metrics, master, roles)
        for task in tasks:
            task.cancel()


def assemble(settings: Settings, db: Transactions, member: Member, metrics: Metrics) -> Flow:
    """The way of a message, joined to this account and database."""
    names = (settings.hub.display_name, member.user_id, f"@{settings.hub.localpart}")
    bots, language = Bots(*BOTS), Language(settings.language)
    address = Address(member.user_id, names, lambda line: recognise(bots, line) is not None)
    return Flow(
        member=member,
        db=db,
        bots=bots,
        ledger=Ledger(db, member, address, metrics, language),
        metrics=metrics,
        language=language,
        max_attempts=settings.delivery.max_attempts,
    )


def published_roles(account: Account, db: Database) -> PublishedRoles:
    """What the homeserver's policy knows of the directory. Whoever enrols somebody publishes afterwards."""

    async def staff() -> set[UserId]:
        async with db.transaction() as tx:
            return await directory.staff(tx)

    return PublishedRoles(account.homeserver, account.user_id, account.access_token, staff)


async def enrol_cast(hub: Running, path: Path) -> list[cast.Credentials]:
    """The demonstration's people, with accounts on their homeserver and roles in the directory.

    The file with their passwords is written before a homeserver knows them: a kill in between loses none.
    """
    homes: list[tuple[Homeserver, Sequence[cast.Part]]] = [(hub.homeserver, cast.CAST)]
    if hub.practice is not None:
        homes.append((hub.practice, cast.PRACTICE))
    kept = {account.user_id: account for account in cast.read(path)}
    people = []
    for home, parts in homes:
        for part in parts:
            user_id = f"@{part.localpart}:{home.server_name}"
            people.append((home, kept.pop(user_id) if user_id in kept else cast.credentials(user_id, part)))
    # What is left belongs to a practice that does not run today: its people keep their passwords.
    cast.write(path, [*(person for _, person in people), *kept.values()])
    for home, person in people:
        async with hub.db.transaction() as tx:
            enrolled = (await directory.find(tx, person.user_id)).enrolled
        if not enrolled:
            await register(home, person)
            async with hub.db.transaction() as tx:
                await directory.enrol(tx, person.user_id, Role(person.role), person.display_name, now())
    await hub.roles.publish()
    return [person for _, person in people]


async def register(homeserver: Homeserver, person: cast.Credentials) -> str | None:
    """Make a person's account; None when the name is taken. Raises OperatorError ``account.no_secret``."""
    if homeserver.registration_secret is None:
        raise OperatorError("account.no_secret")
    return await accounts.register(
        homeserver.url,
        homeserver.registration_secret,
        person.localpart,
        person.password,
        display_name=person.display_name,
    )


async def health(hub: Running) -> dict[str, bool]:
    """Which parts work: asked by ``/health``."""
    try:
        async with hub.db.transaction() as tx:
            await tx.sync.load(hub.member.user_id)
    except OperatorError:
        return {"database": False, "homeserver": hub.flow.connected}
    return {"database": True, "homeserver": hub.flow.connected}


def free_port() -> int:
    """A port that nobody listens on just now, for a hub that lives for one demonstration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def data_folder(data: Path) -> Iterator[None]:
    """Make the data folder ours alone for a block: the lock goes with the process, however it ends."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise OperatorError("data.unwritable", path=str(data)) from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        raise OperatorError("data.in_use", path=str(data)) from fault
    try:
        yield
    finally:
        os.close(lock)


def master_key(data: Path) -> Master:
    """The master key from the environment or the data folder; made on a first start, and only then."""
    path = data / "master.key"
    found = MasterKey.from_env()
    if found is not None or path.exists():
        return found or MasterKeyFile(path)
    if (data / "hub" / "account.sealed").exists() or (data / "parcours.db").exists():
        raise OperatorError("seal.master_key_missing", path=str(path))
    MasterKey.create(path)
    return MasterKeyFile(path)


@asynccontextmanager
async def database(settings: Settings, master: Master) -> AsyncIterator[Database]:
    """The hub's database at this program's version, checked."""
    db = Database.open(settings.database_url(), Vault(master))
    try:
        await db.upgrade()
        await db.check()
        yield db
    finally:
        await db.close()


async def _watch(embedded: EmbeddedHomeserver | None) -> None:
    """Fail when the embedded homeserver ends by itself: a hub without one is no hub.

    It does without the practice's: partners come and go.
    """
    if embedded is not None:
        await embedded.wait()
        raise OperatorError("homeserver.ended")


def registration_secret(settings: Settings) -> str | None:
    """What makes accounts on a homeserver that is not ours to start; None where others make them."""
    path = settings.homeserver.registration_secret_path
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except OSError as fault:
        raise OperatorError("homeserver.secret_unreadable", path=str(path)) from fault


def embedded_secret(settings: Settings) -> str:
    """What makes accounts on the embedded homeserver of this data folder."""
    return (settings.data / "homeserver" / "secrets" / "registration").read_text().strip()


async def _hub_account(settings: Settings, homeserver: Homeserver, file: AccountFile) -> Account:
    """The hub's own account. Its password is on disk before the homeserver knows it."""
    account, given = file.load(), _given_password()
    if account is None:
        user_id = f"@{settings.hub.localpart}:{homeserver.server_name}"
        account = file.save(new_account(homeserver.url, user_id, given or secrets.token_urlsafe(32)))
    elif account.homeserver != homeserver.url or (given and account.password != given):
        account = file.update(account, homeserver=homeserver.url, password=given or account.password)
    if not account.access_token and homeserver.registration_secret is not None:
        await accounts.register(
            homeserver.url,
            homeserver.registration_secret,
            settings.hub.localpart,
            account.password,
            display_name=settings.hub.display_name,
        )
        await _lift_rate_limits(homeserver.url, homeserver.registration_secret, account.user_id)
        account = file.update(account, rate_limits_lifted=True)
    return account


async def _lift_rate_limits(url: str, registration_secret: str, user_id: str) -> None:
    """A hub that builds rooms for a hospital is no person who types."""
    async with _administrator(url, registration_secret) as token:
        await accounts.lift_rate_limits(url, token, user_id)


@asynccontextmanager
async def _administrator(url: str, registration_secret: str) -> AsyncIterator[str]:
    """The token of an administrator of the homeserver who lives for this block."""
    name, password = f"parcours-setup-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
    setup = await accounts.register(url, registration_secret, name, password, admin=True)
    if setup is None:
        raise OperatorError("account.login_refused", user_id=name)
    async with accounts.signed_in(url, setup, password) as token:
        yield token
        await accounts.deactivate(url, token, setup)


async def restore(settings: Settings, recovery: RecoveryKey, on_step: Step) -> Restored:
    """The hub's account from its recovery key alone, into an empty data folder.

    Its password is set anew with the homeserver's registration secret, unless PARCOURS_HUB_PASSWORD gives it.
    Raises OperatorError ``recovery.not_needed`` when the folder has an identity.
    """
    with data_folder(settings.data):
        file = AccountFile(settings.data / "hub", master_key(settings.data))
        account = file.load()
        if account is not None and account.seeds is not None and not account.restoring:
            raise OperatorError("recovery.not_needed", data=str(settings.data))
        on_step("start.homeserver")
        async with one(settings) as opened:
            account = account or await _password_reset(settings, opened.own, file)
            on_step("recovery.step")
            try:
                return await membership.restore(file, account, recovery)
            except Unreachable as fault:
                raise OperatorError("homeserver.unreachable", url=opened.own.url) from fault
            except MatrixError as refused:
                raise OperatorError("account.keys_refused", errcode=refused.errcode) from refused


async def _password_reset(settings: Settings, homeserver: Homeserver, file: AccountFile) -> Account:
    """The hub's account with a password that works, and nothing else."""
    user_id, given = f"@{settings.hub.localpart}:{homeserver.server_name}", _given_password()
    if given is None and homeserver.registration_secret is None:
        raise OperatorError("recovery.no_password", user_id=user_id)
    account = file.save(new_account(homeserver.url, user_id, given or secrets.token_urlsafe(32)))
    if given is None and homeserver.registration_secret is not None:
        async with _administrator(homeserver.url, homeserver.registration_secret) as token:
            await accounts.set_password(homeserver.url, token, user_id, account.password)
    return account


def _given_password() -> str | None:
    return os.environ.get("PARCOURS_HUB_PASSWORD") or None


@asynccontextmanager
async def _signed_in(
    settings: Settings, file: AccountFile, account: Account, db: Database
) -> AsyncIterator[Member]:
    policy = Policy(
        require_cross_signed=settings.trust.require_cross_signed,
        refuse_changed_identity=settings.trust.changed_identity == "refuse",
    )
    member = await Member.open(file, account, DatabasePins(db), policy)
    try:
        await member.keep_backup()
        yield member
    finally:
        await member.close()
