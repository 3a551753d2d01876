"""For machines: whether the hub works, and how it is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from hub.observe import Log, Metrics, report
from hub.web.page import Page

log = Log(__name__)

Health = Callable[[], Awaitable[Mapping[str, bool]]]
"""Answers for each part of the hub whether it works."""

PATIENCE = 5.0
"""Seconds after which a part that does not answer counts as failing."""


def pages(metrics: Metrics, health: Health) -> tuple[Page, ...]:
    """``/health``: 200 when every part works, else 503. ``/metrics``: for Prometheus."""
    return Page("GET", "/health", _health(health)), Page("GET", "/metrics", _metrics(metrics))


def _health(health: Health) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PATIENCE):
                parts = await health()
        except Exception as error:  # whatever it is, the hub is not well
            return web.json_response({"status": "failing", "reference": report(error, log)}, status=503)
        well = all(parts.values())
        told = {part: "ok" if works else "failing" for part, works in parts.items()}
        status = "ok" if well else "failing"
        return web.json_response({"status": status, "parts": told}, status=200 if well else 503)

    return answer


def _metrics(metrics: Metrics) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return answer
