"""Listens for browsers, for as long as a block lasts."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from hub.config import Settings
from hub.errors import OperatorError
from hub.observe import Metrics
from hub.web.access import access_log
from hub.web.app import make_app
from hub.web.operations import Health
from hub.web.page import Page

GRACE = 3.0
"""Seconds that requests under way have when the hub stops."""


@asynccontextmanager
async def serve(
    settings: Settings, metrics: Metrics, health: Health, pages: Sequence[Page] = ()
) -> AsyncIterator[str]:
    """Serve the pages inside the block; gives the address that people open.

    Raises ``OperatorError``: ``web.port_taken``, or ``web.cannot_listen`` for an address that is not ours.
    """
    app = make_app(settings, metrics, health, pages)
    async with running(app, settings.web.host, settings.web.port, metrics) as port:
        yield settings.web.public_url or f"http://{_for_a_browser(settings.web.host)}:{port}"


@asynccontextmanager
async def running(app: web.Application, host: str, port: int, metrics: Metrics) -> AsyncIterator[int]:
    """Listen inside the block; gives the port, which the system chose if ``port`` is 0."""
    runner = web.AppRunner(app, access_log_class=access_log(metrics), shutdown_timeout=GRACE)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as fault:
            code = "web.port_taken" if fault.errno == errno.EADDRINUSE else "web.cannot_listen"
            raise OperatorError(code, host=host, port=str(port)) from fault
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _for_a_browser(host: str) -> str:
    """The address of this machine as a link has it: 0.0.0.0 is for listening only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "localhost"
    return f"[{host}]" if address.version == 6 else host
