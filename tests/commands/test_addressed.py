"""Which messages are for the hub, and what of them is the command."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.commands.parse import LONGEST_LINE, addressed
from tests.support.dialogue import HUB_NAMES


def heard(
    text: str, *, mentions: bool = False, direct: bool = False, known: tuple[str, ...] | None = None
) -> str | None:
    knows = None if known is None else lambda line: line.startswith(known)
    return addressed(text, mentions_bot=mentions, direct=direct, bot_names=HUB_NAMES, knows=knows)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("/aide", "aide"),
        ("!aide", "aide"),
        ("  /aide  ", "aide"),
        ("/ aide", "aide"),
        ("\u00a0/\u00a0aide", "aide"),
        ("\u200b/\u200baide", "aide"),
        ("\ufeff\u202e/aide", "aide"),
        ("／aide", "aide"),
        ("！aide", "aide"),
        ("/rdv réserver 2\nmerci", "rdv réserver 2\nmerci"),
        ("Parcours: aide", "aide"),
        ("Parcours : aide", "aide"),
        ("Parcours\u00a0: aide", "aide"),
        ("parcours, aide", "aide"),
        ("PARCOURS:aide", "aide"),
        ("Parcours aide", "aide"),
        ("@Parcours aide", "aide"),
        ("@Parcours: aide", "aide"),
        ("Parcours: /aide", "aide"),
        ("@parcours:chu.example aide", "aide"),
        ("@parcours:chu.example: aide", "aide"),
        ("@PARCOURS:chu.example, /aide", "aide"),
        ("parcours:chu.example aide", "aide"),
        ("[Parcours](https://matrix.to/#/@parcours:chu.example) aide", "aide"),
        ("[Le hub](https://matrix.to/#/%40parcours%3Achu.example): aide", "aide"),
        ("Parcours", ""),
        ("Parcours :", ""),
        ("@parcours:chu.example", ""),
        ("/", ""),
    ],
)
def test_for_the_hub(text: str, line: str, direct: bool) -> None:
    assert heard(text, direct=direct) == line


@pytest.mark.parametrize(
    "text",
    [
        "aide",
        "Bonjour à tous",
        "//aide",
        "!!!",
        "!",
        "! attention",
        "Parcoursaide",
        "Le parcours: aide",
        "@parcours:ailleurs.example aide",
        "[Parcours](https://matrix.to/#/@parcours:ailleurs.example) aide",
        "",
        " \u200b\u202e\n\x00",
        "👍",
    ],
)
def test_between_people(text: str) -> None:
    assert heard(text) is None


@pytest.mark.parametrize("text", ["aide", "Bonjour à tous", "!!!", "👍", "aide\u0301"])
def test_bare_words_in_a_direct_room(text: str) -> None:
    assert heard(text, direct=True) == text.removeprefix("!")


@pytest.mark.parametrize("text", ["//aide", "", " \u200b\n\x00"])
def test_not_even_in_a_direct_room(text: str) -> None:
    assert heard(text, direct=True) is None


def test_a_name_that_begins_a_sentence_addresses_nobody_when_the_commands_are_known() -> None:
    assert heard("Parcours de soins terminé", known=("aide",)) is None
    assert heard("Parcours aide", known=("aide",)) == "aide"
    assert heard("Parcours, de soins", known=("aide",)) == "de soins"
    assert heard("Parcours de soins", known=("aide",), mentions=True) == "de soins"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("aide @Parcours", "aide"),
        ("aide, Parcours", "aide"),
        ("Aide Parcours !", "Aide"),
        ("aide @parcours:chu.example", "aide"),
        ("Parcours aide", "aide"),
        ("d'accord, merci", None),  # a reply: clients mention whoever is replied to
        ("superparcours", None),
    ],
)
def test_m_mentions(text: str, line: str | None) -> None:
    assert heard(text, mentions=True) == line


@given(st.text(), st.booleans(), st.booleans())
def test_any_text_is_addressed_or_not(text: str, mentions: bool, direct: bool) -> None:
    line = heard(text, mentions=mentions, direct=direct)
    assert line is None or len(line) <= LONGEST_LINE + 1


@given(st.text(alphabet="/!@:, \u00a0\u200b[]()aparcous", max_size=30), st.booleans(), st.booleans())
def test_text_that_nearly_addresses_the_hub(text: str, mentions: bool, direct: bool) -> None:
    line = heard(text, mentions=mentions, direct=direct)
    assert line is None or line == line.strip()


@pytest.mark.parametrize(
    "filler", ["a", " ", "\u200b", "\u0301", "👍", "/", "[", "'a ", "@parcours:", "\x00"]
)
def test_a_huge_message_is_cut_not_chewed(filler: str) -> None:
    started = time.process_time()
    for text in (filler * 100_000, "/" + filler * 100_000, "Parcours: " + filler * 100_000):
        line = heard(text, mentions=True, direct=True)
        assert line is None or len(line) <= LONGEST_LINE + 1
    assert time.process_time() - started < 5  # seconds of work, whatever the machine's load: not quadratic
