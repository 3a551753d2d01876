"""A new master key while the hub runs: every data key wrapped anew, and then the former key put away.

The key's file holds both keys meanwhile, and whoever runs notices: what is sealed from then on is sealed with
the new one. A kill anywhere is finished by the next call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hub.matrix.account import AccountFile
from hub.seal import MasterKeyFile
from hub.storage.engine import Database

KEYS_PER_TRANSACTION = 500
SETTLING_SECONDS = 2.0
"""Whoever was sealing with the former key as the file changed has ended by then."""


@dataclass(frozen=True)
class Rotated:
    """How many data keys were wrapped anew, and where the former master keys are now."""

    keys: int
    former: list[Path]


async def rotate(master: MasterKeyFile, db: Database, accounts: Iterable[AccountFile]) -> Rotated:
    """Give the hub a new master key. ``db`` and ``accounts`` are opened with ``master``."""
    master.begin_rotation()
    keys = await _rewrapped(db)
    await asyncio.sleep(SETTLING_SECONDS)
    keys += await _rewrapped(db)
    for account in accounts:
        account.seal_anew()
    return Rotated(keys, master.end_rotation())


async def _rewrapped(db: Database) -> int:
    total = 0
    while True:
        async with db.transaction() as tx:
            done = await tx.keys.rewrap(KEYS_PER_TRANSACTION)
        if not done:
            return total
        total += done
