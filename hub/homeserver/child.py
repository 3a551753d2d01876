"""A Synapse process as a child of this one: born, answering, ended."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

import aiohttp


async def spawn(module: str, *arguments: str, cwd: Path, log: Path) -> Process:
    """Run a Python module that cannot outlive us; what it prints before opening its log goes to ``log``.

    The kernel ties it to the *thread* that calls: call from the event loop's, which should be the main one.
    """
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "hub.homeserver._launch", str(os.getpid()), module, *arguments),
            cwd=cwd,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the hub, which sends what it has before it stops us
        )


async def answers(process: Process, url: str, patience: float) -> bool:
    """True as soon as it says that it is well; False when it ended, or kept silent ``patience`` seconds."""
    try:
        async with asyncio.timeout(patience), aiohttp.ClientSession() as session:
            while process.returncode is None:
                try:
                    async with session.get(f"{url}/health") as answer:
                        if answer.status == 200:
                            return True
                except aiohttp.ClientError:
                    pass  # not listening yet
                await asyncio.sleep(0.1)
    except TimeoutError:
        pass
    return False


async def end(process: Process, patience: float = 10.0) -> None:
    """Ask it to end, then make it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
