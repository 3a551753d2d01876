"""Counts and logs each answer by its route's pattern: an address may hold a secret, a pattern never does."""

from __future__ import annotations

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from hub.observe import Log, Metrics
from hub.web.guard import REFERENCE

log = Log(__name__)


def access_log(metrics: Metrics) -> type[AbstractAccessLogger]:
    """What aiohttp makes its access log of."""

    class AccessLog(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            route = _route(request)
            metrics.http_requests.labels(route, str(response.status)).inc()
            metrics.http_seconds.labels(route).observe(time)
            log.info(
                "http.answered",
                route=route,
                status=response.status,
                ms=round(time * 1000, 1),
                reference=response.headers.get(REFERENCE, "-"),
            )

    return AccessLog


def _route(request: web.BaseRequest) -> str:
    # What was no HTTP at all is answered before it meets a route.
    resource = request.match_info.route.resource if isinstance(request, web.Request) else None
    return resource.canonical if resource else "unknown"
