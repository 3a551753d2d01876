import pytest

from tests.support import sentences
from tests.support.dialogue import _migrated, dialogue_database, direct, room

__all__ = ["_migrated", "dialogue_database", "direct", "room"]


@pytest.fixture(autouse=True)
def _clinic_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of ``clinic.py``, which is no bot of the hub."""
    sentences.add(
        monkeypatch,
        fr={
            "arg:slot": "créneau",
            "arg:note": "note",
            "arg:person": "personne",
            "arg:role": "rôle",
            "bot.clinic": "Clinique",
        },
        en={
            "arg:slot": "slot",
            "arg:note": "note",
            "arg:person": "person",
            "arg:role": "role",
            "bot.clinic": "Clinic",
            "help:rdv": "Shows your appointments.",
            "help:rdv réserver": "Books a slot.",
            "help:note": "Notes something.",
            "help:invite": "Invites somebody.",
            "help:panne": "Breaks down.",
            "help:refus": "Refuses.",
        },
    )
