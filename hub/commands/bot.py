"""Bots declare commands; ``Bots`` is what a room can be asked, checked as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import permutations
from types import MappingProxyType
from typing import ParamSpec

from hub.commands.command import Command, GrammarError
from hub.commands.fold import fold
from hub.commands.grammar import documentation, parameters
from hub.commands.parse import recognise
from hub.commands.permissions import Permission
from hub.commands.reply import Reply
from hub.locale import Language

P = ParamSpec("P")

_LONGEST_NAME = 40


class Bot:
    """A theme of commands, one module of ``bots/``. Its title in help is the sentence ``bot.<name>``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._commands: list[Command] = []

    @property
    def commands(self) -> tuple[Command, ...]:
        return tuple(self._commands)

    def command(
        self, french: str, english: str, *aliases: str, needs: Permission
    ) -> Callable[[Callable[P, Awaitable[Reply]]], Callable[P, Awaitable[Reply]]]:
        """Declare the decorated function as a command. Raises :class:`GrammarError` when it cannot be one."""
        for name in (french, english, *aliases):
            _check_name(name)

        def declare(function: Callable[P, Awaitable[Reply]]) -> Callable[P, Awaitable[Reply]]:
            names = MappingProxyType({Language.FR: french, Language.EN: english})
            self._commands.append(
                Command(
                    self.name, names, aliases, needs, documentation(function), parameters(function), function
                )
            )
            return function

        return declare


class Bots:
    """The bots that serve a room. Raises :class:`GrammarError` when two commands cannot be told apart."""

    def __init__(self, *bots: Bot) -> None:
        self.commands: tuple[Command, ...] = tuple(command for bot in bots for command in bot.commands)
        _check_shadows(_by_name(self.commands))

    def __iter__(self) -> Iterator[Command]:
        return iter(self.commands)

    def knows(self, line: str) -> bool:
        """Whether ``line`` begins with the name of a command."""
        return recognise(self.commands, line) is not None


def _by_name(commands: Iterable[Command]) -> dict[str, Command]:
    names: dict[str, Command] = {}
    for command in commands:
        for name in command.folded:
            if name in names:
                both = " and ".join(f"{one.bot}:{one.code}" for one in (names[name], command))
                raise GrammarError(f"{both} are both called {name!r}")
            names[name] = command
    return names


def _check_shadows(names: Mapping[str, Command]) -> None:
    for (short, command), (long, other) in permutations(names.items(), 2):
        swallowed = long.startswith(f"{short} ") and command is not other
        if swallowed and command.parameters and command.parameters[0].rest:
            raise GrammarError(
                f"{short!r} takes free text, some of which would be taken for the command {long!r}"
            )


def _check_name(name: str) -> None:
    folded = fold(name)
    if not folded or len(name) > _LONGEST_NAME or not folded.replace(" ", "").isalnum():
        raise GrammarError(f"{name!r} is no name for a command: letters, digits, spaces and hyphens only")
