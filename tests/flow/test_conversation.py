"""What people see when they talk to the hub, over a real homeserver, encrypted."""

from __future__ import annotations

import pytest

from hub.care.directory.model import Role
from hub.matrix.trust import Verdict
from tests.support.hub import TestHub, body

pytestmark = pytest.mark.integration


async def test_a_professional_asks_for_help_and_gets_it_as_a_reply(hub: TestHub) -> None:
    nurse = await hub.person("nadia")
    room = await hub.meeting(nurse)
    answer = await hub.ask(nurse, room, "/aide")
    assert "/langue" in body(answer)
    assert answer.verdict is Verdict.TRUSTED
    assert answer.content["msgtype"] == "m.notice"
    assert answer.content["m.mentions"] == {"user_ids": [nurse.user_id]}
    assert answer.content["format"] == "org.matrix.custom.html"
    assert "<li>" in answer.content["formatted_body"]
    assert "m.relates_to" not in answer.content  # only the cleartext copy counts


@pytest.mark.parametrize(
    "text", ["/aide", "!aide", "  /AIDE ", "Parcours: aide", "aide", "/help", "Parcours aide"]
)
async def test_every_spelling_is_understood_in_a_direct_room(hub: TestHub, text: str) -> None:
    person = await hub.person("camille")
    room = await hub.meeting(person)
    assert "/langue" in body(await hub.ask(person, room, text))


async def test_the_hub_is_silent_where_people_talk_to_each_other(hub: TestHub) -> None:
    doctor, patient = await hub.person("moreau"), await hub.person("jeanne", Role.PATIENT)
    room = await hub.meeting(doctor, patient)
    await doctor.say(room, "Bonjour, aide-moi à comprendre")
    await patient.say(room, "aide")
    pill = '<a href="https://matrix.to/#/' + hub.user_id + '">Parcours</a> aide'
    asked = await patient.say(
        room,
        "Parcours aide",
        format="org.matrix.custom.html",
        formatted_body=pill,
        **{"m.mentions": {"user_ids": [hub.user_id]}},
    )
    await patient.answer_to(room, asked)
    said = [m for m in patient.heard if m.room_id == room and m.sender == hub.user_id]
    assert len(said) == 2  # the welcome, and one answer


async def test_language_is_each_persons_own(hub: TestHub) -> None:
    doctor, patient = await hub.person("lucie"), await hub.person("paul", Role.PATIENT)
    room = await hub.meeting(doctor, patient)
    assert "English" in body(await hub.ask(doctor, room, "/langue en"))
    assert "/language" in body(await hub.ask(doctor, room, "/help"))
    assert "/langue" in body(await hub.ask(patient, room, "/aide"))


async def test_somebody_nobody_enrolled_is_told_whom_to_ask(hub: TestHub) -> None:
    stranger = await hub.person("inconnu", role=None)
    room = await hub.meeting(stranger)
    assert stranger.user_id in body(await hub.ask(stranger, room, "/aide"))


async def test_an_edited_command_has_no_effect_and_says_so(hub: TestHub) -> None:
    person = await hub.person("edith")
    room = await hub.meeting(person)
    first = await person.say(room, "/langue en")
    await person.answer_to(room, first)
    edit = await person.say(
        room,
        "* /langue fr",
        **{
            "m.new_content": {"msgtype": "m.text", "body": "/langue fr", "m.mentions": {}},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        },
    )
    answer = await person.answer_to(room, edit)
    assert "again" in body(answer).lower()
    assert "/language" in body(await hub.ask(person, room, "/help"))  # still English


async def test_a_hundred_commands_at_once_are_answered_once_each_in_order(hub: TestHub) -> None:
    """More than a sync's timeline holds: what it leaves out must be fetched."""
    person = await hub.person("rapide")
    room = await hub.meeting(person)
    sent = [await person.say(room, "/bonjour") for _ in range(120)]
    for event_id in sent:
        await person.answer_to(room, event_id)
    replies = [
        message.relates_to["m.in_reply_to"]["event_id"]
        for message in person.heard
        if message.room_id == room and "m.in_reply_to" in message.relates_to
    ]
    assert replies == sent


async def test_words_of_an_emergency_are_answered_with_care(hub: TestHub) -> None:
    patient = await hub.person("marie", Role.PATIENT)
    room = await hub.meeting(patient)
    assert "15" in body(await hub.ask(patient, room, "j'ai très mal à la poitrine"))
