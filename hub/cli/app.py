"""The command line's application: its language, its options, how it tells what went wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from hub.config import Settings
from hub.errors import OperatorError
from hub.locale import Language, translate


def _language() -> Language:
    """French first; English for whoever's terminal or configuration says so."""
    asked = os.environ.get("PARCOURS_LANGUAGE") or os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return Language.EN if asked.lower().startswith("en") else Language.FR


LANGUAGE = _language()


def say(key: str, **facts: object) -> str:
    """A sentence of the catalogue in the operator's language."""
    return translate(LANGUAGE, key, **facts)


console = Console()
errors = Console(stderr=True)


def group(key: str) -> typer.Typer:
    """A group of commands, explained by a sentence of the catalogue."""
    return typer.Typer(
        help=say(key), no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )


cli = group("cli.parcours")

Config = Annotated[Path | None, typer.Option("--config", help=say("cli.option.config"), metavar="FILE")]
Data = Annotated[Path | None, typer.Option("--data", help=say("cli.option.data"), metavar="DIR")]


def tell(key: str, **facts: object) -> None:
    """Tell the operator something, on standard output."""
    console.print(escape(say(key, **facts)))


def step(key: str) -> None:
    """Tell which step is under way."""
    console.print(f"[dim]· {escape(say(key))}[/]")


def warn(key: str) -> None:
    """Tell what is less safe than it could be, on standard error."""
    errors.print(f"[yellow]⚠[/] {escape(say(key))}")


def explain(failed: OperatorError) -> None:
    """Tell what went wrong and what to do, on standard error."""
    errors.print(f"[bold red]✗[/] {escape(say(failed.code, **failed.facts))}")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run asynchronous work; of a group of errors, the operator's own is what went wrong."""
    try:
        asyncio.run(work)
    except BaseExceptionGroup as several:
        known, _ = several.split(OperatorError)
        raise _first(known or several) from None


def _first(found: BaseException) -> BaseException:
    return _first(found.exceptions[0]) if isinstance(found, BaseExceptionGroup) else found


def settings_of(config: Path | None, data: Path | None, base_port: int | None = None) -> Settings:
    """The settings, with what was said on the command line over them."""
    settings = Settings.load(config)
    changes: dict[str, Any] = {}
    if data is not None:
        changes["data"] = data.expanduser().absolute()
    if base_port is not None:
        changes["homeserver"] = settings.homeserver.model_copy(update={"port": base_port})
        changes["web"] = settings.web.model_copy(update={"port": base_port + 1})
    return settings.model_copy(update=changes)
