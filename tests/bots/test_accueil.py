"""The first words, as people type them."""

from __future__ import annotations

import pytest

from bots import accueil
from hub.care.directory.model import Person, Role
from hub.commands.bot import Bots
from hub.commands.command import Command
from hub.commands.parse import arguments, recognise
from hub.locale import Language
from tests.support.dialogue import ADMIN, CAREGIVER, NURSE, PATIENT, STRANGER, Room

ENROLLED = [NURSE, PATIENT, CAREGIVER, ADMIN]


async def test_help_shows_what_this_person_may_do_in_their_language(room: Room) -> None:
    said = await room.say(NURSE, "/aide").expect("help.overview")
    assert said.text.splitlines() == [
        "Voici ce que vous pouvez faire ici :",
        "• /aide [commande] : Montre ce que vous pouvez faire ici.",
        "• /bonjour : Vous salue et dit qui je suis.",
        "• /langue <langue> : Choisit la langue dans laquelle je vous réponds : français ou anglais.",
        "• /qui suis-je : Dit ce que je sais de vous : nom, identifiant, rôle et langue.",
        "",
        "Pour en savoir plus sur une commande : /aide langue, par exemple.",
    ]
    assert not said.notifies

    await room.say(NURSE, "/language english").expect("language.changed")
    said = await room.say(NURSE, "/aide").expect("help.overview")
    assert "• /language <language>: " in said.text
    assert "langue" not in said.text


@pytest.mark.parametrize("person", ENROLLED, ids=lambda person: person.role)
@pytest.mark.parametrize(
    "text", ["/aide", "/help", "!aide", "/AIDÉ", "Parcours : aide", "@parcours:chu.example aide"]
)
async def test_everybody_reaches_help_by_any_name(room: Room, person: Person, text: str) -> None:
    await room.say(person, text).expect("help.overview")


@pytest.mark.parametrize(
    "text",
    ["/aide langue", "/help language", "/aide /langue", "/help Language ?", "/aide « langue »", "/aide lang"],
)
async def test_help_about_a_command_shows_how_to_type_it(room: Room, text: str) -> None:
    said = await room.say(PATIENT, text).expect("help.command")
    assert said.text.splitlines() == [
        "/langue : Choisit la langue dans laquelle je vous réponds : français ou anglais.",
        "",
        "À écrire : /langue <langue>",
        "Exemple : /langue english",
    ]


async def test_help_about_help_gives_its_details(room: Room) -> None:
    said = await room.say(PATIENT, "/aide aide").expect("help.command")
    assert "Suivie du nom d'une commande" in said.text
    assert "Exemple : /aide langue" in said.text


async def test_help_about_something_unknown_names_the_nearest(room: Room) -> None:
    said = await room.say(NURSE, "/aide langage").expect("command.unknown", typed="langage")
    assert "/langue" in said.text
    await room.say(NURSE, "/aide 🤷").expect("command.unknown_far")


async def test_help_about_what_a_person_may_not_do_says_so(room: Room) -> None:
    said = await room.say(STRANGER, "/aide qui suis-je").expect("person.unknown")
    assert STRANGER.user_id in said.text


@pytest.mark.parametrize(
    "text", ["/langue en", "/langue anglais", "/LANGUE  English", "/language « Anglais »", "/lang EN !"]
)
async def test_a_language_is_chosen_and_lasts(room: Room, text: str) -> None:
    said = await room.say(PATIENT, text).expect("language.changed", language=Language.EN)
    assert said.text == "Done: from now on I answer you in English. To change back: /language français."
    said = await room.say(PATIENT, "/qui suis-je").expect("person.known")
    assert said.text.startswith(
        "You are Jeanne Martin (@jeanne:ville.example), patient, and I answer you in English."
    )


async def test_choosing_twice_is_told_and_journalled_once(room: Room) -> None:
    await room.say(NURSE, "/langue en").expect("language.changed")
    await room.say(NURSE, "/langue english").expect("language.already")
    facts = await room.facts(NURSE)
    assert [fact.name for fact in facts] == ["PersonEnrolled", "LanguageChosen"]
    assert (facts[-1].by, facts[-1].cause) == (NURSE.user_id, "$event1")
    await room.say(NURSE, "/langue fr").expect("language.changed", language=Language.FR)


async def test_one_person_s_language_is_not_another_s(room: Room) -> None:
    await room.say(NURSE, "/langue en").expect("language.changed")
    assert (await room.say(PATIENT, "/qui suis-je")).language is Language.FR


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/langue", "Il manque : langue."),
        (
            "/langue klingon",
            "« klingon » ne convient pas pour langue : il faut l’un de ces mots : français ou anglais.",
        ),
        ("/langue fr en", "« en » est en trop."),
    ],
)
async def test_a_wrong_language_is_told_what_to_write(room: Room, text: str, told: str) -> None:
    said = await room.say(NURSE, text).expect("command.argument")
    assert said.text == f"{told}\n\nÉcrivez /langue <langue>, par exemple /langue english."
    assert said.notifies


@pytest.mark.parametrize("text", ["/bonjour", "/hello", "/Bonjour !", "Parcours, bonsoir", "/salut 👋"])
async def test_a_greeting_is_returned(room: Room, text: str) -> None:
    said = await room.say(PATIENT, text).expect("greeting", person="Jeanne Martin")
    assert "un programme" in said.text and "/aide" in said.text and "112" in said.text


async def test_professionals_are_not_reminded_of_the_emergency_number(room: Room) -> None:
    assert "112" not in (await room.say(NURSE, "/bonjour").expect("greeting")).body


@pytest.mark.parametrize("person", ENROLLED, ids=lambda person: person.role)
@pytest.mark.parametrize("text", ["/qui suis-je", "/qui suis je", "/Qui  suis‑je ?", "/whoami", "/who am I"])
async def test_who_am_i(room: Room, person: Person, text: str) -> None:
    said = await room.say(person, text).expect("person.known", role=person.role)
    assert person.name in said.text and person.user_id in said.text


async def test_a_stranger_learns_what_to_do_and_nothing_else(room: Room) -> None:
    for text in ("/aide", "/bonjour", "/qui suis-je", "/whoami"):
        said = await room.say(STRANGER, text).expect("person.unknown")
        assert "Demandez à votre équipe de soins" in said.text and STRANGER.user_id in said.text
        assert "112" in said.text
    await room.say(STRANGER, "/langue en").expect("language.changed")
    said = await room.say(STRANGER, "/help").expect("person.unknown")
    assert "Ask your care team to enrol you" in said.text


async def test_enrolment_keeps_the_language_a_stranger_chose(room: Room) -> None:
    await room.say(STRANGER, "/langue en").expect("language.changed")
    await room.enrol(Person(STRANGER.user_id, Role.PATIENT, "Sam"))
    said = await room.say(STRANGER, "/aide").expect("help.overview")
    assert said.language is Language.EN


@pytest.mark.parametrize(
    "text", ["aide", "Aide ?", "help", "Bonjour", "bonjour !", "langue anglais", "qui suis-je ?", "/aide"]
)
async def test_bare_words_are_enough_in_a_direct_room(direct: Room, text: str) -> None:
    said = await direct.say(PATIENT, text)
    assert said.reply is not None
    assert said.reply.key in ("help.overview", "greeting", "language.changed", "person.known")


@pytest.mark.parametrize(
    "text",
    [
        "j'ai très mal à la poitrine",
        "Bonjour docteur, j'ai très mal",
        "langue gonflée depuis ce matin",
        "aide moi s'il vous plaît",
        "👍",
        "???",
    ],
)
async def test_a_patient_who_is_not_understood_learns_that_this_is_no_emergency_service(
    direct: Room, text: str
) -> None:
    said = await direct.say(PATIENT, text)
    assert said.reply is not None and said.reply.key in (
        "direct.not_understood",
        "command.argument",
        "command.unknown",
    )
    assert "appelez le 15 ou le 112" in said.text
    assert "<strong>15</strong>" in said.html
    assert said.notifies


async def test_a_professional_who_is_not_understood_sees_what_is(direct: Room) -> None:
    said = await direct.say(NURSE, "merci beaucoup").expect("direct.not_understood")
    assert "/aide, /bonjour, /langue et /qui suis-je" in said.text
    assert "112" not in said.text


@pytest.mark.parametrize(
    "text",
    [
        "Bonjour à tous",
        "aide",
        "Je vois le patient à 14 h",
        "//aide",
        "!!!",
        "! attention",
        "Parcours de soins terminé",
        "",
    ],
)
async def test_conversation_between_people_passes_by(room: Room, text: str) -> None:
    await room.say(NURSE, text).expect_silence()


async def test_a_reply_to_the_hub_is_no_command(room: Room) -> None:
    await room.say(NURSE, "d'accord, merci", mentions=True).expect_silence()


@pytest.mark.parametrize(
    "text",
    [
        "Parcours aide",
        "Parcours",
        "aide Parcours",
        "[Parcours](https://matrix.to/#/@parcours:chu.example) aide",
    ],
)
async def test_a_mention_calls(room: Room, text: str) -> None:
    said = await room.say(NURSE, text, mentions=True)
    assert said.reply is not None and said.reply.key in ("help.overview", "command.empty")


def test_every_command_of_the_hub_is_declared_once() -> None:
    assert {command.code for command in Bots(accueil.bot)} == {"aide", "bonjour", "langue", "qui suis-je"}


@pytest.mark.parametrize("command", list(Bots(accueil.bot)), ids=lambda command: command.code)
@pytest.mark.parametrize("language", Language)
def test_the_example_that_help_shows_is_understood(command: Command, language: Language) -> None:
    found = recognise(Bots(accueil.bot), command.example(language).removeprefix("/"))
    assert found is not None and found[0] is command
    arguments(command, found[1], language)
