"""Whatever anybody types is answered in both languages, or passes by; it never breaks anything."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from hub.care.directory.model import Person
from hub.commands.answer import answer
from hub.commands.context import Context, RoomView
from hub.commands.parse import addressed
from hub.commands.reply import Reply
from hub.delivery.content import content
from hub.delivery.letter import Kind, Letter
from hub.locale import Language
from hub.storage.unit_of_work import UnitOfWork
from tests.commands.clinic import BOTS
from tests.support.dialogue import HUB_NAMES, NOON, NURSE, PATIENT, STRANGER
from tests.support.matrix_html import tags

STARTS = [
    "",
    "/",
    "!",
    "Parcours: ",
    "/rdv ",
    "/rdv réserver ",
    "/note ",
    "/invite ",
    "/invite @a:b ",
    "/refus ",
]
HOSTILE = st.text() | st.text(alphabet="/!:@<>&\"'«»“”*_`[](){}#\n\t\x00\u200b\u202e\u00a0éa1", max_size=80)
MARKUP = {"p", "br", "strong", "em", "code", "ul", "li"}


class Stores:
    """None of these commands stores anything."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@given(
    st.sampled_from(STARTS),
    HOSTILE,
    st.sampled_from([NURSE, PATIENT, STRANGER]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(list(Language)),
)
def test_any_text(
    start: str, text: str, person: Person, direct: bool, mentions: bool, language: Language
) -> None:
    line = addressed(
        start + text, mentions_bot=mentions, direct=direct, bot_names=HUB_NAMES, knows=BOTS.knows
    )
    if line is None:
        return
    ctx = Context(
        actor=person,
        room=RoomView("!r:chu.example", direct),
        event_id="$e",
        now=NOON,
        tx=cast(UnitOfWork, Stores()),
        language=language,
    )
    try:
        reply = asyncio.run(answer(BOTS, ctx, line))
    except RuntimeError as fault:
        assert str(fault) == "on purpose"
        return
    for reader in Language:
        _well_said(reply, reader, text)


def _well_said(reply: Reply, reader: Language, typed: str) -> None:
    letter = Letter(Kind.MESSAGE, reply.key, reply.facts, language=reader, notify=reply.notify)
    message = content(Letter.from_bytes(letter.to_bytes()))
    body = message["body"]
    assert body.strip()
    body.encode()
    assert not {"\x00", "\u202e", "\u200b"} & set(body)
    assert {tag for tag, _ in tags(message["formatted_body"])} <= {
        "p",
        "br",
        "strong",
        "em",
        "code",
        "ul",
        "li",
    }
    if len(typed) > 80 and typed.isprintable():
        assert typed not in body, "too much of what was typed is quoted back"
