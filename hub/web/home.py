"""The first page: what this is, how to sign in, where help is."""

from __future__ import annotations

from aiohttp import web

from hub.web.page import Page
from hub.web.shell import SHELL


async def home(request: web.Request) -> web.Response:
    """The same for everybody: it knows nobody."""
    shell = request.app[SHELL]
    homeserver, localpart = shell.settings.homeserver, shell.settings.hub.localpart
    return shell.page(
        request,
        "home.html",
        server=homeserver.url or f"http://127.0.0.1:{homeserver.port}",
        hub=f"@{localpart}:{homeserver.server_name}",
    )


PAGES = (Page("GET", "/", home),)
