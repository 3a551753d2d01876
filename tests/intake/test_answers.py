"""From a row to the letters that answer it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bots import accueil
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.commands.bot import Bots
from hub.delivery.content import content
from hub.delivery.letter import Kind as Send
from hub.intake.answers import UNTRUSTED, fault, letters
from hub.intake.note import Kind, Note
from hub.locale import Language
from hub.matrix.trust import Verdict
from hub.storage.engine import Database
from hub.storage.rows import InboxRow

NURSE = "@nurse:x"
NOW = datetime(2025, 3, 3, 11, 0, tzinfo=UTC)
BOTS = Bots(accueil.bot)


HELP = Note("aide", verdict=Verdict.TRUSTED)


def row(kind: Kind = Kind.COMMAND, note: Note = HELP) -> InboxRow:
    return InboxRow(
        id=1,
        account="@hub:x",
        event_id="$e",
        room_id="!r:x",
        sender=NURSE,
        kind=kind,
        sent_at=NOW,
        payload=note.to_bytes(),
        session_id=None,
        message_index=None,
        attempts=0,
        received_at=NOW,
    )


@pytest.mark.parametrize("verdict", list(UNTRUSTED))
@pytest.mark.parametrize("kind", [Kind.COMMAND, Kind.EDIT])
async def test_a_message_that_proves_nothing_does_nothing_and_says_why(
    database: Database, verdict: Verdict, kind: Kind
) -> None:
    async with database.transaction() as tx:
        note = Note("langue en", verdict=verdict)
        (letter,) = await letters(BOTS, tx, row(kind, note), NOW, Language.FR)
        assert (await directory.find(tx, NURSE)).language is None
    assert letter.key == UNTRUSTED[verdict]
    assert letter.notify
    assert letter.reply_to == "$e"
    assert letter.warning == (verdict is Verdict.CHANGED_IDENTITY)
    assert content(letter)["body"]


async def test_a_room_in_the_clear_gets_a_sentence_about_nobody(database: Database) -> None:
    async with database.transaction() as tx:
        note = Note("aide", verdict=Verdict.NOT_ENCRYPTED, room_encrypted=False)
        (letter,) = await letters(BOTS, tx, row(note=note), NOW, Language.FR)
    assert letter.in_clear
    assert (dict(letter.facts), letter.mentions, letter.reply_to) == ({}, (), None)
    assert letter.key == "room.not_encrypted"


async def test_an_invitation_is_accepted_before_anything_is_said(database: Database) -> None:
    async with database.transaction() as tx:
        joining, welcome = await letters(BOTS, tx, row(Kind.INVITATION), NOW, Language.FR)
    assert joining.kind is Send.JOIN
    assert (welcome.key, welcome.in_clear) == ("welcome", False)


async def test_a_changed_identity_is_told_to_the_room_and_to_the_person(database: Database) -> None:
    async with database.transaction() as tx:
        (letter,) = await letters(BOTS, tx, row(Kind.IDENTITY), NOW, Language.FR)
    assert (letter.key, letter.warning, letter.notify) == ("identity.changed", True, True)
    assert NURSE in content(letter)["body"]


async def test_people_are_answered_in_their_language_and_others_in_the_configured_one(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        await directory.enrol(tx, NURSE, Role.PROFESSIONAL, "Nadia", NOW)
        (english,) = await letters(BOTS, tx, row(), NOW, Language.EN)
        assert english.language is Language.EN
        (chosen,) = await letters(
            BOTS, tx, row(note=replace(Note("langue fr"), verdict=Verdict.TRUSTED)), NOW, Language.EN
        )
        assert chosen.language is Language.FR
        (failed,) = [await fault(tx, row(), "ABCD-EFGH", Language.EN)]
    assert failed.language is Language.FR
    assert "ABCD-EFGH" in content(failed)["body"]
