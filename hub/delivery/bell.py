"""What wakes a loop that works something off, and tells others when it has come to its end."""

from __future__ import annotations

import asyncio
import contextlib


class Bell:
    """Rung by whoever brings work; waited for by the one loop that does it."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._idle = asyncio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._rung.set()
        self._idle.clear()

    async def wait(self, seconds: float, *, idle: bool = True) -> None:
        """For the loop, before it looks again: until it rings, or so many seconds have passed.

        ``idle``: whether nothing is under way meanwhile.
        """
        if idle and not self._rung.is_set():
            self._idle.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()

    async def silence(self) -> None:
        """For others: until all that it was rung for is done."""
        await self._idle.wait()
