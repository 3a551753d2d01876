"""Server-side key backup: our room keys, for the day the disk is lost.

The scheme is ``m.megolm_backup.v1.curve25519-aes-sha2``. Each room key is encrypted for a public key, whose
private half lies in secret storage: the recovery key opens it, the homeserver cannot. Nothing authenticates
what is in there, so a homeserver can add keys of its own making. Therefore a restored key opens old messages
and proves nobody (``Verdict.RESTORED_KEY``), and a backup that our master key did not sign gets nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import vodozemac
from nio.crypto import InboundGroupSession
from peewee import Model, TextField
from unpaddedbase64 import decode_base64, encode_base64

from hub.matrix import identity, signing
from hub.matrix.account import Account, AccountFile, Seeds
from hub.matrix.client import Client, JsonObject, MatrixError, path
from hub.matrix.olm import row_name
from hub.matrix.rooms import MEGOLM
from hub.matrix.trust import RESTORED
from hub.observe import Log

log = Log(__name__)

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
SECRET = "m.megolm_backup.v1"  # noqa: S105 its name in secret storage
KEYS_PER_REQUEST = 100


class _Saved(Model):
    """What is in the backup already, in the key store: a start does not send everything again."""

    session = TextField(primary_key=True)
    version = TextField()

    class Meta:
        table_name = "parcours_saved_sessions"


@dataclass
class Backup:
    """The backup of one account, open for adding."""

    client: Client
    version: str
    key: str  # its public half, unpadded base64
    waiting: dict[str, InboundGroupSession]
    """Sessions that are not in it yet, by name."""

    @property
    def behind(self) -> int:
        """How many keys are only on our disk."""
        return len(self.waiting) + len(self.client.machine.fresh_sessions)

    async def save(self) -> int:
        """Send the keys that the backup lacks; returns how many. Raises as Client.call does."""
        fresh = self.client.machine.fresh_sessions
        while fresh:
            session = fresh.pop()
            self.waiting[_name(session)] = session
        sent = 0
        while some := dict(islice(self.waiting.items(), KEYS_PER_REQUEST)):
            rooms: dict[str, JsonObject] = {}
            for session in some.values():
                room = rooms.setdefault(session.room_id, {"sessions": {}})
                room["sessions"][session.id] = self._entry(session)
            await self.client.call("PUT", path("room_keys", "keys", version=self.version), {"rooms": rooms})
            _mark(self.client, self.version, some)
            for name in some:
                del self.waiting[name]
            sent += len(some)
        return sent

    def _entry(self, session: InboundGroupSession) -> JsonObject:
        plain = {
            "algorithm": MEGOLM,
            "forwarding_curve25519_key_chain": [],
            "sender_key": session.sender_key,
            "sender_claimed_keys": {"ed25519": session.ed25519},
            "session_key": session.export_session(session.first_known_index),
        }
        public = vodozemac.Curve25519PublicKey.from_base64(self.key)
        message = vodozemac.PkEncryption.from_key(public).encrypt(json.dumps(plain).encode())
        return {
            "first_message_index": session.first_known_index,
            "forwarded_count": 0,
            "is_verified": session.sender_key == self.client.machine.account.identity_keys["curve25519"],
            "session_data": {
                "ephemeral": encode_base64(message.ephemeral_key),
                "ciphertext": encode_base64(message.ciphertext),
                "mac": encode_base64(message.mac),
            },
        }


async def opened(client: Client, account: Account, file: AccountFile) -> tuple[Backup, Account]:
    """The account's backup, made where there is none that is ours.

    The private key is on disk, then in secret storage, before the server is told of the public one. Needs the
    account's seeds and recovery key.
    """
    if not account.backup_key:
        account = file.update(account, backup_key=secrets.token_bytes(32).hex())
    key, seeds = public_key(account.backup_key), _seeds(account)
    published = await current(client)
    if published is None or not is_ours(published, client.user_id, key, signing.public_key(seeds.master)):
        if published is not None:
            log.error("backup.not_ours", account=client.user_id)
        await identity.remember(client, account, {SECRET: bytes.fromhex(account.backup_key)})
        published = await _made(client, key, seeds)
    version = str(published["version"])
    saved = _marked(client, version)
    sessions = {_name(session): session for session in client.machine.all_inbound_sessions()}
    waiting = {name: session for name, session in sessions.items() if name not in saved}
    client.machine.fresh_sessions.clear()
    return Backup(client, version, key, waiting), account


async def current(client: Client) -> JsonObject | None:
    """The newest backup that the server has of this account; None when it has none."""
    try:
        return await client.call("GET", path("room_keys", "version"))
    except MatrixError as refused:
        if refused.errcode == "M_NOT_FOUND":
            return None
        raise


def is_ours(published: JsonObject, user_id: str, key: str, master_key: str) -> bool:
    """Whether a backup is for this public key, and our master key says so."""
    data = published.get("auth_data")
    return (
        published.get("algorithm") == ALGORITHM
        and isinstance(data, dict)
        and data.get("public_key") == key
        and signing.signed_by(data, user_id, master_key)
    )


async def restored(client: Client, account: Account) -> int:
    """Take the keys of the rooms that we are in out of the backup; returns how many."""
    published = await current(client)
    if published is None or not account.backup_key:
        return 0
    version = str(published["version"])
    private = vodozemac.Curve25519SecretKey.from_bytes(bytes.fromhex(account.backup_key))
    decryption = vodozemac.PkDecryption.from_key(private)
    joined = await client.call("GET", path("joined_rooms"))
    count = 0
    for room_id in joined["joined_rooms"]:
        try:
            answer = await client.call("GET", path("room_keys", "keys", room_id, version=version))
        except MatrixError as refused:
            if refused.errcode != "M_NOT_FOUND":
                raise
            continue
        entries = answer.get("sessions")
        sessions = [
            session
            for entry in (entries.values() if isinstance(entries, dict) else ())
            if (session := _read(entry, room_id, decryption)) is not None
        ]
        with client.machine.together():
            for session in sessions:
                client.machine.keep(session)
        _mark(client, version, map(_name, sessions))
        count += len(sessions)
    return count


def _read(entry: Any, room_id: str, decryption: vodozemac.PkDecryption) -> InboundGroupSession | None:
    """One key of the backup, as nobody's: whoever holds the public key may have put it there."""
    try:
        data = {name: entry["session_data"][name] for name in ("ciphertext", "mac", "ephemeral")}
        message = vodozemac.Message(*(decode_base64(part) for part in data.values()))
        plain = json.loads(decryption.decrypt(message))
        return InboundGroupSession.import_session(plain["session_key"], RESTORED, RESTORED, room_id)
    except Exception as fault:  # whatever a hostile server put there: the other keys count
        log.warning("backup.malformed_key", reason=type(fault).__name__)
        return None


async def _made(client: Client, key: str, seeds: Seeds) -> JsonObject:
    data: JsonObject = {"public_key": key}
    data["signatures"] = {
        client.user_id: {
            f"ed25519:{client.device_id}": client.machine.sign_json(data),
            f"ed25519:{signing.public_key(seeds.master)}": signing.sign(data, seeds.master),
        }
    }
    content = {"algorithm": ALGORITHM, "auth_data": data}
    return {**content, **await client.call("POST", path("room_keys", "version"), content)}


def _seeds(account: Account) -> Seeds:
    if account.seeds is None:
        raise RuntimeError("an account without an identity has no backup")
    return account.seeds


def public_key(private: str) -> str:
    """The public half of a backup's key, unpadded base64."""
    key = vodozemac.Curve25519SecretKey.from_bytes(bytes.fromhex(private))
    return str(key.public_key().to_base64())


def _name(session: InboundGroupSession) -> str:
    return f"{row_name(session)} {session.first_known_index}"


def _marked(client: Client, version: str) -> set[str]:
    database = client.machine.store.database
    with database.bind_ctx([_Saved]):
        database.create_tables([_Saved])
        return {row.session for row in _Saved.select().where(_Saved.version == version)}


def _mark(client: Client, version: str, names: Iterable[str]) -> None:
    database = client.machine.store.database
    with client.machine.together(), database.bind_ctx([_Saved]):
        database.create_tables([_Saved])
        for name in names:
            _Saved.replace(session=name, version=version).execute()
