"""From a line to a typed call."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.commands.command import Command
from hub.commands.fold import fold, folded
from hub.commands.parse import arguments, named, recognise
from hub.commands.words import words
from hub.errors import Refusal
from hub.locale import Language
from tests.commands.clinic import BOTS, Role


def call(line: str) -> tuple[str, list[object]]:
    found = recognise(BOTS.commands, line)
    assert found is not None, f"nothing is called {line!r}"
    command, rest = found
    return command.code, arguments(command, rest, Language.FR)


def refusal(line: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        call(line)
    assert refused.value.code == "command.argument"
    return refused.value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rdv", ("rdv", [])),
        ("rdv !", ("rdv", [])),
        ("rdv réserver 2", ("rdv réserver", [2, ""])),
        ("RDV-Reserver 2", ("rdv réserver", [2, ""])),
        ("booking book ２ a word", ("rdv réserver", [2, "a word"])),
        ("rdv réserver 2 Plutôt  le MATIN", ("rdv réserver", [2, "Plutôt  le MATIN"])),
        ("rdv réserver 2 « Plutôt le matin »", ("rdv réserver", [2, "Plutôt le matin"])),
        ('rdv réserver "2" ?', ("rdv réserver", [2, "?"])),
        ("rdv réserver: 2", ("rdv réserver", [2, ""])),
        ("note Il dit « bonjour » et s'en va", ("note", ["Il dit « bonjour » et s'en va"])),
        ("note 'entre apostrophes'", ("note", ["entre apostrophes"])),
        ("note l'aide de l'infirmière", ("note", ["l'aide de l'infirmière"])),
        ("note : deux\nlignes", ("note", ["deux\nlignes"])),
        ("note “smart” quotes", ("note", ["“smart” quotes"])),
        ("note a\x00b\u202ec\ud800d\u200be", ("note", ["abcde"])),
        ("invite @a:b.example", ("invite", ["@a:b.example", Role.PATIENT, None])),
        ("invite @a:b.example admin en", ("invite", ["@a:b.example", Role.ADMIN, Language.EN])),
        ("invite @a:b.example Administrateur Anglais", ("invite", ["@a:b.example", Role.ADMIN, Language.EN])),
        (
            "invite https://matrix.to/#/@a:b.example administrator",
            ("invite", ["@a:b.example", Role.ADMIN, None]),
        ),
        (
            "invite [Al](https://matrix.to/#/%40a%3Ab.example)",
            ("invite", ["@a:b.example", Role.PATIENT, None]),
        ),
    ],
)
def test_a_line_becomes_a_typed_call(line: str, expected: tuple[str, list[object]]) -> None:
    found = call(line)
    assert found == expected
    assert [type(value) for value in found[1]] == [type(value) for value in expected[1]]


@pytest.mark.parametrize("line", ["rdvs", "rd", "", "?", "note2", "réserver rdv", "👍"])
def test_what_is_no_command(line: str) -> None:
    assert recognise(BOTS.commands, line) is None


@pytest.mark.parametrize(
    ("line", "problem", "usage"),
    [
        (
            "rdv réserver",
            ("argument.missing", {"argument": ("arg:slot", {})}),
            "/rdv réserver <créneau> [note]",
        ),
        ("note", ("argument.missing", {"argument": ("arg:note", {})}), "/note <note>"),
        ("note « »", ("argument.missing", {"argument": ("arg:note", {})}), "/note <note>"),
        ("rdv demain", ("argument.extra", {"typed": "demain"}), "/rdv"),
    ],
)
def test_what_is_missing_or_too_much(line: str, problem: object, usage: str) -> None:
    refused = refusal(line)
    assert refused.facts["problem"] == problem
    assert refused.facts["usage"] == usage


@pytest.mark.parametrize("typed", ["deux", "2.5", "1_000", "9" * 19, "9" * 3_000, "0x10", "½", "-", "10²"])
def test_what_is_no_whole_number(typed: str) -> None:
    refused = refusal(f"rdv réserver {typed}")
    assert isinstance(refused.facts["problem"], tuple)
    key, facts = refused.facts["problem"]
    assert key == "argument.wrong"
    assert facts["expected"] == ("expected.integer", {})
    assert len(facts["typed"]) <= 40


@pytest.mark.parametrize(
    "typed", ["alice", "@alice", "@:b", "alice:b.example", "@" + "a" * 300 + ":b.example", "@a:"]
)
def test_what_is_no_user_id(typed: str) -> None:
    problem = refusal(f"invite {typed}").facts["problem"]
    assert isinstance(problem, tuple)
    assert (problem[0], problem[1]["expected"]) == ("argument.wrong", ("expected.user_id", {}))


def test_a_command_is_named_alone() -> None:
    found = named(BOTS.commands, "/RDV réserver ?")
    assert found is not None and found.code == "rdv réserver"
    assert named(BOTS.commands, "rdv demain") is None
    assert named(BOTS.commands, "") is None


SPELLINGS = [(spelling, command) for command in BOTS for spelling in command.spellings]


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


DISGUISES = st.sampled_from(
    [
        str,
        str.upper,
        str.title,
        str.swapcase,
        _without_accents,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),  # full width
    ]
)
GAPS = st.lists(
    st.sampled_from([" ", "\u00a0", "\u202f", "\t", "  ", "-", "\u2011", "_"]), min_size=4, max_size=4
)
INVISIBLE = st.sampled_from(["", "\u200b", "\u2060", "\ufeff", "\u200f", "\x00"])


@given(st.sampled_from(SPELLINGS), DISGUISES, GAPS, INVISIBLE)
def test_accents_case_and_spaces_never_matter_in_names(
    named_command: tuple[str, Command], disguise: object, gaps: list[str], invisible: str
) -> None:
    spelling, command = named_command
    parts = [disguise(part) for part in spelling.split()]  # type: ignore[operator]
    typed = parts[0][:1] + invisible + parts[0][1:]
    for part, gap in zip(parts[1:], gaps, strict=False):
        typed += gap + part
    found = recognise(BOTS.commands, typed + " Le Reste")
    assert found == (command, "Le Reste")


@given(st.text())
def test_any_line_parses_or_is_refused(line: str) -> None:
    for start in ("", "rdv réserver ", "note ", "invite ", "invite @a:b "):
        found = recognise(BOTS.commands, start + line)
        if found:
            try:
                values = arguments(found[0], found[1], Language.EN)
            except Refusal as refused:
                assert refused.code == "command.argument"
            else:
                for value in values:
                    str(value).encode()  # what is stored and sent must be encodable
                    assert "\x00" not in str(value)


@given(st.text())
def test_free_text_keeps_its_spelling(text: str) -> None:
    plain = "".join(c for c in text if c.isalnum() or c in " é.,;-")
    if not any(map(str.isalnum, plain)):
        return
    assert call(f"note x{plain}x") == ("note", [f"x{plain}x"])


@given(st.text())
def test_folding_is_idempotent_and_points_into_the_text(text: str) -> None:
    seen = folded(text)
    assert fold(seen.text) == seen.text
    assert len(seen.text) == len(seen.ends)
    assert list(seen.ends) == sorted(seen.ends)
    assert all(0 < end <= len(text) for end in seen.ends)


@given(st.text())
def test_words_lose_nothing_but_quotes_and_spaces(text: str) -> None:
    for word in words(text):
        assert word.text in word.onwards
        assert text.endswith(word.onwards)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b", ["a", "b"]),
        ("«\u00a0a b\u00a0» c", ["a b", "c"]),
        ("“a b” ‘c d’ \"e f\" 'g h'", ["a b", "c d", "e f", "g h"]),
        ("'l'avis' suit", ["l'avis", "suit"]),
        ('"jamais fermé', ['"jamais', "fermé"]),
        ("l'un l'autre", ["l'un", "l'autre"]),
        ("a\u00a0b\u202fc\u2003d", ["a", "b", "c", "d"]),
    ],
)
def test_words(line: str, expected: list[str]) -> None:
    assert [word.text for word in words(line)] == expected
