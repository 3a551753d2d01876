"""The composition root: the only module that knows every adapter, bot and bridge, and how they are joined.

``running`` brings up, in this order and each only once the one before stands: the data folder's lock, the
master key, the homeserver (embedded, where no address is configured), the database, the lease on the hub's
account, the account, the flow. It takes them down in the opposite order.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bots import accueil
from hub import folder, hosting, lease, own_account
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
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.homeserver.roles import PublishedRoles
from hub.hosting import Homeserver, OpenHomeservers, one
from hub.intake.address import Address
from hub.intake.ledger import Ledger
from hub.locale import Language
from hub.matrix.account import Account, AccountFile
from hub.matrix.member import Member
from hub.matrix.trust import Pin, Policy
from hub.observe import Metrics
from hub.own_account import Step
from hub.seal import Master, Vault
from hub.storage.engine import Database, Transactions
from hub.terminal import cast

BOTS = (accueil.bot,)
BRIDGES = ()


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


@asynccontextmanager
async def running(
    settings: Settings, on_step: Step, homeservers: OpenHomeservers = one
) -> AsyncIterator[Running]:
    """A hub from nothing to its first sync. What ends it early ends the block, as an OperatorError."""
    async with AsyncExitStack() as stack:
        stack.enter_context(folder.ours(settings.data))
        master = folder.master_key(settings.data)
        on_step("start.homeserver")
        opened = await stack.enter_async_context(homeservers(settings))
        homeserver = opened.own
        on_step("start.database")
        db = await stack.enter_async_context(database(settings, master))
        file = AccountFile(settings.data / "hub", master)
        account = await own_account.opened(settings, homeserver, file)
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


@asynccontextmanager
async def database_beside(settings: Settings, master: Master) -> AsyncIterator[Database]:
    """The database of a hub that may be running: neither upgraded nor read through, which would make it wait.

    Raises OperatorError where it is of another version.
    """
    db = Database.open(settings.database_url(), Vault(master))
    try:
        await db.current()
        yield db
    finally:
        await db.close()


async def recall_staff(settings: Settings) -> int:
    """After a restore onto an empty database: enrol the professionals whom the homeserver still lists.

    Returns how many. Who is a patient, chosen languages and the journal are lost with the database.
    """
    master = folder.master_key(settings.data)
    account = AccountFile(settings.data / "hub", master).load()
    if account is None:
        return 0
    async with database(settings, master) as db:
        professionals = await published_roles(account, db).listed()
        recalled = 0
        for user_id in sorted(professionals):
            async with db.transaction() as tx:
                if not (await directory.find(tx, user_id)).enrolled:
                    await directory.enrol(tx, user_id, Role.PROFESSIONAL, None, now())
                    recalled += 1
    return recalled


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
            await hosting.register(home, person)
            async with hub.db.transaction() as tx:
                await directory.enrol(tx, person.user_id, Role(person.role), person.display_name, now())
    await hub.roles.publish()
    return [person for _, person in people]


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
        raise OperatorError("homeserver.ended", log=str(embedded.log))


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
        yield member
    finally:
        await member.close()
