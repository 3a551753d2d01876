"""The languages the hub speaks."""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """The value is the ISO 639-1 code, which is also the folder of the catalogue."""

    FR = "fr"
    EN = "en"

    @classmethod
    def of(cls, code: str | None) -> Language:
        """The language of a code such as ``"en"``; French for whoever has not chosen, or chose one we
        lost.
        """
        return next((language for language in cls if language == code), cls.FR)
