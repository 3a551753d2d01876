"""The checks, in the order in which one thing needs another."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version

from hub.delivery.relay import now
from hub.doctor import judge
from hub.doctor.finding import Finding
from hub.doctor.patient import Patient, sqlite_file
from hub.matrix import checkup, identity
from hub.matrix.client import MatrixError, Unreachable
from hub.seal import MasterKey, MasterKeyFile


async def data(patient: Patient) -> Finding:
    folder = patient.settings.data
    if not folder.is_dir():
        return Finding("data", "none", {"path": str(folder)})
    return judge.folder(str(folder), folder.stat().st_mode)


async def disk(patient: Patient) -> Finding:
    file = sqlite_file(patient.settings)
    folders = {patient.settings.data, *([file.parent] if file else [])}
    return judge.disk({str(folder): shutil.disk_usage(folder) for folder in sorted(folders)})


async def configuration(patient: Patient) -> Finding:
    return judge.configuration(patient.settings.relaxations())


async def master_key(patient: Patient) -> Finding:
    if MasterKey.from_env() is not None:
        return Finding("master_key", "environment")
    path = patient.settings.data / "master.key"
    MasterKeyFile(path)
    return Finding("master_key", "file", {"path": str(path)})


async def secrets(patient: Patient) -> Finding:
    """The account's file opens, and the key store that belongs to it."""
    account = patient.account
    _ = patient.client  # whose making opens the key store
    return Finding("secrets", "well" if account.password else "no_password", {"user_id": account.user_id})


async def database(patient: Patient) -> Finding:
    await patient.db.current()
    return Finding("database", "well")


async def integrity(patient: Patient) -> Finding:
    await patient.db.intact()
    return Finding("integrity", "well")


async def versions(patient: Patient) -> Finding:
    facts = {name: version(package) for name, package in PACKAGES.items()}
    return Finding(
        "versions",
        "well",
        {**facts, "python": platform.python_version(), "database": await patient.db.server()},
    )


PACKAGES = {"parcours": "parcours", "nio": "matrix-nio", "vodozemac": "vodozemac"}


async def lease(patient: Patient) -> Finding:
    async with patient.db.transaction() as tx:
        return judge.lease(await tx.leases.find(patient.account.name), now())


async def homeserver(patient: Patient) -> Finding:
    url = patient.client.homeserver
    try:
        await checkup.greet(patient.client, now)
    except Unreachable:
        if patient.settings.homeserver.url is None and not patient.running:
            return Finding("homeserver", "asleep", {"url": url})
        raise
    return Finding("homeserver", "well", {"url": url})


async def synapse(patient: Patient) -> Finding:
    greeting = await checkup.greet(patient.client, now)
    return judge.synapse(greeting.server, version("matrix-synapse"))


async def clock(patient: Patient) -> Finding:
    greeting = await checkup.greet(patient.client, now)
    async with patient.db.transaction() as tx:
        position = await tx.sync.load(patient.account.name)
    return judge.clock(greeting.skew, position.saved_at if position else None, now())


async def account(patient: Patient) -> Finding:
    ours = patient.account
    facts = {"user_id": ours.user_id, "device_id": ours.device_id}
    try:
        found = await checkup.session(patient.client)
    except MatrixError as refused:
        if refused.status != 401:
            raise
        return Finding("account", "signed_out", facts)
    return Finding("account", "well" if found == (ours.user_id, ours.device_id) else "other_device", facts)


async def identity_chain(patient: Patient) -> Finding:
    chain = await identity.chain(patient.client, patient.account.seeds)
    return judge.identity(chain, patient.account.device_id)


async def keys(patient: Patient) -> Finding:
    return judge.keys(await patient.key_supply())


async def backup(patient: Patient) -> Finding:
    return judge.backup(await checkup.backup(patient.client, patient.account))


async def limits(patient: Patient) -> Finding:
    """Only an administrator of the homeserver can ask it. We remember whether we lifted them ourselves."""
    lifted = patient.account.rate_limits_lifted
    return Finding("limits", "lifted" if lifted else "unknown", {"user_id": patient.account.user_id})


async def federation(patient: Patient) -> Finding:
    try:
        return judge.federation(await checkup.federation_list(patient.client))
    except MatrixError as refused:
        if refused.status != 404:
            raise
        return Finding("federation", "hidden")


async def sync(patient: Patient) -> Finding:
    name = patient.account.name
    async with patient.db.transaction() as tx:
        return judge.sync(await tx.sync.load(name), await tx.leases.find(name), now())


async def parked(patient: Patient) -> Finding:
    name = patient.account.name
    async with patient.db.transaction() as tx:
        return judge.parked(await tx.inbox.parked(name), await tx.outbox.parked(name))


async def waiting(patient: Patient) -> Finding:
    name = patient.account.name
    async with patient.db.transaction() as tx:
        recent = await tx.waiting.count_since(name, now() - judge.UNREADABLE_COUNTS_FOR)
        return judge.waiting(recent, await tx.waiting.count(name) - recent)


@dataclass(frozen=True)
class Check:
    """``needs``: checks without whose success this one could only repeat what they said.

    ``long``: not for the rounds of a running hub.
    """

    name: str
    look: Callable[[Patient], Awaitable[Finding]]
    needs: tuple[str, ...] = ()
    long: bool = False


CHECKS = (
    Check("data", data),
    Check("disk", disk, ("data",)),
    Check("configuration", configuration),
    Check("master_key", master_key, ("data",)),
    Check("secrets", secrets, ("master_key",)),
    Check("database", database, ("master_key",)),
    Check("integrity", integrity, ("database",), long=True),
    Check("versions", versions, ("database",), long=True),
    Check("lease", lease, ("secrets", "database")),
    Check("homeserver", homeserver, ("secrets",)),
    Check("synapse", synapse, ("homeserver",)),
    Check("clock", clock, ("homeserver", "database")),
    Check("account", account, ("homeserver",)),
    Check("identity", identity_chain, ("account",)),
    Check("keys", keys, ("account",)),
    Check("backup", backup, ("account",)),
    Check("limits", limits, ("secrets",)),
    Check("federation", federation, ("account",)),
    Check("sync", sync, ("secrets", "database")),
    Check("parked", parked, ("secrets", "database")),
    Check("waiting", waiting, ("secrets", "database")),
)
"""Each need stands before whoever needs it."""
