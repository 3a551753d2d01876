"""Help, made of what the commands already say about themselves: only what this person may do here."""

from __future__ import annotations

from itertools import groupby

from hub.commands.authorise import may
from hub.commands.command import Command
from hub.commands.context import Context
from hub.commands.reply import Reply
from hub.locale import Language

Phrase = tuple[str, dict[str, object]]


def name(command: Command, language: Language) -> Phrase:
    """The name of a command as people type it, in their language."""
    return "command.name", {"name": command.names[language]}


def overview(ctx: Context) -> Reply:
    """Every command this person may use here, in one line each, by theme where there are several."""
    allowed = [command for command in ctx.commands if may(ctx.actor, command)]
    themes = [(bot, list(commands)) for bot, commands in groupby(allowed, key=lambda command: command.bot)]
    if len(themes) == 1:
        return Reply("help.overview", commands=_lines(allowed, ctx.language))
    groups: list[Phrase] = [
        ("help.theme", {"theme": (f"bot.{bot}", {}), "commands": _lines(commands, ctx.language)})
        for bot, commands in themes
    ]
    return Reply("help.overview", commands=groups)


def about(command: Command, language: Language) -> Reply:
    """One command: what it does, how to type it, an example."""
    summary, _, details = command.help(language).partition("\n")
    return Reply(
        "help.command",
        command=f"/{command.names[language]}",
        summary=summary,
        details=" ".join(details.split()),
        usage=command.usage(language),
        example=command.example(language),
    )


def _lines(commands: list[Command], language: Language) -> list[Phrase]:
    return [
        ("help.line", {"usage": command.usage(language), "summary": command.summary(language)})
        for command in commands
    ]
