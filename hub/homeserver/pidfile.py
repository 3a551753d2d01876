"""Which process is ours. A number alone is not enough: numbers are used again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from hub.errors import OperatorError

_PROC = Path("/proc")
_PATIENCE = 10.0  # seconds


def write(path: Path, pid: int) -> None:
    """Record a child, and ourselves as its parent: process id and start time of each."""
    path.write_text(f"{pid} {_born(pid)} {os.getpid()} {_born(os.getpid())}\n")


def end_stale(path: Path, mark: str) -> None:
    """End the child that an earlier start left behind, if it runs and has ``mark`` in its command line.

    Blocks for twenty seconds at most. Raises `OperatorError` ``homeserver.already_running`` when its parent
    is alive and is not us: two hubs on one folder.
    """
    try:
        pid, born, parent, parent_born = (int(number) for number in path.read_text().split())
    except (OSError, ValueError):
        return
    if born == 0 or _born(pid) != born or mark not in _command(pid):
        return
    if parent != os.getpid() and _born(parent) == parent_born:
        raise OperatorError("homeserver.already_running", pid=parent)
    for kind in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _PATIENCE
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, kind)
        while time.monotonic() < deadline:
            if _born(pid) != born:
                return
            time.sleep(0.05)


def _born(pid: int) -> int:
    """Start time in kernel ticks since boot; 0 when there is no such process, or it waits to be reaped."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace")
    except OSError:
        return ""
