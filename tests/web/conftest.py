"""The pages on a free port, and a browser's way to ask for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import pytest_asyncio
from aiohttp import web

from hub.config import Settings, Web
from hub.errors import Refusal
from hub.observe import Metrics
from hub.web import serve
from hub.web.page import Page

SECRET = "canari sous la pluie"


async def broken(request: web.Request) -> web.Response:
    """A page with a fault, which quotes what it was asked."""
    raise RuntimeError(f"{SECRET} {request.query_string}")


async def refused(request: web.Request) -> web.Response:
    raise Refusal("web.not_allowed")


async def moved(request: web.Request) -> web.Response:
    raise web.HTTPSeeOther("/")


async def receive(request: web.Request) -> web.Response:
    return web.Response(text=await request.text())


PAGES = (
    Page("GET", "/broken/{token}", broken),
    Page("GET", "/refused", refused),
    Page("GET", "/moved", moved),
    Page("POST", "/receive", receive),
)


@dataclass
class Site:
    """The running pages; ``parts`` is what the hub says of its own health."""

    url: str
    session: aiohttp.ClientSession
    metrics: Metrics
    parts: dict[str, bool] = field(default_factory=lambda: {"database": True, "homeserver": True})
    fault: Exception | None = None

    async def health(self) -> Mapping[str, bool]:
        if self.fault:
            raise self.fault
        return self.parts

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        """The answer and its text; redirects are not followed."""
        asked = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(self.url + path, headers=asked, allow_redirects=False) as answer:
            return answer, await answer.text()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    settings = Settings().model_copy(update={"web": Web(port=0)})
    async with aiohttp.ClientSession() as session:
        site = Site("", session, Metrics.create())
        async with serve(settings, site.metrics, site.health, PAGES) as site.url:
            yield site
