"""The network between homeservers of one computer: an HTTP proxy that reaches each of them by its name.

Few systems resolve names such as ``cabinet.localhost``, and one port 443 is not enough for two. So Synapse is
given this proxy, which is told the names, and reaches the world as elsewhere: by name, on port 443, with TLS
that passes here unread. Whoever is not known here is refused: nothing leaves the computer.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from typing import Self

_CONNECT = re.compile(rb"CONNECT (?P<name>[^ :]+):[0-9]+ HTTP/1\.[01]\r\n")
_STARTING_SECONDS = 60.0
_PIECE = 64 * 1024


class Link:
    """``async with``, or ``start()`` and ``stop()``: a link that was cut and mended keeps its address."""

    def __init__(self) -> None:
        self._ports: dict[bytes, int] = {}
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tunnels: set[asyncio.Task[None]] = set()

    def know(self, server_name: str, port: int) -> None:
        """That server speaks TLS on this port of loopback."""
        self._ports[server_name.encode()] = port

    @property
    def url(self) -> str:
        """What Synapse calls its ``https_proxy``. Known once started."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Connect who asks to be connected, from now on."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and break those that are open, in the middle of a word."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for tunnel in self._tunnels:
            tunnel.cancel()
        await asyncio.gather(*self._tunnels, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        tunnel = asyncio.create_task(self._answer(reader, writer))
        self._tunnels.add(tunnel)
        tunnel.add_done_callback(self._tunnels.discard)

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one of both is gone: the other learns it by the end of the connection
        finally:
            writer.transport.abort()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        asked = _CONNECT.match(await reader.readuntil(b"\r\n\r\n"))
        port = self._ports.get(asked["name"]) if asked else None
        if port is None:
            writer.write(b"HTTP/1.0 403 Forbidden\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        there_reader, there_writer = await _reached(port)
        try:
            writer.write(b"HTTP/1.0 200 Connected\r\n\r\n")
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, there_writer))
                both.create_task(_copy(there_reader, writer))
        except* OSError:
            pass
        finally:
            there_writer.transport.abort()


async def _reached(port: int) -> tuple[StreamReader, StreamWriter]:
    """A connection; one that is still starting is waited for, or Synapse would give it up for an hour."""
    async with asyncio.timeout(_STARTING_SECONDS):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)


async def _copy(source: StreamReader, target: StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        target.write(piece)
        await target.drain()
    target.write_eof()
