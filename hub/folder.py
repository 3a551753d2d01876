"""The data folder: ours alone while we run, and where the master key is unless it is given otherwise."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.errors import OperatorError
from hub.seal import Master, MasterKey, MasterKeyFile


@contextmanager
def ours(data: Path) -> Iterator[None]:
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
