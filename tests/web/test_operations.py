"""What a load balancer, Prometheus and the log see."""

from __future__ import annotations

import json
import logging

import pytest

from tests.web.conftest import SECRET, Site


async def test_health_is_200_when_every_part_works(site: Site) -> None:
    answer, text = await site.get("/health")
    assert answer.status == 200
    assert json.loads(text) == {"status": "ok", "parts": {"database": "ok", "homeserver": "ok"}}


async def test_health_is_503_and_names_the_part_that_fails(site: Site) -> None:
    site.parts["homeserver"] = False
    answer, text = await site.get("/health")
    assert answer.status == 503
    assert json.loads(text) == {"status": "failing", "parts": {"database": "ok", "homeserver": "failing"}}


async def test_health_that_cannot_be_told_is_failing(site: Site) -> None:
    site.fault = RuntimeError(SECRET)
    answer, text = await site.get("/health")
    assert answer.status == 503
    assert json.loads(text)["status"] == "failing"
    assert SECRET not in text


async def test_metrics_are_prometheus_text_by_route_not_by_path(site: Site) -> None:
    for path in ("/", "/broken/token-of-somebody", "/nowhere/at/all", "/moved"):
        await site.get(path)
    answer, text = await site.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for route, status in (("/", 200), ("/broken/{token}", 500), ("unknown", 404), ("/moved", 303)):
        assert f'parcours_http_requests_total{{route="{route}",status="{status}"}} 1.0' in text
    assert "somebody" not in text


async def test_the_access_log_has_no_path_no_query_and_no_word(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hub")
    answer, _ = await site.get(f"/broken/somebody?word={SECRET}")
    async with site.session.post(f"{site.url}/receive", data=SECRET) as posted:
        assert await posted.text() == SECRET
    logged = [record for record in caplog.records if record.msg == "http.answered"]
    fields = [record.fields for record in logged]  # type: ignore[attr-defined]
    assert [(f["route"], f["status"]) for f in fields] == [("/broken/{token}", 500), ("/receive", 200)]
    assert fields[0]["reference"] == answer.headers["X-Reference"]
    assert "somebody" not in repr(fields)
    assert SECRET not in repr(fields)


async def test_what_is_no_http_is_answered_and_survived(site: Site) -> None:
    import asyncio

    host, port = site.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01 not http\r\n\r\n")
    await writer.drain()
    assert b" 400 " in await reader.readline()
    writer.close()
    assert (await site.get("/health"))[0].status == 200
