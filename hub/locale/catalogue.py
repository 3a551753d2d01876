"""The catalogues, read once from the ``.po`` files: no compile step, so that a sentence is mended by
editing it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from gettext import c2py
from pathlib import Path
from typing import Final

from babel.messages.pofile import read_po

from hub.locale.language import Language

_FOLDER: Final = Path(__file__).parent
_BEFORE: Final = re.compile(r" (?=[:;!?»%])")
_AFTER: Final = re.compile(r"(?<=«) ")


class MissingSentence(LookupError):
    """No catalogue has this key: a mistake of the author, which the tests find."""


@dataclass(frozen=True)
class Catalogue:
    """The sentences of one language: key → plural forms (mostly a single one), and the rule among them."""

    sentences: Mapping[str, tuple[str, ...]]
    plural: Callable[[int], int]

    def sentence(self, key: str, n: object = None) -> str | None:
        """The template of ``key``; for a sentence with plural forms, the one for ``n`` things."""
        forms = self.sentences.get(key)
        if forms is None:
            return None
        if len(forms) == 1:
            return forms[0]
        if not isinstance(n, int):
            raise TypeError(f"the sentence {key!r} has plural forms: it needs the whole number n")
        return forms[self.plural(abs(n))]


def read(path: Path, typography: Callable[[str], str] = str) -> Catalogue:
    """The catalogue in a ``.po`` file; raises ``babel.messages.pofile.PoFileError`` when it is malformed."""
    with path.open("rb") as file:
        po = read_po(file, abort_invalid=True)
    sentences: dict[str, tuple[str, ...]] = {}
    for message in po:
        key = message.id if isinstance(message.id, str) else message.id[0]
        forms = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
        if key and forms and all(forms):
            sentences[key] = tuple(typography(form) for form in forms)
    return Catalogue(sentences, c2py(po.plural_expr))


def french(sentence: str) -> str:
    """French typography: the space before ``: ; ! ? »`` and after ``«`` does not break."""
    return _AFTER.sub("\u00a0", _BEFORE.sub("\u00a0", sentence))


CATALOGUES: Final[Mapping[Language, Catalogue]] = {
    language: read(
        _FOLDER / language / "LC_MESSAGES" / "parcours.po", french if language is Language.FR else str
    )
    for language in Language
}


def template(language: Language, key: str, n: object = None) -> str:
    """The template of ``key``, in French where ``language`` lacks it. Raises :class:`MissingSentence`."""
    for candidate in (language, Language.FR):
        found = CATALOGUES[candidate].sentence(key, n)
        if found is not None:
            return found
    raise MissingSentence(key)


def has(language: Language, key: str) -> bool:
    """Whether ``language`` itself has a sentence for ``key``."""
    return key in CATALOGUES[language].sentences


def keys(language: Language) -> Iterator[str]:
    """Every key of a language."""
    return iter(CATALOGUES[language].sentences)
