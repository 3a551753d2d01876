"""Numbers, moments and lists as each language writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest

from hub.care.directory.model import Role
from hub.locale import Language
from hub.locale.facts import choice_key, in_words, joined

FR, EN = Language.FR, Language.EN
WINTER = datetime(2025, 3, 3, 13, 5, tzinfo=UTC)
SUMMER = datetime(2025, 7, 14, 22, 30, tzinfo=UTC)  # already the 15th in Paris


def spaced(words: str) -> str:
    return words.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("language", "fact", "style", "words"),
    [
        (FR, WINTER, "", "lundi 3 mars 2025 à 14 h 05"),
        (EN, WINTER, "", "Monday 3 March 2025 at 14:05"),
        (FR, SUMMER, "", "mardi 15 juillet 2025 à 0 h 30"),
        (EN, SUMMER, "", "Tuesday 15 July 2025 at 00:30"),
        (FR, SUMMER.astimezone(timezone(timedelta(hours=9))), "time", "0 h 30"),
        (FR, WINTER, "date", "lundi 3 mars 2025"),
        (FR, WINTER, "time", "14 h 05"),
        (FR, WINTER, "short", "03/03/2025 14 h 05"),
        (EN, WINTER, "short", "03/03/2025 14:05"),
        (FR, date(2025, 8, 1), "", "vendredi 1 août 2025"),
        (FR, date(2025, 8, 1), "short", "01/08/2025"),
        (EN, time(9, 5), "", "09:05"),
        (FR, time(9, 5), "", "9 h 05"),
        (FR, timedelta(hours=2), "", "2 heures"),
        (EN, timedelta(minutes=1), "", "1 minute"),
        (FR, timedelta(minutes=90), "", "1 heure et 30 minutes"),
        (EN, timedelta(days=90, seconds=3), "", "90 days and 3 seconds"),
        (FR, timedelta(), "", "0 minute"),
        (FR, 1234567, "", "1 234 567"),
        (EN, 1234567, "", "1,234,567"),
        (FR, Decimal("1.5"), "", "1,5"),
        (EN, 1.5, "", "1.5"),
        (FR, True, "", "oui"),
        (EN, False, "", "no"),
        (FR, None, "", "—"),
        (FR, "1.5", "", "1.5"),
    ],
)
def test_in_words(language: Language, fact: object, style: str, words: str) -> None:
    assert spaced(in_words(language, fact, style)) == words


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        in_words(FR, datetime(2025, 3, 3, 14, 0))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("items", "fr", "en"),
    [
        ([], "", ""),
        (["a"], "a", "a"),
        (["a", "b"], "a et b", "a and b"),
        (["a", "b", "c"], "a, b et c", "a, b and c"),
    ],
)
def test_lists(items: list[str], fr: str, en: str) -> None:
    assert (joined(FR, items), joined(EN, items)) == (fr, en)


def test_a_choice_has_its_words_in_the_catalogue() -> None:
    assert choice_key(Role.PATIENT) == "role.patient"
