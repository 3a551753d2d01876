"""The other side of the baseline, as a process of its own: ``python -m tests.bench.echo plain`` or ``nio``.

``plain`` sees a message and sends a reply, and nothing else. ``nio`` is an encrypted bot on matrix-nio that
stores and checks nothing. The account comes in the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.raw import Raw
from tests.interop.plain_bot import PlainBot


@asynccontextmanager
async def echo(kind: str, url: str, user_id: str, secret: str) -> AsyncIterator[None]:
    """An echo that serves for the length of a block. ``secret``: a token for ``plain``, else a password."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench.echo", kind),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "ECHO_URL": url, "ECHO_USER": user_id, "ECHO_SECRET": secret},
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"READY\n"
        yield
    finally:
        process.kill()
        await process.wait()


async def plain(url: str, user_id: str, token: str) -> None:
    """Reply to every message of the others."""
    async with Raw.speaking(url, token) as raw:
        since = (await raw.sync(None))["next_batch"]
        print("READY", flush=True)
        while True:
            news = await raw.sync(since)
            since = news["next_batch"]
            for room_id, room in news.get("rooms", {}).get("join", {}).items():
                for event in room["timeline"]["events"]:
                    if event["type"] == "m.room.message" and event["sender"] != user_id:
                        relation = {"m.in_reply_to": {"event_id": event["event_id"]}}
                        reply = {"msgtype": "m.notice", "body": "Bien reçu.", "m.relates_to": relation}
                        await raw.send(room_id, "m.room.message", reply)


async def nio(url: str, user_id: str, password: str) -> None:
    """Serve as PlainBot."""
    with tempfile.TemporaryDirectory() as store:
        async with PlainBot.start(url, user_id, password, Path(store)):
            print("READY", flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    serve = {"plain": plain, "nio": nio}[sys.argv[1]]
    asyncio.run(serve(os.environ["ECHO_URL"], os.environ["ECHO_USER"], os.environ["ECHO_SECRET"]))
