"""Who waits for silence waits for the work, not for a while."""

from __future__ import annotations

import asyncio

from hub.delivery.bell import Bell

LONG = 60.0


async def test_silence_comes_when_the_loop_has_nothing_more_to_do() -> None:
    bell, work, done = Bell(), ["one", "two"], []

    async def loop() -> None:
        while True:
            while work:
                await asyncio.sleep(0)
                done.append(work.pop(0))
            await bell.wait(LONG)

    looping = asyncio.create_task(loop())
    await bell.silence()
    assert done == ["one", "two"]
    work.append("three")
    bell.ring()
    await bell.silence()
    assert done == ["one", "two", "three"]
    looping.cancel()


async def test_a_ring_during_the_work_is_not_lost() -> None:
    bell = Bell()
    bell.ring()
    async with asyncio.timeout(LONG):
        await bell.wait(2 * LONG)


async def test_there_is_no_silence_while_something_is_under_way() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.silence())
    await bell.wait(0.01, idle=False)
    assert not waiting.done()
    await bell.wait(0.01)
    async with asyncio.timeout(LONG):
        await waiting
