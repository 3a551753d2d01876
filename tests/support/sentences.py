"""Sentences that exist for the length of a test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from hub.locale import Language
from hub.locale.catalogue import CATALOGUES, Catalogue, french


def add(
    monkeypatch: pytest.MonkeyPatch,
    fr: Mapping[str, str | tuple[str, ...]],
    en: Mapping[str, str | tuple[str, ...]],
) -> None:
    """Let the catalogues know these too; a tuple holds the plural forms."""
    for language, more in ((Language.FR, fr), (Language.EN, en)):
        known = CATALOGUES[language]
        dress = french if language is Language.FR else str
        forms = {
            key: tuple(map(dress, (text,) if isinstance(text, str) else text)) for key, text in more.items()
        }
        catalogue = Catalogue({**known.sentences, **forms}, known.plural)
        monkeypatch.setitem(cast(dict[Language, Any], CATALOGUES), language, catalogue)
