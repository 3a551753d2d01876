"""From a row of the inbox to the letters that answer it: parse, authorise, dispatch, in one transaction.

Nobody is trusted by name: a command counts only if the session that carried it proves its sender. Whoever
fails that is told why, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from hub.care.directory import service as directory
from hub.care.directory.model import Person
from hub.commands.answer import answer
from hub.commands.bot import Bots
from hub.commands.context import Context, RoomView
from hub.commands.parse import recognise
from hub.commands.reply import Reply
from hub.delivery.letter import Kind as Send
from hub.delivery.letter import Letter
from hub.errors import Refusal
from hub.intake.note import Kind, Note
from hub.locale import Language
from hub.matrix.trust import Verdict
from hub.storage.rows import InboxRow
from hub.storage.unit_of_work import UnitOfWork

UNTRUSTED = {
    Verdict.UNSIGNED_DEVICE: "device.untrusted",
    Verdict.UNKNOWN_DEVICE: "device.unknown",
    Verdict.CHANGED_IDENTITY: "identity.refused",
    Verdict.RESTORED_KEY: "device.restored_key",
    Verdict.NOT_ENCRYPTED: "message.not_encrypted",
}
"""Why a message does not count → what its sender is told."""


UNKNOWN = "unknown"
"""How metrics call what is no command."""


async def letters(
    bots: Bots, tx: UnitOfWork, row: InboxRow, now: datetime, language: Language
) -> list[Letter]:
    """What to send because of ``row``, in order. ``language`` is for rooms and for whoever chose none."""
    match Kind(row.kind):
        case Kind.INVITATION:
            return [Letter(Send.JOIN), Letter(Send.MESSAGE, "welcome", language=language)]
        case Kind.IDENTITY:
            return [
                Letter(
                    Send.MESSAGE,
                    "identity.changed",
                    {"person": row.sender},
                    language=language,
                    notify=True,
                    warning=True,
                )
            ]
        case Kind.COMMAND | Kind.EDIT:
            return [await _answer(bots, tx, row, now, language)]


def asked(bots: Bots, row: InboxRow) -> str:
    """What ``row`` asks for, as it was declared, never as it was typed: a command, or the kind of the row."""
    if row.kind != Kind.COMMAND:
        return row.kind
    found = recognise(bots, Note.from_bytes(row.payload).text)
    return found[0].code if found else UNKNOWN


async def fault(tx: UnitOfWork, row: InboxRow, reference: str, language: Language) -> Letter:
    """The hub failed: people see the reference and nothing else."""
    person = await directory.find(tx, row.sender)
    return _letter(row, Reply("fault", notify=True, reference=reference), spoken(person, language))


def spoken(person: Person, language: Language) -> Language:
    """The language that a person chose, or else this one."""
    try:
        return Language(person.language) if person.language else language
    except ValueError:  # one that this version does not speak
        return language


async def _answer(bots: Bots, tx: UnitOfWork, row: InboxRow, now: datetime, language: Language) -> Letter:
    note = Note.from_bytes(row.payload)
    person = await directory.find(tx, row.sender)
    if not note.room_encrypted:
        # Said aloud where everybody on the way can read: the sentence quotes nothing and nobody.
        return Letter(Send.MESSAGE, "room.not_encrypted", language=spoken(person, language), in_clear=True)
    if (code := UNTRUSTED.get(note.verdict)) is not None:
        reply = Reply.refusing(Refusal(code))
    elif row.kind == Kind.EDIT:
        reply = Reply("edit.ignored")
    else:
        context = Context(
            actor=person,
            room=RoomView(row.room_id, note.direct),
            event_id=row.event_id,
            now=now,
            tx=tx,
            language=spoken(person, language),
        )
        reply = await answer(bots, context, note.text)
        # Whoever has just chosen a language is answered in it.
        person = await directory.find(tx, row.sender)
    return _letter(row, reply, spoken(person, language), warning=note.verdict is Verdict.CHANGED_IDENTITY)


def _letter(row: InboxRow, reply: Reply, language: Language, *, warning: bool = False) -> Letter:
    return Letter(
        Send.MESSAGE,
        reply.key,
        reply.facts,
        language=language,
        notify=reply.notify,
        reply_to=row.event_id,
        mentions=(row.sender,),
        warning=warning,
    )


async def queue(tx: UnitOfWork, row: InboxRow, sent: Iterable[Letter], now: datetime) -> None:
    """Put the letters into the outbox under their cause: the same cause queued twice is queued once."""
    for step, letter in enumerate(sent):
        await tx.outbox.queue(
            row.account, row.room_id, letter.to_bytes(), cause=row.event_id, step=step, now=now
        )
