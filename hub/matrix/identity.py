"""Our own cross-signing identity: who vouches for this device.

A master key vouches for a self-signing key, which vouches for the device. Without that chain other people's
clients show a warning on every message, and strict ones neither read us nor let us read. The seeds are kept
sealed beside the account and, under the recovery key, in the account's secret storage on the server.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.errors import OperatorError
from hub.matrix import signing
from hub.matrix.account import Account, AccountFile, Seeds
from hub.matrix.client import Client, MatrixError, path
from hub.matrix.secret_storage import RecoveryKey
from hub.matrix.secret_store import SecretStore
from hub.observe import Log

log = Log(__name__)

JsonObject = dict[str, Any]

SECRETS = {
    "m.cross_signing.master": "master",
    "m.cross_signing.self_signing": "self_signing",
    "m.cross_signing.user_signing": "user_signing",
}
"""Name in secret storage → field of :class:`Seeds`."""


@dataclass(frozen=True)
class Chain:
    """What the server publishes of an account, checked signature by signature."""

    master_key: str | None
    master_is_ours: bool
    self_signing_signed: bool
    device_signed: bool

    @property
    def whole(self) -> bool:
        """Whether a strict client will trust this device."""
        return self.master_is_ours and self.self_signing_signed and self.device_signed


async def published(client: Client) -> tuple[JsonObject, JsonObject, JsonObject]:
    """Our master key, self-signing key and device keys as the server shows them; empty where absent."""
    answer = await client.call("POST", path("keys", "query"), {"device_keys": {client.user_id: []}})

    def one(kind: str) -> JsonObject:
        return dict((answer.get(kind) or {}).get(client.user_id) or {})

    devices = one("device_keys")
    return one("master_keys"), one("self_signing_keys"), dict(devices.get(client.device_id or "") or {})


async def chain(client: Client, seeds: Seeds | None) -> Chain:
    """Query the server and recompute the whole chain; nothing cached is believed."""
    master, self_signing, device = await published(client)
    master_key = next(iter((master.get("keys") or {}).values()), None)
    signing_key = next(iter((self_signing.get("keys") or {}).values()), None)
    ours = client.machine.account.identity_keys
    device_is_ours = (device.get("keys") or {}).get(f"ed25519:{client.device_id}") == ours["ed25519"]
    return Chain(
        master_key=master_key,
        master_is_ours=bool(seeds and master_key == signing.public_key(seeds.master)),
        self_signing_signed=bool(
            master_key and signing_key and signing.signed_by(self_signing, client.user_id, master_key)
        ),
        device_signed=bool(
            signing_key and device_is_ours and signing.signed_by(device, client.user_id, signing_key)
        ),
    )


async def establish(client: Client, account: Account, file: AccountFile) -> Account:
    """Make the chain whole and prove it.

    Seeds are on disk before anything is published, secret storage is filled before the master key is: a crash
    anywhere is finished by the next call. Raises OperatorError ``identity.lost`` when the server knows an
    identity whose seeds are not here; making a new one silently would look like an attack to everybody.
    """
    master, _, device = await published(client)
    seeds = account.seeds
    if seeds is None:
        if master:
            raise OperatorError("identity.lost", user_id=account.user_id)
        seeds = Seeds(*(secrets.token_bytes(32).hex() for _ in range(3)))
        account = file.update(account, seeds=seeds, recovery_key=RecoveryKey.new().text)
    if not master:
        await SecretStore(client, RecoveryKey.parse(account.recovery_key)).fill(_secrets(seeds))
        await _publish(client, account, seeds)
    elif next(iter(master["keys"].values())) != signing.public_key(seeds.master):
        raise OperatorError("identity.replaced", user_id=account.user_id)
    await _sign_device(client, seeds, device)
    if not (await chain(client, seeds)).whole:
        raise OperatorError("identity.chain_broken", user_id=account.user_id, device_id=account.device_id)
    client.machine.device_keys_object = _vouched(client, seeds)
    return account


async def vouch_for(client: Client, seeds: Seeds, user_id: str, master_key: str) -> None:
    """Sign a person's master key with our user-signing key: our identity vouches for theirs.

    What is signed is made here from the key that was verified; what the server shows of it is not looked at.
    """
    name = f"ed25519:{master_key}"
    master: JsonObject = {"user_id": user_id, "usage": ["master"], "keys": {name: master_key}}
    signer = f"ed25519:{signing.public_key(seeds.user_signing)}"
    master["signatures"] = {client.user_id: {signer: signing.sign(master, seeds.user_signing)}}
    answer = await client.call("POST", path("keys", "signatures", "upload"), {user_id: {master_key: master}})
    if answer.get("failures"):
        raise OperatorError("identity.signature_refused", device_id=master_key)


async def _publish(client: Client, account: Account, seeds: Seeds) -> None:
    user_id, device_id = account.user_id, account.device_id
    master_key = signing.public_key(seeds.master)

    def key(usage: str, public: str) -> JsonObject:
        return {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{public}": public}}

    master = key("master", master_key)
    master["signatures"] = {user_id: {f"ed25519:{device_id}": client.machine.sign_json(master)}}
    content: JsonObject = {"master_key": master}
    for usage, seed in (("self_signing", seeds.self_signing), ("user_signing", seeds.user_signing)):
        signed = key(usage, signing.public_key(seed))
        signed["signatures"] = {user_id: {f"ed25519:{master_key}": signing.sign(signed, seeds.master)}}
        content[f"{usage}_key"] = signed
    await _with_password(client, account, path("keys", "device_signing", "upload"), content)


async def _with_password(client: Client, account: Account, url_path: str, content: Mapping[str, Any]) -> None:
    """POST where the server may ask for the password again (user-interactive authentication)."""
    try:
        await client.call("POST", url_path, content)
    except MatrixError as refused:
        if refused.status != 401:
            raise
        auth = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": account.user_id},
            "password": account.password,
            "session": refused.session,
        }
        await client.call("POST", url_path, {**content, "auth": auth})


async def remember(client: Client, account: Account, more: Mapping[str, bytes]) -> None:
    """Put more secrets into secret storage.

    One that somebody made anew, with another key, is made anew by us: what it should hold lies here.
    """
    store = SecretStore(client, RecoveryKey.parse(account.recovery_key))
    try:
        for name, secret in more.items():
            await store.put(name, secret)
    except OperatorError as lost:
        if lost.code not in ("recovery.wrong_key", "recovery.no_storage") or account.seeds is None:
            raise
        log.error("secret_storage.replaced", account=account.user_id)
        await store.fill({**_secrets(account.seeds), **more})


async def recalled(client: Client, recovery: RecoveryKey) -> Seeds:
    """The seeds out of secret storage, proven to be those of the identity that the server shows.

    Raises OperatorError ``recovery.no_storage``, ``recovery.wrong_key``, or ``identity.replaced``.
    """
    store = SecretStore(client, recovery)
    found = {attribute: await store.read(name) for name, attribute in SECRETS.items()}
    if not all(found.values()):
        raise OperatorError("recovery.no_storage", user_id=client.user_id)
    seeds = Seeds(**{attribute: secret.hex() for attribute, secret in found.items() if secret})
    master, _, _ = await published(client)
    if next(iter((master.get("keys") or {}).values()), None) != signing.public_key(seeds.master):
        raise OperatorError("identity.replaced", user_id=client.user_id)
    return seeds


async def sign_out_others(client: Client, account: Account, devices: Iterable[str] | None = None) -> int:
    """End these sessions of the account, or all but ours; returns how many there were."""
    answer = await client.call("GET", path("devices"))
    present = {str(device["device_id"]) for device in answer["devices"]} - {str(client.device_id)}
    unwanted = sorted(present if devices is None else present & set(devices))
    if unwanted:
        await _with_password(client, account, path("delete_devices"), {"devices": unwanted})
    return len(unwanted)


async def _sign_device(client: Client, seeds: Seeds, device: JsonObject) -> None:
    """Sign our device as we know it. What the server shows of it is compared, and never signed: it could show
    keys of its own, and would then hold our signature over them."""
    if not device:
        raise OperatorError("identity.device_unknown", device_id=client.device_id)
    ours = _vouched(client, seeds)
    if device.get("keys") != ours["keys"]:
        raise OperatorError("identity.chain_broken", user_id=client.user_id, device_id=str(client.device_id))
    answer = await client.call(
        "POST", path("keys", "signatures", "upload"), {client.user_id: {str(client.device_id): ours}}
    )
    if answer.get("failures"):
        raise OperatorError("identity.signature_refused", device_id=client.device_id)


def _secrets(seeds: Seeds) -> dict[str, bytes]:
    return {name: bytes.fromhex(getattr(seeds, attribute)) for name, attribute in SECRETS.items()}


def _vouched(client: Client, seeds: Seeds) -> JsonObject:
    """Our device keys, signed by the device itself and by our self-signing key."""
    olm, device_id = client.machine, str(client.device_id)
    keys = {f"{kind}:{device_id}": key for kind, key in olm.account.identity_keys.items()}
    device: JsonObject = {
        "user_id": client.user_id,
        "device_id": device_id,
        "algorithms": list(olm._algorithms),
        "keys": keys,
    }
    device["signatures"] = {
        client.user_id: {
            f"ed25519:{device_id}": olm.sign_json(device),
            f"ed25519:{signing.public_key(seeds.self_signing)}": signing.sign(device, seeds.self_signing),
        }
    }
    return device
