"""Commands allowed, denied, malformed and broken, as chat."""

from __future__ import annotations

import pytest

from bots import accueil
from hub.care.directory.model import Role
from hub.commands.bot import Bots
from hub.commands.parse import LONGEST_LINE
from hub.commands.permissions import Permission
from tests.commands.clinic import clinic
from tests.support.dialogue import NURSE, PATIENT, STRANGER, Room


@pytest.fixture(autouse=True)
def _clinic(room: Room) -> None:
    room.bots = Bots(accueil.bot, clinic)


async def test_the_longest_name_wins(room: Room) -> None:
    await room.say(NURSE, "/rdv").expect("command.name", call=["rdv"])
    await room.say(NURSE, "/RDV  reserver 2 le matin").expect(
        "command.name", call=["rdv réserver", "2", "le matin"]
    )
    await room.say(NURSE, "/booking book 2").expect("command.name", call=["rdv réserver", "2", ""])


async def test_a_wrong_argument_is_told_what_is_expected_with_an_example(room: Room) -> None:
    said = await room.say(NURSE, "/rdv réserver demain").expect("command.argument")
    assert said.text == (
        "« demain » ne convient pas pour créneau : il faut un nombre entier, en chiffres.\n\n"
        "Écrivez /rdv réserver <créneau> [note], par exemple /rdv réserver 3 « quelques mots »."
    )
    await room.say(NURSE, "/langue en").expect("language.changed")
    said = await room.say(NURSE, "/rdv réserver demain").expect("command.argument")
    assert said.text == (
        "“demain” will not do for slot: a whole number in digits is expected.\n\n"
        "Write /booking book <slot> [note], for example /booking book 3 “a few words”."
    )


async def test_the_example_of_a_refusal_is_accepted(room: Room) -> None:
    refused = await room.say(NURSE, "/rdv réserver demain").expect("command.argument")
    assert refused.reply is not None
    await room.say(NURSE, str(refused.reply.facts["example"])).expect("command.name")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/aid", "/aide"),
        ("/ade", "/aide"),
        ("/halp", "/aide"),
        ("/rdv2", "/rdv"),
        ("/réserver", "/rdv réserver"),
        ("/langu fr", "/langue"),
    ],
)
async def test_an_unknown_command_gets_the_nearest(room: Room, typed: str, offered: str) -> None:
    said = await room.say(NURSE, typed).expect("command.unknown")
    assert offered in said.text
    assert said.notifies


async def test_the_nearest_are_named_in_the_reader_s_language(room: Room) -> None:
    await room.say(NURSE, "/langue en").expect("language.changed")
    assert "Did you mean /help" in (await room.say(NURSE, "/aid").expect("command.unknown")).body


async def test_the_nearest_are_those_this_person_may_use(room: Room) -> None:
    said = await room.say(STRANGER, "/rdvv").expect("command.unknown_far")
    assert "rdv" not in said.text.replace("rdvv", "")


async def test_denied(room: Room) -> None:
    said = await room.say(STRANGER, "/rdv réserver 2").expect("person.unknown")
    assert STRANGER.user_id in said.text


async def test_denied_before_the_arguments_are_read(room: Room) -> None:
    await room.say(STRANGER, "/rdv réserver n'importe quoi").expect("person.unknown")


async def test_help_by_theme(room: Room) -> None:
    said = await room.say(PATIENT, "/aide").expect("help.overview")
    assert "• Pour commencer\n  • /aide" in said.text
    assert "• Clinique\n  • /rdv : Montre vos rendez-vous." in said.text


async def test_what_is_quoted_back_is_short_and_harmless(room: Room) -> None:
    said = await room.say(PATIENT, "/<b>x</b>\u202e\u200b\x00[a](https://evil.example)**" + "z" * 500).expect(
        "command.unknown_far"
    )
    assert "\u202e" not in said.text and "\x00" not in said.text
    assert "z" * 50 not in said.text
    assert "<b>" not in said.html and "<a" not in said.html


@pytest.mark.parametrize("text", ["/", "/ ", "/\u200b", "Parcours\u00a0:", "/\x00", "/\u202e"])
async def test_nothing_asked(room: Room, text: str) -> None:
    said = await room.say(NURSE, text).expect("command.empty")
    assert "/aide" in said.text


@pytest.mark.parametrize("text", ["/note " + "é" * 100_000, "/" + "a" * 100_000, "/note " + "'a " * 50_000])
async def test_a_huge_command_is_refused(room: Room, text: str) -> None:
    said = await room.say(NURSE, text).expect("command.too_long")
    assert "4 000" in said.text


async def test_a_long_command_is_not(room: Room) -> None:
    words = "x" * (LONGEST_LINE - len("note "))
    await room.say(NURSE, f"/note {words}").expect("command.name", call=["note", words])


async def test_a_refusal_of_the_use_case_is_an_answer(room: Room) -> None:
    assert (await room.say(NURSE, "/refus").expect("edit.ignored")).notifies


async def test_a_fault_is_not_ours_to_hide(room: Room) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        await room.say(NURSE, "/panne")


async def test_superfluous_words_in_a_direct_room_are_a_sentence(direct: Room) -> None:
    await direct.say(PATIENT, "rdv demain matin s'il vous plaît").expect("direct.not_understood")


async def test_forbidden_to_a_role(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.commands.authorise.PERMISSIONS", {Role.PATIENT: {Permission.SEE_HELP}})
    said = await room.say(PATIENT, "/rdv réserver 2").expect("command.forbidden")
    assert "votre rôle (patient)" in said.text and "/aide" in said.text
    await room.say(PATIENT, "/aide rdv").expect("command.forbidden")
    said = await room.say(PATIENT, "/aide").expect("help.overview")
    assert "rdv" not in said.text


async def test_the_same_command_twice_answers_twice(room: Room) -> None:
    for _ in range(2):
        await room.say(NURSE, "/rdv réserver 2").expect("command.name", call=["rdv réserver", "2", ""])
