"""Both catalogues are whole, and say the same: every sentence in both languages, with the same facts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from hub.care.directory.model import Role
from hub.commands.bot import Bots
from hub.commands.command import Command
from hub.locale import Language
from hub.locale.catalogue import CATALOGUES, has, keys
from hub.locale.facts import choice_key
from hub.locale.render import PLACEHOLDER, render
from hub.wiring import BOTS
from tests.locale.said import ROOT, Said, said
from tests.support.matrix_html import tags

FRENCH, ENGLISH = sorted(keys(Language.FR)), sorted(keys(Language.EN))
COMMANDS = list(Bots(*BOTS))


def po(language: Language) -> Path:
    return ROOT / "hub" / "locale" / language / "LC_MESSAGES" / "parcours.po"


def quoted(language: Language, key: str) -> set[str]:
    return {
        found["name"] for form in CATALOGUES[language].sentences[key] for found in PLACEHOLDER.finditer(form)
    }


def test_every_sentence_is_in_both_languages() -> None:
    helps = [
        key for key in ENGLISH if key.startswith("help:")
    ]  # the French help of a command is its docstring
    assert sorted(set(ENGLISH) - set(helps)) == FRENCH


def test_both_languages_quote_the_same_facts() -> None:
    assert not [key for key in FRENCH if quoted(Language.FR, key) != quoted(Language.EN, key)]


@pytest.mark.parametrize("language", Language)
def test_no_sentence_is_written_twice_or_left_for_later(language: Language) -> None:
    written = re.findall(r'^msgid "(.+)"$', po(language).read_text(), re.MULTILINE)
    assert len(written) == len(set(written))
    assert set(keys(language)) == set(written)  # none is empty
    with po(language).open("rb") as file:
        catalogue = read_po(file)
    assert not catalogue.obsolete
    assert not [message.id for message in catalogue if message.fuzzy and message.id]


@pytest.mark.parametrize(
    ("language", "key"),
    [*((Language.FR, key) for key in FRENCH), *((Language.EN, key) for key in ENGLISH)],
)
def test_every_sentence_can_be_said(language: Language, key: str) -> None:
    facts: dict[str, object] = {name: f"‹{name}›" for name in quoted(language, key)}
    rendered = render(language, key, facts | ({"n": 2} if "n" in facts else {}))
    tags(rendered.formatted_body)
    for mark in ("**", "`", "{", "}", "](", "  "):
        assert mark not in rendered.body, f"{mark!r} shows in {rendered.body!r}"
    for name, value in facts.items():
        assert name == "n" or str(value) in rendered.body


@pytest.mark.parametrize("said", said(), ids=lambda said: f"{said.key}@{said.where}")
def test_whatever_the_code_says_has_its_sentence_and_its_facts(said: Said) -> None:
    assert has(Language.FR, said.key), f"{said.where} says {said.key}, which has no sentence"
    if said.facts is not None:
        # dispatch adds the reminder to whatever refusal of an argument parse makes
        missing = quoted(Language.FR, said.key) - said.facts - {"emergency"}
        assert not missing, f"{said.where} does not give {missing}"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.code)
def test_every_command_has_its_words_in_both_languages(command: Command) -> None:
    assert has(Language.EN, f"help:{command.code}")
    for language in Language:
        assert has(language, f"bot.{command.bot}")
        assert command.usage(language).startswith(f"/{command.names[language]}")
        assert command.example(language).startswith(f"/{command.names[language]}")
        assert len(command.summary(language)) <= 110, "the summary must fit a line of a telephone or two"
        for parameter in command.parameters:
            assert has(language, f"arg:{parameter.name}")
            assert has(language, parameter.converter.expected[0])


def test_no_help_is_left_of_a_command_that_is_gone() -> None:
    assert {f"help:{command.code}" for command in COMMANDS} == {
        key for key in ENGLISH if key.startswith("help:")
    }


@pytest.mark.parametrize("choice", [*Role, *Language], ids=str)
@pytest.mark.parametrize("language", Language)
def test_every_choice_has_its_words(language: Language, choice: Role | Language) -> None:
    assert has(language, choice_key(choice))
