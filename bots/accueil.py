"""The first words: help, greeting, language, and who one is to the hub."""

from __future__ import annotations

from hub.care.directory import service as directory
from hub.commands import help as helping
from hub.commands.authorise import authorise
from hub.commands.bot import Bot
from hub.commands.context import Context
from hub.commands.emergency import emergency
from hub.commands.parse import named
from hub.commands.permissions import Permission
from hub.commands.refusals import unknown
from hub.commands.reply import Reply
from hub.locale import Language

bot = Bot("accueil")


@bot.command("aide", "help", "commandes", "commands", needs=Permission.SEE_HELP)
async def aide(ctx: Context, about: str = "") -> Reply:
    """Montre ce que vous pouvez faire ici.

    Suivie du nom d'une commande, elle explique cette commande.
    """
    if not about:
        return helping.overview(ctx) if ctx.actor.enrolled else _stranger(ctx)
    command = named(ctx.commands, about)
    if command is None:
        raise unknown(ctx, about)
    authorise(ctx.actor, command)
    return helping.about(command, ctx.language)


@bot.command("bonjour", "hello", "bonsoir", "salut", "coucou", "hi", needs=Permission.SEE_HELP)
async def bonjour(ctx: Context) -> Reply:
    """Vous salue et dit qui je suis."""
    if not ctx.actor.enrolled:
        return _stranger(ctx)
    return Reply("greeting", person=ctx.actor.name, emergency=emergency(ctx.actor))


@bot.command("langue", "language", "lang", needs=Permission.CHOOSE_LANGUAGE)
async def langue(ctx: Context, language: Language) -> Reply:
    """Choisit la langue dans laquelle je vous réponds : français ou anglais."""
    if language == ctx.actor.language:
        return Reply("language.already", language=language)
    await directory.choose_language(ctx.tx, ctx.actor, language, ctx.now, ctx.event_id)
    return Reply("language.changed", language=language)


@bot.command("qui suis-je", "whoami", "who am i", needs=Permission.SEE_SELF)
async def qui_suis_je(ctx: Context) -> Reply:
    """Dit ce que je sais de vous : nom, identifiant, rôle et langue."""
    return Reply(
        "person.known",
        person=ctx.actor.name,
        user_id=ctx.actor.user_id,
        role=ctx.actor.role,
        language=ctx.language,
    )


def _stranger(ctx: Context) -> Reply:
    return Reply("person.unknown", user_id=ctx.actor.user_id, emergency=emergency(ctx.actor))
