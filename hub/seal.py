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
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

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


class Master(Protocol):
    """What data keys are wrapped with: a master key, or the file that holds the present one."""

    @property
    def id(self) -> bytes:
        """Tells two of them apart and gives nothing away."""
        ...

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """The id of the key, then the box."""
        ...

    def unseal(self, box: bytes, aad: bytes) -> bytes:
        """Raises OperatorError ``seal.wrong_master_key``, or :class:`SealBroken`."""
        ...


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
        _write(path, _text([key]), replace=False)
        return key

    @classmethod
    def from_env(cls, variable: str = ENVIRONMENT) -> MasterKey | None:
        """The key in the environment, written as in the file; None when the variable is unset or empty."""
        text = os.environ.get(variable, "")
        return _parse(text.encode(), variable) if text.strip() else None


class MasterKeyFile:
    """The master key as its file holds it now: a rotation is noticed by whoever runs.

    The first line seals. During a rotation the others open what the former key sealed, until all of it is
    sealed anew. Made from a file that is not as it must be, it raises OperatorError ``seal.master_key_…``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp, self._keys = _read(path)

    @property
    def keys(self) -> tuple[MasterKey, ...]:
        """The present key, then former ones."""
        # A file that was taken away or spoilt stops the next start, not what is at work.
        with contextlib.suppress(OSError, OperatorError):
            if _stamp(self.path.stat()) != self._stamp:
                self._stamp, self._keys = _read(self.path)
        return self._keys

    @property
    def id(self) -> bytes:
        return self.keys[0].id

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """With the present key."""
        return self.keys[0].seal(plaintext, aad)

    def unseal(self, box: bytes, aad: bytes) -> bytes:
        """With the key that sealed it, if the file has it."""
        keys = self.keys
        return next((key for key in keys if box.startswith(key.id)), keys[0]).unseal(box, aad)

    def begin_rotation(self) -> None:
        """Put a new key before the present one; does nothing when a rotation is under way."""
        if len(self.keys) == 1:
            self._write([MasterKey.generate(), *self.keys])

    def end_rotation(self) -> list[Path]:
        """Put each former key, which opens backups from before, into a file of its own; returns the files."""
        present, *former = self.keys
        kept = []
        for key in former:
            kept.append(self.path.with_name(f"{self.path.name}.{key.id.hex()}"))
            _write(kept[-1], _text([key]), replace=True)
        self._write([present])
        return kept

    def _write(self, keys: Iterable[MasterKey]) -> None:
        _write(self.path, _text(keys), replace=True)


def _read(path: Path) -> tuple[object, tuple[MasterKey, ...]]:
    """By what a change of the file shows, and its keys, the present one first."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(1024)
    except FileNotFoundError:
        raise OperatorError("seal.master_key_missing", path=str(path)) from None
    except OSError:
        raise OperatorError("seal.master_key_unreadable", path=str(path)) from None
    if status.st_mode & 0o077:
        raise OperatorError("seal.master_key_permissions", path=str(path))
    lines = text.split() or [text]
    return _stamp(status), tuple(_parse(line, str(path)) for line in lines)


def _stamp(status: os.stat_result) -> object:
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _text(keys: Iterable[MasterKey]) -> bytes:
    return "".join(key._secret.hex() + "\n" for key in keys).encode()


def _parse(text: bytes, source: str) -> MasterKey:
    try:
        return MasterKey(bytes.fromhex(text.decode("ascii").strip()))
    except ValueError:
        # "from None": the exception we caught quotes what it could not read.
        raise OperatorError("seal.master_key_malformed", source=source) from None


class Vault:
    """Makes data keys, and wraps them with the master key so that they may be stored."""

    __slots__ = ("_master",)

    def __init__(self, master: Master) -> None:
        self._master = master

    @property
    def master_id(self) -> bytes:
        """Of the key that wraps now; every wrapped key begins with the id of the one that wrapped it."""
        return self._master.id

    def new_data_key(self) -> bytes:
        return secrets.token_bytes(KEY_BYTES)

    def wrap(self, data_key: bytes, about: bytes = b"") -> bytes:
        """``about`` says whose key it is: a wrapped key moved to another scope does not unwrap."""
        return self._master.seal(data_key, b"data-key\0" + about)

    def unwrap(self, wrapped: bytes, about: bytes = b"") -> bytes:
        """Raises OperatorError ``seal.wrong_master_key``, or :class:`SealBroken`."""
        return self._master.unseal(wrapped, b"data-key\0" + about)


def seal_file(path: Path, master: Master, data: bytes) -> None:
    """Write ``data`` sealed. A crash at any moment leaves the former file or the new one, whole."""
    _write(path, master.seal(data, _file_aad(path)), replace=True)


def unseal_file(path: Path, master: Master) -> bytes:
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
