"""``parcours chat``: a small encrypted client for whoever has no Element at hand.

One room at a time: the conversation with the hub to begin with. What is typed is said; ``:`` begins what is
meant for this terminal and not for the room.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from hub.locale import Language, translate
from hub.matrix.batch import Received
from hub.matrix.rooms import Room
from hub.terminal.person import Person

_WIDTH = 92


def bubble(who: str, body: str, *, own: bool, machine: bool = False) -> Panel:
    """A message as a person at a terminal sees it."""
    style = "green" if own else ("blue" if machine else "magenta")
    return Panel(
        escape(body),
        title=escape(who),
        title_align="right" if own else "left",
        border_style=style,
        width=_WIDTH,
    )


async def chat(person: Person, hub_id: str, console: Console, language: Language) -> None:
    """Talk until the end of the input, or ``:q``."""

    def tell(key: str, **facts: object) -> None:
        console.print(f"[dim]{escape(translate(language, key, **facts))}[/dim]")

    room_id = _room_with(person, hub_id) or await _first_room(person, hub_id, tell)
    show = _shower(person, console, hub_id, lambda: room_id)
    for message in person.heard:
        show(message)
    person.listeners.append(show)
    tell("chat.welcome", person=person.name)
    async for line in _lines():
        match line.strip():
            case "":
                continue
            case ":q":
                return
            case ":?":
                tell("chat.help")
            case ":r":
                _list_rooms(person, console)
            case command if command.startswith(":r "):
                chosen = _chosen(person, command[3:].strip())
                if chosen is None:
                    tell("chat.no_such_room")
                else:
                    room_id = await _entered(person, chosen)
                    tell("chat.room", room=_name(person, person.member.rooms[room_id]))
            case command if command.startswith(":"):
                tell("chat.unknown", typed=command[:20])
            case text:
                said = await person.say(room_id, text)
                if not sys.stdin.isatty() and person.member.rooms[room_id].direct:
                    await person.answer_to(room_id, said)  # input from a pipe ends before the answer comes


async def _first_room(person: Person, hub_id: str, tell: Callable[..., None]) -> str:
    tell("chat.meeting", hub=hub_id)
    room_id = await person.meet(hub_id)
    await person.until(lambda: _joined(person, room_id, hub_id))
    return room_id


def _shower(
    person: Person, console: Console, hub_id: str, current: Callable[[], str]
) -> Callable[[Received], None]:
    def show(message: Received) -> None:
        who = "Parcours 🔒" if message.sender == hub_id else message.sender
        if message.room_id != current():
            who += f" · {message.room_id}"
        body = message.content.get("body")
        console.print(bubble(who, str(body), own=False, machine=message.sender == hub_id))

    return show


def _room_with(person: Person, hub_id: str) -> str | None:
    rooms = [room for room in person.member.rooms.shared_with(hub_id) if room.direct and room.encrypted]
    return rooms[0].room_id if rooms else None


def _joined(person: Person, room_id: str, user_id: str) -> Room | None:
    room = person.member.rooms.joined(room_id)
    return room if room and room.members.get(user_id) == "join" else None


def _known(person: Person) -> list[Room]:
    return sorted(
        (room for room in person.member.rooms if room.membership in ("join", "invite")),
        key=lambda room: room.room_id,
    )


def _name(person: Person, room: Room) -> str:
    others = sorted(user for user in room.members if user != person.user_id)
    return ", ".join(others) or person.invitations.get(room.room_id, room.room_id)


def _list_rooms(person: Person, console: Console) -> None:
    for number, room in enumerate(_known(person), 1):
        mark = "✉" if room.membership == "invite" else " "
        console.print(f"{number:>3} {mark} {escape(_name(person, room))}")


def _chosen(person: Person, typed: str) -> Room | None:
    rooms = _known(person)
    return rooms[int(typed) - 1] if typed.isdecimal() and 0 < int(typed) <= len(rooms) else None


async def _entered(person: Person, room: Room) -> str:
    if room.membership == "invite":
        await person.member.join(room.room_id)
        await person.until(lambda: person.member.rooms.joined(room.room_id))
    return room.room_id


async def _lines() -> AsyncIterator[str]:
    """Lines typed, without holding up the client meanwhile, nor its end: the thread is not waited for."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        line = "-"
        while line:
            line = sys.stdin.readline()
            try:
                loop.call_soon_threadsafe(typed.put_nowait, line)
            except RuntimeError:  # the client has ended meanwhile
                return

    threading.Thread(target=read, daemon=True).start()
    while line := await typed.get():
        yield line
