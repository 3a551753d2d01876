"""Whatever JSON others send can be walked through and written down."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given

from hub.matrix.client import Client, MatrixError
from hub.matrix.wire import DEEPEST, parsed
from tests.matrix.test_inbound import json_values


@given(json_values)
def test_what_is_sound_stays_as_it_is(value: Any) -> None:
    assert parsed(json.dumps(value)) == json.loads(json.dumps(value).replace("\\u0000", "\\ufffd"))


@pytest.mark.parametrize("written", ['"a\\u0000b"', '"a\\ud800b"', '"a\\udfffb"'])
def test_what_no_database_can_hold_is_replaced(written: str) -> None:
    for text in (written, f"[{written}]", f'{{"x": {written}}}', f"{{{written}: 1}}"):
        assert "a\ufffdb" in json.dumps(parsed(text), ensure_ascii=False)
        json.dumps(parsed(text), ensure_ascii=False).encode()


@pytest.mark.parametrize("depth", [DEEPEST + 1, 940, 5000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"x":', "}")])
def test_what_is_nested_too_deeply_is_cut_and_what_stands_beside_it_stays(
    depth: int, opens: str, closes: str
) -> None:
    """A message to our device may be nested as deeply as the homeserver could just read it."""
    found = parsed(f'{{"deep": {opens * depth}1{closes * depth}, "beside": [1]}}')
    assert found["beside"] == [1]
    assert json.dumps(found).count(opens.strip('"x:')) < 2 * DEEPEST


@pytest.mark.parametrize("text", ["", "{", "nul", "[" * 1_000_000, "\xff"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parsed(text)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("50", 0.05), ("-1", None), ('"5"', None), ("true", None), ("null", None), ("NaN", None),
        ("1e308", 300.0), ("Infinity", 300.0), ("1" + "0" * 400, 300.0),
    ],
)  # fmt: skip
async def test_no_homeserver_and_no_proxy_makes_us_wait_for_ever(
    delay: str, seconds: float | None, tmp_path: Any
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        text = f'{{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": {delay}}}'
        return web.Response(status=429, text=text, content_type="application/json")

    app = web.Application()
    app.router.add_get("/", refuse)
    async with TestServer(app) as server, asyncio.timeout(20):
        client = Client(str(server.make_url("/")), "@hub:x", "HUB", tmp_path, "key")
        client.restore_login("@hub:x", "HUB", "token")
        with pytest.raises(MatrixError) as refused:
            await client.call("GET", "/")
        await client.close()
    assert refused.value.retry_after == seconds
