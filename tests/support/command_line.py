"""``parcours up`` as a process of its own: started, heard, ended; and what is left of it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
import pty
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.synapse import TestHomeserver

START_SECONDS = 120.0
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Up:
    """A ``parcours up`` that runs, and all that it has printed."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has said READY, or ended."""

    @property
    def ready(self) -> dict[str, Any]:
        """What follows READY."""
        lines = [line for line in self.lines if line.startswith("READY ")]
        assert lines, "\n".join(self.lines)
        found: dict[str, Any] = json.loads(lines[0].removeprefix("READY "))
        return found

    async def says(self, *words: str) -> None:
        """Wait for a line with one of these."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not any(word in line for word in words for line in self.lines):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError("\n".join(self.lines)) from None

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def started(
    data: Path,
    *options: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
    through: Sequence[str] = (),
) -> AsyncIterator[Up]:
    """Start it, without waiting for anything. Killed in the end if it still runs.

    ``through``: a command that becomes the one behind it.
    """
    process = await asyncio.create_subprocess_exec(
        *through,
        sys.executable,
        *("-m", "hub", "up", "--data", str(data), *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=surroundings(env),
        preexec_fn=before,
    )
    running = Up(process)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            running.lines.append(line.decode().rstrip("\n"))
            if line.startswith(b"READY "):
                running.told.set()
        running.told.set()

    reading = asyncio.create_task(read())
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


@asynccontextmanager
async def up(
    data: Path,
    *options: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
    through: Sequence[str] = (),
) -> AsyncIterator[Up]:
    """Start it and wait for READY, or for its end. Killed in the end if it still runs."""
    async with started(data, *options, env=env, before=before, through=through) as running:
        async with asyncio.timeout(START_SECONDS):
            await running.told.wait()
        yield running


@dataclass
class Terminal:
    """A command of the operator at a terminal, and all that he has seen of it."""

    process: asyncio.subprocess.Process
    keyboard: int
    seen: str = ""
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def shows(self, *words: str, seconds: float = 60.0) -> str:
        """Wait until it has shown these; returns what it showed after the last look, colours taken off."""

        def all_there() -> bool:
            return all(word in self.seen for word in words)

        try:
            async with asyncio.timeout(seconds), self._more:
                await self._more.wait_for(all_there)
        except TimeoutError:
            raise AssertionError(f"{words} not in:\n{self.seen}") from None
        shown, self.seen = self.seen, ""
        return shown

    def type(self, line: str) -> None:
        os.write(self.keyboard, f"{line}\n".encode())

    async def ended(self) -> int:
        """Its exit status."""
        async with asyncio.timeout(START_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def at_terminal(
    data: Path, *command: str, env: dict[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """A command of ``parcours`` at a terminal of its own. Killed in the end if it still runs."""
    keyboard, screen = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hub", *command, "--data", str(data)),
        stdin=screen,
        stdout=screen,
        stderr=screen,
        start_new_session=True,
        env=surroundings({"TERM": "xterm", **(env or {})}),
    )
    os.close(screen)
    terminal, loop = Terminal(process, keyboard), asyncio.get_running_loop()

    async def read() -> None:
        # In a thread: a terminal is no pipe that the loop could watch to its end.
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while chunk := await loop.run_in_executor(None, _read, keyboard):
            async with terminal._more:
                terminal.seen += _COLOURS.sub("", decode(chunk))
                terminal._more.notify_all()

    reading = asyncio.create_task(read())
    try:
        yield terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
        os.close(keyboard)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


async def command(*words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """``parcours WORDS``, without a terminal: its exit status, and what it said; never a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hub", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=surroundings(env),
    )
    async with asyncio.timeout(START_SECONDS):
        said = (await process.communicate())[0].decode()
    assert process.returncode is not None
    assert "Traceback" not in said
    return process.returncode, said


def surroundings(env: dict[str, str] | None = None) -> dict[str, str]:
    """This process' environment without settings of a hub, and with ``env``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARCOURS_")}
    return {**kept, "PARCOURS_LANGUAGE": "fr", "COLUMNS": "200", **(env or {})}


def children_of(data: Path) -> list[str]:
    """Processes whose command line names this data folder."""
    found = []
    for proc in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(data) in command:
                found.append(command)
    return found


async def nothing_left(data: Path) -> None:
    """Wait until no process has to do with this folder."""
    async with asyncio.timeout(15):
        while children_of(data):
            await asyncio.sleep(0.05)


def on(homeserver: TestHomeserver, folder: Path, localpart: str) -> dict[str, str]:
    """The environment of a hub on a homeserver that is there already."""
    secret = folder / "secret"
    secret.write_text(homeserver.registration_secret)
    return {
        "PARCOURS_HOMESERVER__URL": homeserver.url,
        "PARCOURS_HOMESERVER__SERVER_NAME": homeserver.server_name,
        "PARCOURS_HOMESERVER__REGISTRATION_SECRET_PATH": str(secret),
        "PARCOURS_HUB__LOCALPART": localpart,
        "PARCOURS_WEB__PORT": "0",
    }
