"""Facts in words: numbers, moments, choices and lists as the reader's language writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.lists import format_list
from babel.numbers import format_decimal
from babel.units import format_unit

from hub.locale.language import Language

LOCALES: Final = {Language.FR: Locale("fr", "FR"), Language.EN: Locale("en", "GB")}
PARIS: Final = ZoneInfo("Europe/Paris")

_DATE: Final = {
    Language.FR: {"": "EEEE d MMMM y", "date": "EEEE d MMMM y", "short": "dd/MM/y"},
    Language.EN: {"": "EEEE d MMMM y", "date": "EEEE d MMMM y", "short": "dd/MM/y"},
}
_TIME: Final = {Language.FR: "H'\u00a0h\u00a0'mm", Language.EN: "HH:mm"}
_AT: Final = {Language.FR: " à ", Language.EN: " at "}
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def choice_key(choice: Enum) -> str:
    """The catalogue key of a choice: ``slot_state.free`` for ``SlotState.FREE``."""
    return f"{_CAMEL.sub('_', type(choice).__name__).lower()}.{choice.value}"


def in_words(language: Language, fact: object, style: str = "") -> str:
    """A number, a date or a duration in words. Moments are told in Paris time and must be aware.

    ``style`` is what follows the colon of a placeholder. Raises ``TypeError`` on anything else: an object
    that nobody meant to show is never shown.
    """
    locale = LOCALES[language]
    match fact:
        case str():
            return fact
        case None:
            return "—"
        case bool():
            return _YES[language] if fact else _NO[language]
        case int() | float() | Decimal():
            return format_decimal(fact, locale=locale)
        case datetime():
            return _moment(language, fact, style)
        case date():
            return format_date(fact, _DATE[language][style], locale=locale)
        case time():
            return format_time(fact, _TIME[language], locale=locale)
        case timedelta():
            return _duration(language, fact)
        case _:
            raise TypeError(f"a sentence cannot quote {type(fact).__name__}")


def joined(language: Language, items: Sequence[str], style: str = "") -> str:
    """``a, b et c``; with the style ``or``, ``a, b ou c``."""
    how: Literal["or", "standard"] = "or" if style == "or" else "standard"
    return format_list(items, style=how, locale=LOCALES[language])


def _moment(language: Language, moment: datetime, style: str) -> str:
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be told to anybody")
    local = moment.astimezone(PARIS)
    clock = format_time(local.time(), _TIME[language], locale=LOCALES[language])
    if style == "time":
        return clock
    day = format_date(local.date(), _DATE[language][style], locale=LOCALES[language])
    if style == "date":
        return day
    return f"{day} {clock}" if style == "short" else f"{day}{_AT[language]}{clock}"


def _duration(language: Language, duration: timedelta) -> str:
    """Exact to the second, in as few units as it takes: nobody rounds how long a treatment lasts."""
    minutes, seconds = divmod(round(abs(duration).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    counts = {"day": days, "hour": hours, "minute": minutes, "second": seconds}
    shown = {unit: count for unit, count in counts.items() if count} or {"minute": 0}
    locale = LOCALES[language]
    return joined(language, [format_unit(n, f"duration-{unit}", locale=locale) for unit, n in shown.items()])


_YES: Final = {Language.FR: "oui", Language.EN: "yes"}
_NO: Final = {Language.FR: "non", Language.EN: "no"}
