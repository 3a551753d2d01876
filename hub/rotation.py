"""A new master key while the hub runs: every data key wrapped anew, and then the former key put away.

The key's file holds both keys meanwhile, and whoever runs notices: what is sealed from then on is sealed with
the new one. A kill anywhere is finished by the next call.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hub.errors import OperatorError
from hub.matrix.account import AccountFile
from hub.seal import MasterKeyFile
from hub.storage.engine import Database

KEYS_PER_TRANSACTION = 500


@dataclass(frozen=True)
class Rotated:
    """How many data keys were wrapped anew, and where the former master keys are now."""

    keys: int
    former: list[Path]


async def rotate(master: MasterKeyFile, db: Database, accounts: Iterable[AccountFile]) -> Rotated:
    """Give the hub a new master key. ``db`` and ``accounts`` are opened with ``master``.

    Raises OperatorError ``keys.rotating`` when another rotation is under way.
    """
    with _alone(master.path):
        master.begin_rotation()
        keys, done = 0, 1
        while done:
            async with db.transaction() as tx:
                done = await tx.keys.rewrap(KEYS_PER_TRANSACTION)
            keys += done
        # Who began before the file changed may still be writing a key under the former one: wait for them.
        async with db.transaction() as tx:
            keys += await tx.keys.rewrap_the_last()
        await db.sweep()
        for account in accounts:
            account.seal_anew()
        return Rotated(keys, master.end_rotation())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise OperatorError("keys.rotating") from None
    finally:
        os.close(lock)
