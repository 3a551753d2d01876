"""The link between homeservers of one computer: who is reached, who is refused, what a cut breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hub.homeserver.link import Link
from tests.support.synapse import free_port

NAME = "cabinet.localhost"
CONNECTED, REFUSED = b"HTTP/1.0 200 Connected\r\n\r\n", b"HTTP/1.0 403 Forbidden\r\n\r\n"


@asynccontextmanager
async def repeating(port: int = 0) -> AsyncIterator[int]:
    """A server that says everything again; its port."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(1024):
            writer.write(said)
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", port)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def asked(link: Link, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(link.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    return reader, writer


async def test_a_server_is_reached_by_its_name_whatever_the_port_asked_for() -> None:
    async with repeating() as port, Link() as link:
        link.know(NAME, port)
        for asked_for in (443, 8448):
            reader, writer = await asked(link, f"CONNECT {NAME}:{asked_for} HTTP/1.0\r\n\r\n".encode())
            assert await reader.readexactly(len(CONNECTED)) == CONNECTED
            said = b"x" * 300_000
            writer.write(said)
            writer.write_eof()
            assert await reader.read(-1) == said


@pytest.mark.parametrize(
    "request_line",
    ["CONNECT ailleurs.example:443", "CONNECT 127.0.0.1:{port}", "GET http://cabinet.localhost/", "x", ""],
)
async def test_nobody_else_is_reached(request_line: str) -> None:
    async with repeating() as port, Link() as link:
        link.know(NAME, port)
        reader, _ = await asked(link, f"{request_line.format(port=port)} HTTP/1.1\r\n\r\n".encode())
        assert await reader.read(-1) == REFUSED


async def test_a_server_that_is_still_starting_is_waited_for() -> None:
    async with Link() as link:
        port = free_port()
        link.know(NAME, port)
        reader, writer = await asked(link, f"CONNECT {NAME}:443 HTTP/1.0\r\n\r\n".encode())
        answer = asyncio.create_task(reader.readexactly(len(CONNECTED)))
        await asyncio.wait([answer], timeout=0.3)
        assert not answer.done()
        async with repeating(port):
            assert await answer == CONNECTED
            writer.close()


async def test_a_cut_breaks_what_is_open_and_the_mended_link_has_the_same_address() -> None:
    async with repeating() as port, Link() as link:
        link.know(NAME, port)
        url, request = link.url, f"CONNECT {NAME}:443 HTTP/1.0\r\n\r\n".encode()
        reader, _ = await asked(link, request)
        await reader.readexactly(len(CONNECTED))
        await link.stop()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await asked(link, request)
        await link.start()
        assert link.url == url
        reader, writer = await asked(link, request)
        assert await reader.readexactly(len(CONNECTED)) == CONNECTED
        writer.close()
