"""What a command knows of the message that called it, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hub.care.directory.model import Person
from hub.commands.command import Command
from hub.locale import Language
from hub.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class RoomView:
    """The room as far as commands may know it. ``direct``: only one person and the hub are in it."""

    room_id: str
    direct: bool


@dataclass(frozen=True)
class Context:
    """``event_id`` is the Matrix event that asked: the cause of whatever follows from it."""

    actor: Person
    room: RoomView
    event_id: str
    now: datetime
    tx: UnitOfWork = field(repr=False)
    language: Language
    commands: tuple[Command, ...] = field(default=(), repr=False)
