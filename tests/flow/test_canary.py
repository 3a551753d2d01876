"""A secret phrase goes through everything that the hub does, and comes out nowhere but in its room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from hub import wiring
from hub.care.directory.model import Role
from hub.commands.bot import Bot
from hub.commands.context import Context
from hub.commands.permissions import Permission
from hub.commands.reply import Reply
from hub.matrix.client import Client
from hub.terminal.person import Person
from tests.support.hub import TestHub, body, in_own_task, settings
from tests.support.synapse import TestHomeserver
from tests.test_observe import Captured, logged, reports

__all__ = ["logged", "reports"]

pytestmark = pytest.mark.integration

CANARY = "mésange bleue dans le cerisier"
WORDS = ("mésange", "cerisier")

faulty = Bot("panne")


@faulty.command("panne", "breakdown", needs=Permission.SEE_HELP)
async def panne(ctx: Context, words: str) -> Reply:
    """Tombe en panne, avec ce que vous avez dit à la main."""
    raise RuntimeError(f"cannot do {words}")


@pytest_asyncio.fixture
async def watched(
    homeserver: TestHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TestHub]:
    """A hub of its own, one of whose commands fails."""
    monkeypatch.setattr(wiring, "BOTS", (*wiring.BOTS, faulty))
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        hub = TestHub(running, homeserver, tmp_path / "people")
        yield hub
        await hub.stack.aclose()


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every address that any Matrix client of this process asks for."""
    asked: list[str] = []
    request = aiohttp.ClientSession._request

    async def noting(self: aiohttp.ClientSession, method: str, url: Any, **more: Any) -> Any:
        asked.append(str(url))
        return await request(self, method, url, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noting)
    yield asked


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_words_leak_nowhere(
    watched: TestHub,
    logged: Any,
    reports: Captured,
    urls: list[str],
    tmp_path: Path,
    homeserver: TestHomeserver,
) -> None:
    person = await watched.person("canari", Role.PATIENT)
    room = await watched.meeting(person)

    unknown = await watched.ask(person, room, f"/{CANARY}")
    assert "mésange" in body(unknown)  # a refusal quotes a little of what was typed: in the room, encrypted
    await watched.ask(person, room, CANARY)
    await watched.ask(person, room, f"/langue {CANARY}")
    await watched.ask(person, room, f"/aide {CANARY}")
    await _edited(person, room)
    crashed = body(await watched.ask(person, room, f"/panne {CANARY}"))
    assert "mésange" not in crashed

    assert "fault.raised" in logged.getvalue()
    assert reports.events()
    assert any("/send/" in url for url in urls)
    places = {
        "the log": logged.getvalue().encode(),
        "the reports": reports.text().encode(),
        "the metrics": watched.running.metrics.exposition(),
        "the addresses": "\n".join(urls).encode(),
        **{str(path): data for path, data in contents(tmp_path).items()},
        **{str(path): data for path, data in contents(homeserver.log.parents[1]).items()},
    }
    leaks = [place for place, data in places.items() for word in WORDS if word.encode() in data]
    assert leaks == []
    assert len(places) > 10  # the databases, the key stores, the homeserver's files were among them


async def test_access_tokens_are_in_no_address_and_no_log(
    watched: TestHub, logged: Any, urls: list[str], homeserver: TestHomeserver
) -> None:
    person = await watched.person("jeton")
    room = await watched.meeting(person)
    await watched.ask(person, room, "/aide")
    tokens = [watched.running.member.account.access_token, person.member.account.access_token]
    assert all(tokens)
    assert all("access_token" not in url for url in urls)
    written = logged.getvalue().encode() + homeserver.log.read_bytes() + "\n".join(urls).encode()
    assert not any(token.encode() in written for token in tokens)


async def test_secrets_do_not_show_themselves(watched: TestHub) -> None:
    account = watched.running.member.account
    shown = repr(account) + repr(watched.running) + repr(watched.running.settings)
    for secret in (account.access_token, account.password, account.pickle_key, account.recovery_key):
        assert secret
        assert secret not in shown
    assert account.seeds is not None
    assert account.seeds.master not in shown


async def _edited(person: Person, room: str) -> None:
    first = await person.say(room, f"/aide {CANARY}")
    await person.answer_to(room, first)
    edit = await person.say(
        room,
        f"* /{CANARY}",
        **{
            "m.new_content": {"msgtype": "m.text", "body": f"/{CANARY}", "m.mentions": {}},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        },
    )
    await person.answer_to(room, edit)


def test_the_client_builds_no_address_with_a_token(tmp_path: Path) -> None:
    """nio's own calls would; ours go through ``call``, and the two that send and sync are closed."""
    client = Client("http://127.0.0.1:1", "@a:x", "DEVICE", tmp_path, "key")
    for closed in (client.room_send, client.sync_forever):
        with pytest.raises(NotImplementedError):
            asyncio.run(closed())
