"""A disk that is full: a small file system of its own where the system lets us mount one, else a quota.

    async with small_disk(folder) as disk:                   # what lies in ``folder`` lies on it
        async with up(disk.folder, through=disk.command) as hub:
            disk.fill(hub.process.pid)
            disk.free(hub.process.pid)
        disk.bring_back(folder)

``Mounted`` is a tmpfs in a name space of its own, so that it needs no right but that of making one, and goes
with its last process. ``Quota`` lets no file of the process grow (RLIMIT_FSIZE): any system has it, and the
hub sees EFBIG instead of ENOSPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_WAYS_IN = {
    ("unshare", "--user", "--map-root-user", "--mount"): ("--user", "--preserve-credentials", "--mount"),
    ("unshare", "--mount"): ("--mount",),
}
"""How to make a name space in which one may mount → how to enter it: with a user name space, and as root."""

_HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$2" && cp -a "$3/." "$2" && echo mounted && read -r _'


class Disk(Protocol):
    """A disk that a hub's data folder lies on."""

    kind: str
    command: Sequence[str]
    """What a process is started through, to see it."""
    folder: Path

    def fill(self, pid: int) -> None:
        """Leave no room for this process."""

    def free(self, pid: int) -> None:
        """Give the room back."""

    def bring_back(self, folder: Path) -> None:
        """Copy what lies on it, for those who do not see it."""


@dataclass
class Mounted:
    command: Sequence[str]
    folder: Path
    _seen_from_here: Path
    kind: str = "full file system"

    @property
    def _filler(self) -> Path:
        return self._seen_from_here / "filler"

    def fill(self, pid: int) -> None:
        with self._filler.open("wb", buffering=0) as file:
            for size in (2**16, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self, pid: int) -> None:
        self._filler.unlink()

    def bring_back(self, folder: Path) -> None:
        shutil.copytree(self._seen_from_here, folder, dirs_exist_ok=True)


@dataclass
class Quota:
    folder: Path
    command: Sequence[str] = ()
    kind: str = "quota"

    def fill(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self, pid: int) -> None:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    def bring_back(self, folder: Path) -> None:
        """It lies there."""


@asynccontextmanager
async def small_disk(folder: Path, megabytes: int = 16) -> AsyncIterator[Disk]:
    """A copy of ``folder`` on a small file system; in a quota where none can be mounted."""
    for make, enter in _WAYS_IN.items():
        async with _holder(make, folder, megabytes) as (holder, place):
            command = ("nsenter", f"--target={holder.pid}", *enter)
            if await _mounted(holder) and await _works(*command, "true"):
                yield Mounted(command, place, Path(f"/proc/{holder.pid}/root{place}"))
                return
    async with quota(folder) as disk:
        yield disk


@asynccontextmanager
async def quota(folder: Path) -> AsyncIterator[Disk]:
    """``folder`` itself, whose files cannot grow while it is full."""
    yield Quota(folder)


@asynccontextmanager
async def _holder(make: Sequence[str], folder: Path, megabytes: int) -> AsyncIterator[tuple[Process, Path]]:
    """The process that keeps the name space, and where in it the copy of ``folder`` lies."""
    place = folder.with_name(f"{folder.name}-small")
    place.mkdir(exist_ok=True)
    holder = await asyncio.create_subprocess_exec(
        *(*make, "sh", "-c", _HOLD, "sh", f"{megabytes}m", str(place), str(folder)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        yield holder, place
    finally:
        assert holder.stdin is not None
        holder.stdin.close()
        await holder.wait()


async def _mounted(holder: Process) -> bool:
    assert holder.stdout is not None
    return await holder.stdout.readline() == b"mounted\n"


async def _works(*command: str) -> bool:
    return await (await asyncio.create_subprocess_exec(*command, stderr=DEVNULL)).wait() == 0
