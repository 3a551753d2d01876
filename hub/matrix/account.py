"""The secrets of one account's device, at rest in one sealed file.

Access token, password, the key of the key store and the cross-signing seeds live together because they are
useless apart, and are written together (atomically, 0600, sealed with the master key).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from hub.seal import Master, seal_file, unseal_file


@dataclass(frozen=True)
class Seeds:
    """The private halves of a cross-signing identity: 32 bytes each, as hexadecimal text."""

    master: str = field(repr=False)
    self_signing: str = field(repr=False)
    user_signing: str = field(repr=False)


@dataclass(frozen=True)
class Account:
    """What a device needs to come back as itself."""

    homeserver: str
    user_id: str
    device_id: str
    password: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    pickle_key: str = field(default="", repr=False)
    seeds: Seeds | None = field(default=None, repr=False)
    recovery_key: str = field(default="", repr=False)
    recovery_shown: bool = False
    backup_key: str = field(default="", repr=False)
    """Private half of the key backup's key: 32 bytes, as hexadecimal text."""
    former_device: str = ""
    """A device of ours whose keys are lost, to be signed out."""
    restoring: bool = False
    """Whether ``identity restore`` was begun and has not ended."""
    rate_limits_lifted: bool = False
    """Whether we lifted them; where others made the account, nobody told us."""

    @property
    def name(self) -> str:
        """How stores call this account: its user id."""
        return self.user_id


def new_device_id() -> str:
    """Unique over all accounts: nio would refuse to share keys between two that had the same."""
    return "PARCOURS" + secrets.token_hex(5).upper()


def new_pickle_key() -> str:
    """What the key store is encrypted with: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class AccountFile:
    """Where an account sleeps: ``account.sealed`` in its folder, beside the key stores of its devices."""

    folder: Path
    master: Master

    @property
    def path(self) -> Path:
        return self.folder / "account.sealed"

    def load(self) -> Account | None:
        """The account, or None on a first start. OperatorError when it cannot be opened."""
        if not self.path.exists():
            return None
        found = json.loads(unseal_file(self.path, self.master))
        seeds = found.pop("seeds")
        return Account(**found, seeds=Seeds(**seeds) if seeds else None)

    def save(self, account: Account) -> Account:
        """Replace the file; the old one stays whole until the new one is on disk."""
        with self._alone():
            return self._write(account)

    def update(self, account: Account, **changes: object) -> Account:
        """These changes, and nothing else: what others wrote since ``account`` was read stays."""
        with self._alone():
            return self._write(replace(self.load() or account, **changes))  # type: ignore[arg-type]

    def seal_anew(self) -> None:
        """Seal what is there with the present master key, beside a process that uses it."""
        with self._alone():
            seal_file(self.path, self.master, unseal_file(self.path, self.master))

    def _write(self, account: Account) -> Account:
        seal_file(self.path, self.master, json.dumps(asdict(account)).encode())
        return account

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.folder / "account.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
