"""Arguments: from what a person typed to a typed value. One registry; a feature adds its type in one
place.

    register(SlotRef, read=slot_ref, expected="expected.slot", example=lambda language: "2")

``read`` raises ``ValueError`` on what it does not understand; ``expected`` is a catalogue key that ends
"… is expected". Any ``Enum`` is understood without registration: by its value, its name, or its words in
either language.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar
from urllib.parse import unquote

from hub.care.directory.model import UserId, user_id
from hub.commands.fold import fold
from hub.locale import Language, translate
from hub.locale.facts import choice_key

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
Expected = tuple[str, dict[str, object]]


@dataclass(frozen=True)
class Converter(Generic[T]):
    """How to read one type of argument, what to say when it cannot be read, and what one looks like."""

    read: Callable[[str], T]
    expected: Expected
    example: Callable[[Language], str]


_REGISTRY: Final[dict[object, Converter[typing.Any]]] = {}


def register(
    kind: object, *, read: Callable[[str], object], expected: str, example: Callable[[Language], str]
) -> None:
    """Teach the commands to read arguments annotated ``kind``, a class or a ``NewType``; once."""
    if kind in _REGISTRY:
        raise ValueError(f"{kind!r} is already registered")
    _REGISTRY[kind] = Converter(read, (expected, {}), example)


def converter(kind: object) -> Converter[typing.Any] | None:
    """The converter for an annotation, or None when nobody registered one."""
    if kind in _REGISTRY:
        return _REGISTRY[kind]
    if isinstance(kind, type) and issubclass(kind, Enum) and len(kind):
        return choice(kind)
    return None


def without_none(annotation: object) -> tuple[object, bool]:
    """``T | None`` → ``(T, True)``; any other annotation → ``(annotation, False)``."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
    optional = len(members) < len(typing.get_args(annotation))
    return (members[0], optional) if len(members) == 1 else (annotation, False)


def choice(kind: type[E], synonyms: dict[str, E] | None = None) -> Converter[E]:
    """A converter for an Enum: its values, names, and words in both languages; ``synonyms`` adds others."""

    def words() -> dict[str, E]:
        known: dict[str, E] = {}
        for member in kind:
            labels = [translate(language, choice_key(member)) for language in Language]
            for spelling in (str(member.value), member.name, *labels):
                known[fold(spelling)] = member
        return known | {fold(spelling): member for spelling, member in (synonyms or {}).items()}

    def read(text: str) -> E:
        try:
            return words()[fold(text)]
        except KeyError:
            raise ValueError("not one of the choices") from None

    def example(language: Language) -> str:
        return translate(language, choice_key(next(iter(kind))))

    return Converter(read, ("expected.choice", {"choices": list(kind)}), example)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text):  # decimal digits of any script, but "10²" is not 102
        raise ValueError("not a whole number")
    return int(text)


_MATRIX_TO: Final = re.compile(r"(?:\[[^\]]*\]\()?https://matrix\.to/#/(?P<id>[^)?\s]+)[^)\s]*\)?\Z")


def _user_id(text: str) -> UserId:
    link = _MATRIX_TO.match(text)  # what clients put in the place of a person picked from a list
    return user_id(unquote(link["id"]) if link else text)


register(
    str, read=str, expected="expected.text", example=lambda language: translate(language, "example.text")
)
register(int, read=_integer, expected="expected.integer", example=lambda language: "3")
register(UserId, read=_user_id, expected="expected.user_id", example=lambda language: "@camille:exemple.fr")
_REGISTRY[Language] = choice(
    Language,
    {"français": Language.FR, "french": Language.FR, "anglais": Language.EN, "english": Language.EN},
)
