"""A command as declared data: names, permission, help and grammar in one value, made from one function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hub.commands.converters import Converter
from hub.commands.fold import fold
from hub.commands.permissions import Permission
from hub.commands.reply import Reply
from hub.locale import Language, translate
from hub.locale.catalogue import french, has


class GrammarError(Exception):
    """The author of a command declared what cannot work. Raised while the bots are imported or joined."""


@dataclass(frozen=True)
class Parameter:
    """An argument. ``rest`` takes all that remains of the line; ``default`` counts when ``optional``."""

    name: str
    converter: Converter[Any]
    optional: bool = False
    default: object = None
    rest: bool = False

    def label(self, language: Language) -> str:
        """What people call it."""
        return translate(language, f"arg:{self.name}")


@dataclass(frozen=True)
class Command:
    """``names`` has one name a language, shown in help; ``aliases`` are understood and never shown."""

    bot: str
    names: Mapping[Language, str]
    aliases: tuple[str, ...]
    needs: Permission
    doc: str
    parameters: tuple[Parameter, ...]
    run: Callable[..., Awaitable[Reply]]

    @property
    def code(self) -> str:
        """What the command is called in the catalogues and in the logs: its French name."""
        return self.names[Language.FR]

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name it answers to, in whatever language."""
        return (*self.names.values(), *self.aliases)

    @cached_property
    def folded(self) -> tuple[str, ...]:
        """Its spellings, each once, as ``fold`` leaves them."""
        return tuple(dict.fromkeys(map(fold, self.spellings)))

    def help(self, language: Language) -> str:
        """Its help: the docstring in French, the catalogue's text otherwise. Its first line is a summary."""
        key = f"help:{self.code}"
        if language is not Language.FR and has(language, key):
            return translate(language, key)
        return french(self.doc)

    def summary(self, language: Language) -> str:
        """Its help in one line."""
        return self.help(language).partition("\n")[0]

    def usage(self, language: Language) -> str:
        """How to type it: ``/rdv réserver <créneau> [note]``, brackets around what may be left out."""
        return " ".join([f"/{self.names[language]}", *(_placeholder(p, language) for p in self.parameters)])

    def example(self, language: Language) -> str:
        """It typed for real, from the catalogue (``example:<name>``) or from what each argument looks
        like.
        """
        key = f"example:{self.code}"
        if has(language, key):
            return f"/{self.names[language]} {translate(language, key)}"
        return " ".join(
            [f"/{self.names[language]}", *(p.converter.example(language) for p in self.parameters)]
        )


def _placeholder(parameter: Parameter, language: Language) -> str:
    label = parameter.label(language)
    return f"[{label}]" if parameter.optional else f"<{label}>"
