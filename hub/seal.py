"""Sealing at rest: who steals the disk, or a copy of the database, reads nothing.

Two levels. A *master key* lives in a file of its own (or in the environment), away from the data. It wraps
*data keys*, one for each scope (a room, a pathway's journal), which seal the payloads. Destroying one
wrapped data key therefore erases everything of its scope at once, in every copy of the rows.

The cipher is XChaCha20-Poly1305 (libsodium, by PyNaCl): its nonces are long enough to be drawn at random
for ever. What stands in the clear beside a box (identities, times) goes in as ``aad``, so that a box moved
to another row, or a row edited around its box, no longer opens.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import tempfile
from pathlib import Path

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as _decrypt,
)
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_encrypt as _encrypt,
)
from nacl.exceptions import CryptoError

from hub.errors import OperatorError

KEY_BYTES = 32
ENVIRONMENT = "PARCOURS_MASTER_KEY"

_VERSION = b"\x01"
_NONCE_BYTES = 24
_TAG_BYTES = 16
_ID_BYTES = 8


class SealBroken(Exception):
    """A box does not open: it was altered, moved, cut short, or sealed with another key."""


class KeyErased(Exception):
    """The key of this box was destroyed on purpose: what it held no longer exists."""


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Version byte, nonce, then ciphertext and tag: 41 bytes longer than ``plaintext``."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return _VERSION + nonce + _encrypt(plaintext, _VERSION + aad, nonce, key)


def unseal(key: bytes, box: bytes, aad: bytes) -> bytes:
    """What :func:`seal` was given. Raises :class:`SealBroken`, without a why: nobody should learn from it."""
    if len(box) < 1 + _NONCE_BYTES + _TAG_BYTES or box[:1] != _VERSION:
        raise SealBroken
    nonce, ciphertext = box[1 : 1 + _NONCE_BYTES], box[1 + _NONCE_BYTES :]
    try:
        return _decrypt(ciphertext, _VERSION + aad, nonce, key)
    except CryptoError:
        raise SealBroken from None


class MasterKey:
    """32 random bytes that wrap every data key. ``id`` tells two of them apart and gives nothing away."""

    __slots__ = ("_secret", "id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError("a master key has 32 bytes")
        self._secret = secret
        self.id = hashlib.blake2b(secret, digest_size=_ID_BYTES, person=b"parcours-key-id").digest()

    def __repr__(self) -> str:
        return f"<MasterKey {self.id.hex()}>"

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """The id of this key, then the box: the right key is recognised before it is tried."""
        return self.id + seal(self._secret, plaintext, aad)

    def unseal(self, box: bytes, aad: bytes) -> bytes:
        """Raises OperatorError ``seal.wrong_master_key``, or :class:`SealBroken`."""
        if len(box) < _ID_BYTES:
            raise SealBroken
        if box[:_ID_BYTES] != self.id:
            raise OperatorError(
                "seal.wrong_master_key", expected=box[:_ID_BYTES].hex(), present=self.id.hex()
            )
        return unseal(self._secret, box[_ID_BYTES:], aad)

    @classmethod
    def generate(cls) -> MasterKey:
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def create(cls, path: Path) -> MasterKey:
        """Draw a key and write it to ``path``, readable by its owner alone. Never replaces a file."""
        key = cls.generate()
        # A link, unlike a rename, fails where something stands already: a key overwritten is a database lost.
        _write(path, (key._secret.hex() + "\n").encode(), replace=False)
        return key

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """Read the key back. Refuses a file that others than its owner may read."""
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(1024)
        except FileNotFoundError:
            raise OperatorError("seal.master_key_missing", path=str(path)) from None
        except OSError:
            raise OperatorError("seal.master_key_unreadable", path=str(path)) from None
        if mode & 0o077:
            raise OperatorError("seal.master_key_permissions", path=str(path))
        return _parse(text, str(path))

    @classmethod
    def from_env(cls, variable: str = ENVIRONMENT) -> MasterKey | None:
        """The key in the environment, written as in the file; None when the variable is unset or empty."""
        text = os.environ.get(variable, "")
        return _parse(text.encode(), variable) if text.strip() else None


def _parse(text: bytes, source: str) -> MasterKey:
    try:
        return MasterKey(bytes.fromhex(text.decode("ascii").strip()))
    except ValueError:
        # "from None": the exception we caught quotes what it could not read.
        raise OperatorError("seal.master_key_malformed", source=source) from None


class Vault:
    """Makes data keys, and wraps them with the master key so that they may be stored."""

    __slots__ = ("_master",)

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    @property
    def master_id(self) -> str:
        return self._master.id.hex()

    def new_data_key(self) -> bytes:
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, data_key: bytes, about: bytes = b"") -> bytes:
        """``about`` says whose key it is: a wrapped key moved to another scope does not unwrap."""
        return self._master.seal(data_key, b"data-key\0" + about)

    def unwrap(self, wrapped: bytes, about: bytes = b"") -> bytes:
        """Raises OperatorError ``seal.wrong_master_key``, or :class:`SealBroken`."""
        return self._master.unseal(wrapped, b"data-key\0" + about)


def seal_file(path: Path, master: MasterKey, data: bytes) -> None:
    """Write ``data`` sealed. A crash at any moment leaves the former file or the new one, whole."""
    _write(path, master.seal(data, _file_aad(path)), replace=True)


def unseal_file(path: Path, master: MasterKey) -> bytes:
    """What :func:`seal_file` wrote. FileNotFoundError without a file; OperatorError when it does not open."""
    try:
        return master.unseal(path.read_bytes(), _file_aad(path))
    except SealBroken:
        raise OperatorError("seal.file_broken", path=str(path)) from None


def _file_aad(path: Path) -> bytes:
    return b"file\0" + path.name.encode()


def _write(path: Path, data: bytes, *, replace: bool) -> None:
    try:
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}."
        )  # 0600 from its first byte on
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                Path(name).replace(path)
            else:
                path.hardlink_to(name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # without it a power cut may undo the rename
        finally:
            os.close(folder)
    except FileExistsError:
        raise OperatorError("seal.master_key_exists", path=str(path)) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise OperatorError("seal.disk_full" if full else "seal.not_writable", path=str(path)) from error
