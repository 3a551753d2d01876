"""What a visitor sees."""

from __future__ import annotations

import re

import pytest

from hub.config import Settings, Web
from hub.errors import OperatorError
from hub.observe import Metrics
from hub.web import serve
from hub.web.app import make_app
from hub.web.server import running
from tests.web.conftest import SECRET, Site


async def test_the_first_page_says_what_this_is_and_how_to_sign_in(site: Site) -> None:
    answer, text = await site.get("/")
    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert '<html lang="fr">' in text
    assert "Element" in text
    assert "http://127.0.0.1:8008" in text
    assert "@parcours:parcours.localhost" in text
    assert "<code>!aide</code>" in text
    assert "112" in text


@pytest.mark.parametrize(
    ("path", "accept", "language"),
    [
        ("/", "", "fr"),
        ("/", "de", "fr"),
        ("/", "en-GB,en;q=0.9", "en"),
        ("/", "fr;q=0.2, en;q=0.8", "en"),
        ("/", "en;q=0, fr", "fr"),
        ("/", "en;q=none", "fr"),
        ("/?lang=en", "fr", "en"),
        ("/?lang=fr", "en", "fr"),
        ("/?lang=<b>", "en", "en"),
    ],
)
async def test_the_page_speaks_the_visitors_language(
    site: Site, path: str, accept: str, language: str
) -> None:
    answer, text = await site.get(path, Accept_Language=accept)
    assert answer.headers["Content-Language"] == language
    assert f'<html lang="{language}">' in text
    assert "Accept-Language" in answer.headers["Vary"]


async def test_pages_load_nothing_from_elsewhere_and_run_no_script(site: Site) -> None:
    answer, text = await site.get("/")
    assert "<script" not in text
    assert "style=" not in text
    loaded = re.findall(r'(?:src|<link[^>]* href)="([^"]+)"', text)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/nowhere", "/health", "/metrics", "/moved", "/broken/x"])
async def test_every_answer_bears_the_security_headers(site: Site, path: str) -> None:
    answer, _ = await site.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "Parcours"
    assert "Strict-Transport-Security" not in answer.headers


async def test_the_style_sheet_is_kept_by_browsers_under_the_name_of_its_content(site: Site) -> None:
    _, page = await site.get("/")
    [address] = re.findall(r'rel="stylesheet" href="([^"]+)"', page)
    answer, text = await site.get(address)
    assert re.fullmatch(r"/static/parcours\.[0-9a-f]{16}\.css", address)
    assert answer.content_type == "text/css"
    assert "immutable" in answer.headers["Cache-Control"]
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text
    for other in ("/static/parcours.css", "/static/..%2f..%2fpyproject.toml"):
        assert (await site.get(other))[0].status == 404


async def test_what_does_not_exist_is_said_in_a_sentence(site: Site) -> None:
    answer, text = await site.get("/nowhere?lang=en")
    assert answer.status == 404
    assert "This page does not exist" in text
    assert re.search(r"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}", text)
    assert answer.headers["X-Reference"] in text


async def test_a_fault_shows_its_reference_and_nothing_else(site: Site) -> None:
    answer, text = await site.get("/broken/secret-token?word=canari")
    assert answer.status == 500
    assert answer.headers["X-Reference"] in text
    assert "panne" in text
    assert "canari" not in text
    assert "RuntimeError" not in text
    assert SECRET not in text


async def test_a_refusal_is_told_in_its_own_words(site: Site) -> None:
    answer, text = await site.get("/refused?lang=en")
    assert answer.status == 403
    assert "This page is not used like that" in text


async def test_a_wrong_method_says_which_are_right(site: Site) -> None:
    answer, text = await site.get("/receive")
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert "Revenez" in text


async def test_what_is_too_large_is_refused(site: Site) -> None:
    async with site.session.post(f"{site.url}/receive", data=b"x" * 2_000_000) as answer:
        assert answer.status == 413
        assert "trop lourd" in await answer.text()


async def test_a_redirect_stays_one(site: Site) -> None:
    answer, _ = await site.get("/moved")
    assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_a_port_that_is_taken_is_an_operators_matter(site: Site) -> None:
    port = int(site.url.rpartition(":")[2])
    taken = Settings().model_copy(update={"web": Web(port=port)})
    with pytest.raises(OperatorError) as caught:
        async with serve(taken, Metrics.create(), site.health):
            pass
    assert caught.value.code == "web.port_taken"
    assert caught.value.facts["port"] == str(port)
    answer, _ = await site.get("/")  # and the one who has it goes on
    assert answer.status == 200


async def test_an_address_of_another_machine_cannot_be_listened_on(site: Site) -> None:
    elsewhere = Settings().model_copy(update={"web": Web(host="192.0.2.1", port=0)})
    with pytest.raises(OperatorError) as caught:
        async with serve(elsewhere, Metrics.create(), site.health):
            pass
    assert caught.value.code == "web.cannot_listen"


async def test_behind_tls_browsers_are_told_to_stay_there(site: Site) -> None:
    public = Settings().model_copy(update={"web": Web(port=0, public_url="https://parcours.example")})
    async with serve(public, site.metrics, site.health) as url:
        assert url == "https://parcours.example"
    app = make_app(public, site.metrics, site.health)
    async with (
        running(app, "127.0.0.1", 0, site.metrics) as port,
        site.session.get(f"http://127.0.0.1:{port}/") as answer,
    ):
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
