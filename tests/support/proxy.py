"""A network between a client and a real homeserver that fails as networks and their proxies do.

    async with proxied(homeserver.url, weather) as url:
        ...                                     # a client of ``url``
    weather.met["send", Fault.HALF]             # how often which endpoint met what

Requests pass through to the homeserver; ``weather`` says of each what goes wrong with it.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import aiohttp
from aiohttp import web

LONGEST_SILENCE_SECONDS = 120.0
_PIECES = 8
_DRIP_SECONDS = 0.05
_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "host", "content-length", "te", "upgrade"}
)

_ENDPOINTS = {
    "sync": r"/sync$",
    "send": r"/rooms/[^/]+/send/",
    "messages": r"/rooms/[^/]+/messages$",
    "join": r"/join(/|$)",
    "keys/query": r"/keys/query$",
    "keys/claim": r"/keys/claim$",
    "keys/upload": r"/keys/upload$",
    "sendToDevice": r"/sendToDevice/",
}


class Fault(StrEnum):
    """What goes wrong with a request. Those of ``AFTERWARDS`` come when the homeserver has done the work."""

    LIMITED = "429"
    LIMITED_WITHOUT_A_TIME = "429 without retry_after_ms"
    LIMITED_BY_A_PAGE = "429 with a page"
    BAD_GATEWAY = "502 with a page"
    SILENCE = "silence"
    RESET = "reset"
    SILENCE_AFTERWARDS = "silence after the work"
    RESET_AFTERWARDS = "reset after the work"
    BAD_GATEWAY_AFTERWARDS = "502 after the work"
    HALF = "half an answer"
    DRIP = "slow drip"


AFTERWARDS = frozenset(
    {Fault.SILENCE_AFTERWARDS, Fault.RESET_AFTERWARDS, Fault.BAD_GATEWAY_AFTERWARDS, Fault.HALF, Fault.DRIP}
)


class Weather(Protocol):
    """What becomes of each request."""

    def over(self, endpoint: str) -> Fault | None:
        """The fate of the next request to ``endpoint`` (a key of those above, or ``other``)."""
        ...


@dataclass
class Storm:
    """Faults by chance: a ``share`` (0 to 1) of the requests to each endpoint meets one of ``faults``.

    The first request to an endpoint meets one that comes after the work, the second one that comes before:
    none is spared. Each endpoint has dice of its own: its n-th request meets the same with the same seed.
    Nothing goes wrong before ``raging`` is set.
    """

    seed: object
    share: float
    faults: Collection[Fault] = tuple(Fault)
    raging: bool = False
    met: Counter[tuple[str, Fault]] = field(default_factory=Counter)
    _dice: dict[str, random.Random] = field(default_factory=dict)
    _seen: Counter[str] = field(default_factory=Counter)

    def over(self, endpoint: str) -> Fault | None:
        if not self.raging:
            return None
        dice = self._dice.setdefault(endpoint, random.Random(f"{self.seed} {endpoint}"))  # noqa: S311
        self._seen[endpoint] += 1
        first = self._seen[endpoint] == 1
        if self._seen[endpoint] > 2 and dice.random() >= self.share:
            return None
        possible = [
            fault for fault in self.faults if self._seen[endpoint] > 2 or (fault in AFTERWARDS) is first
        ]
        if not possible:
            return None
        fault = dice.choice(possible)
        self.met[endpoint, fault] += 1
        return fault


def endpoint_of(path: str) -> str:
    """The endpoint that a path of the client-server API belongs to."""
    return next((name for name, pattern in _ENDPOINTS.items() if re.search(pattern, path)), "other")


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class _Proxy:
    upstream: str
    weather: Weather
    session: aiohttp.ClientSession

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.weather.over(endpoint_of(request.path))
        if fault is None or fault in AFTERWARDS:
            answer = await self._pass_on(request)
            if answer is None:  # the homeserver itself is away
                return _cut(request)
        else:
            answer = _Answer(200, {}, b"")
        match fault:
            case None:
                return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
            case Fault.LIMITED:
                return _limited({"retry_after_ms": 50})
            case Fault.LIMITED_WITHOUT_A_TIME:
                return _limited({})
            case Fault.LIMITED_BY_A_PAGE:
                return web.Response(status=429, text=_PAGE, content_type="text/html")
            case Fault.BAD_GATEWAY | Fault.BAD_GATEWAY_AFTERWARDS:
                return web.Response(status=502, text=_PAGE, content_type="text/html")
            case Fault.SILENCE | Fault.SILENCE_AFTERWARDS:
                await asyncio.sleep(LONGEST_SILENCE_SECONDS)
                return _cut(request)
            case Fault.RESET | Fault.RESET_AFTERWARDS:
                return _cut(request)
            case Fault.HALF:
                await _drip(request, answer, 1, 2, seconds=0)
                return _cut(request)
            case Fault.DRIP:
                return await _drip(request, answer, _PIECES, _PIECES, seconds=_DRIP_SECONDS)

    async def _pass_on(self, request: web.Request) -> _Answer | None:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        try:
            async with self.session.request(
                request.method, self.upstream + request.raw_path, headers=headers, data=await request.read()
            ) as answer:
                kept = {n: value for n, value in answer.headers.items() if n.lower() not in _HOP_BY_HOP}
                return _Answer(answer.status, kept, await answer.read())
        except aiohttp.ClientError:
            return None


def _limited(more: dict[str, int]) -> web.Response:
    return web.json_response(
        {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", **more}, status=429
    )


def _cut(request: web.Request) -> web.Response:
    """End the connection without another byte, by a reset rather than a farewell."""
    if request.transport is not None:
        connection: socket.socket = request.transport.get_extra_info("socket")
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()  # nobody is there to read it


async def _drip(
    request: web.Request, answer: _Answer, pieces: int, of: int, *, seconds: float
) -> web.StreamResponse:
    """Write the first ``pieces`` of an answer cut into ``of``, with a pause before each."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    size = len(answer.body) // of + 1
    for n in range(pieces):
        await asyncio.sleep(seconds)
        await response.write(answer.body[n * size : (n + 1) * size])
    return response


@asynccontextmanager
async def proxied(upstream: str, weather: Weather) -> AsyncIterator[str]:
    """The base address of a proxy before ``upstream``, for the length of a block."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        proxy = _Proxy(upstream, weather, session)
        app = web.Application(client_max_size=2**27)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()
