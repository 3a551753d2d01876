"""The sealed file of an account, written by more than one."""

from __future__ import annotations

from pathlib import Path

from hub.matrix.account import Account, AccountFile
from hub.seal import MasterKey


def test_each_changes_its_own_and_undoes_nobody_else(tmp_path: Path) -> None:
    """Two note something of their own, and both had read the file before either wrote."""
    file = AccountFile(tmp_path, MasterKey.generate())
    read = file.save(Account("http://x", "@hub:x", "DEVICE", "password"))
    file.update(read, backup_key="11" * 32)
    file.update(read, recovery_shown=True)
    kept = file.load()
    assert kept is not None
    assert (kept.backup_key, kept.recovery_shown) == ("11" * 32, True)
