"""A bot with every kind of argument, to talk to in the tests."""

from __future__ import annotations

from enum import StrEnum

from hub.care.directory.model import UserId
from hub.commands.bot import Bot, Bots
from hub.commands.context import Context
from hub.commands.permissions import Permission
from hub.commands.reply import Reply
from hub.errors import Refusal
from hub.locale import Language

clinic = Bot("clinic")


class Role(StrEnum):  # its words are those of hub.care.directory.model.Role
    PATIENT = "patient"
    ADMIN = "admin"


@clinic.command("rdv", "booking", needs=Permission.SEE_SELF)
async def rdv(ctx: Context) -> Reply:
    """Montre vos rendez-vous."""
    return _heard("rdv")


@clinic.command("rdv réserver", "booking book", needs=Permission.SEE_SELF)
async def rdv_reserver(ctx: Context, slot: int, note: str = "") -> Reply:
    """Réserve un créneau."""
    return _heard("rdv réserver", slot, note)


@clinic.command("note", "note", "noter", needs=Permission.SEE_SELF)
async def note(ctx: Context, note: str) -> Reply:
    """Note quelque chose."""
    return _heard("note", note)


@clinic.command("invite", "invite someone", needs=Permission.SEE_SELF)
async def invite(
    ctx: Context, person: UserId, role: Role = Role.PATIENT, language: Language | None = None
) -> Reply:
    """Invite quelqu'un."""
    return _heard("invite", person, role, language)


@clinic.command("panne", "break down", needs=Permission.SEE_HELP)
async def panne(ctx: Context) -> Reply:
    """Tombe en panne."""
    raise RuntimeError("on purpose")


@clinic.command("refus", "refuse", needs=Permission.SEE_HELP)
async def refus(ctx: Context) -> Reply:
    """Refuse."""
    raise Refusal("edit.ignored")


def _heard(*call: object) -> Reply:
    """A sentence of the catalogue that quotes any text, with the call beside it for the test to see."""
    return Reply("command.name", name=call[0], call=[str(part) for part in call])


BOTS = Bots(clinic)
