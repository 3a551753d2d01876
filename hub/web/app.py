"""The application: the hub's own pages and those of the features."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from hub.config import Settings
from hub.observe import Metrics
from hub.web import guard, home, operations
from hub.web.operations import Health
from hub.web.page import Page
from hub.web.shell import SHELL, Shell


def make_app(
    settings: Settings, metrics: Metrics, health: Health, pages: Sequence[Page] = ()
) -> web.Application:
    """Everything that answers, not yet listening."""
    app = web.Application(middlewares=[guard.explained])
    app[SHELL] = shell = Shell(settings)
    app.on_response_prepare.append(guard.headers(settings))
    app.router.add_get("/static/{name}", shell.static)
    for page in (*home.PAGES, *operations.pages(metrics, health), *pages):
        if page.method == "GET":
            app.router.add_get(page.path, page.handler)  # which answers HEAD too
        else:
            app.router.add_route(page.method, page.path, page.handler)
    return app
