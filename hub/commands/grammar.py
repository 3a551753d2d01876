"""From a function's signature to a command's grammar. What cannot be a grammar fails while the bot is
imported.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from hub.commands.command import GrammarError, Parameter
from hub.commands.context import Context
from hub.commands.converters import converter, without_none
from hub.commands.reply import Reply

_NOTHING = inspect.Parameter("nothing", inspect.Parameter.POSITIONAL_ONLY)


def parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The arguments of ``async (ctx: Context, …) -> Reply``. Raises :class:`GrammarError`."""
    hints = _hints(function)
    if not inspect.iscoroutinefunction(function):
        raise GrammarError(f"{_where(function)} must be async")
    if hints.get("return") is not Reply:
        raise GrammarError(f"{_where(function)} must return a Reply")
    context, *arguments = inspect.signature(function).parameters.values() or [_NOTHING]
    if hints.get(context.name) is not Context:
        raise GrammarError(f"the first parameter of {_where(function)} must be a Context")
    last = len(arguments) - 1
    return tuple(
        _parameter(function, argument, hints, last=position == last)
        for position, argument in enumerate(arguments)
    )


def documentation(function: Callable[..., Any]) -> str:
    """The French help of a command. Raises :class:`GrammarError` when there is none."""
    text = inspect.getdoc(function)
    if not text or not text.strip():
        raise GrammarError(f"{_where(function)} needs a docstring: it is the help people read")
    return text.strip()


def _parameter(
    function: Callable[..., Any], argument: inspect.Parameter, hints: dict[str, Any], *, last: bool
) -> Parameter:
    where = f"the parameter {argument.name!r} of {_where(function)}"
    if argument.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise GrammarError(f"{where} must be an ordinary one: people type arguments in order")
    if argument.name not in hints:
        raise GrammarError(f"{where} has no type")
    kind, nullable = without_none(hints[argument.name])
    found = converter(kind)
    if found is None:
        raise GrammarError(
            f"{where} has the type {hints[argument.name]!r}, which no converter reads: register one"
        )
    optional = argument.default is not inspect.Parameter.empty
    if nullable and not optional:
        raise GrammarError(f"{where} may be None but has no default")
    default = argument.default if optional else None
    return Parameter(argument.name, found, optional=optional, default=default, rest=last and kind is str)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise GrammarError(
            f"{_where(function)} has an annotation that cannot be resolved: {error}"
        ) from error


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
