"""Writes down what a sync brought, and the position behind it, in one transaction.

A kill before the commit and the homeserver tells the same again; after it, the rows are there to be answered.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hub.care.directory import service as directory
from hub.delivery.letter import Kind, Letter
from hub.intake.address import Address
from hub.intake.answers import spoken
from hub.locale import Language
from hub.matrix.batch import Batch, Received, Withheld
from hub.matrix.inbound import open_event
from hub.matrix.member import Member
from hub.matrix.rooms import Room
from hub.matrix.trust import Pin
from hub.observe import Log, Metrics
from hub.storage.engine import Transactions
from hub.storage.rows import Waiting
from hub.storage.unit_of_work import UnitOfWork

log = Log(__name__)

KEY_GRACE = timedelta(seconds=30)
"""How long an unreadable message waits for its key before its sender is asked to send it again."""
GIVEN_UP_AFTER = timedelta(days=30)
"""So long a message whose sender was told may still be opened by a key that comes after all."""

WITHHELD = {
    "m.unverified": "undecryptable.unverified",
    "m.blacklisted": "undecryptable.blacklisted",
    "m.unauthorised": "undecryptable.withheld",
    "m.unavailable": "undecryptable.withheld",
}
"""What a device says when it keeps a key from us → the sentence for its owner."""

Also = Callable[[UnitOfWork], Awaitable[object]]
"""What else belongs into a transaction."""


@dataclass
class Ledger:
    """The inbox, the waiting room and the sync position of one account."""

    db: Transactions
    member: Member
    address: Address
    metrics: Metrics
    language: Language
    first_turn: bool = True

    @property
    def account(self) -> str:
        """Whose."""
        return self.member.account.name

    async def recall(self) -> str | None:
        """Take up where the last start ended: the rooms into memory, the sync position returned."""
        async with self.db.transaction() as tx:
            for kept in (await tx.rooms.all(self.account)).values():
                self.member.rooms.update(Room.from_json(json.loads(kept)))
            position = await tx.sync.load(self.account)
            for pinned in await tx.identities.all():
                if pinned.changed_to is not None:
                    pin = Pin(pinned.user_id, pinned.master_key, pinned.changed_to)
                    self.member.trust.changed_identities[pinned.user_id] = pin
        return position.next_batch if position else None

    async def unlock(self, batch: Batch) -> Batch:
        """Add the events that waited for a key that this batch brought; on a first turn, for any key at hand.

        A kill may have come between the arrival of a key and the reading of what it opens.
        """
        if not batch.keys and not self.first_turn:
            return batch
        async with self.db.transaction() as tx:
            waiting = (
                await tx.waiting.all(self.account)
                if self.first_turn
                else [
                    event
                    for room_id, session_id in batch.keys
                    for event in await tx.waiting.for_session(self.account, room_id, session_id)
                ]
            )
        opened = tuple(self._readable(waiting))
        return replace(
            batch,
            events=(*opened, *batch.events),
            no_longer_waiting=frozenset(event.event_id for event in opened),
        )

    async def keep(self, batch: Batch, now: datetime, along: Also | None = None) -> int:
        """Write it all down; returns how many rows came into the inbox.

        ``along``: what is done in the same transaction, if any did.
        """
        pins = tuple(self.member.trust.changed_identities.values())
        rooms = self.member.rooms.after(batch.rooms)
        rows = [
            *self.address.incoming(batch, rooms, now),
            *self.address.changed_identities(pins, rooms, now),
        ]
        added = 0
        async with self.db.transaction() as tx:
            for row in rows:
                added += await tx.inbox.add(row, now)
            for event_id in batch.no_longer_waiting:
                await tx.waiting.remove(self.account, event_id)
            for unread in batch.undecryptable:
                await tx.waiting.add(self.address.waiting(unread, now))
            for room in batch.rooms:
                await tx.rooms.save(self.account, room.room_id, json.dumps(room.to_json()).encode())
            await tx.sync.save(self.account, batch.next_batch, now)
            if added and along is not None:
                await along(tx)
        self.first_turn = False
        self.member.move_on(batch)
        for pin in pins:
            log.warning("identity.changed", sender=pin.user_id)
            self.metrics.events.labels(outcome="identity_changed").inc()
            self.member.trust.changed_identities.pop(pin.user_id, None)
        self.metrics.events.labels(outcome="kept").inc(added)
        self.metrics.events.labels(outcome="duplicate").inc(len(rows) - added)
        return added

    async def tell_unreadable(self, now: datetime, connected_since: datetime) -> int:
        """Tell the senders of what stayed unreadable, once for each key that is missing.

        After we have listened for a while, that it did not come: it may be in what we have not heard yet. As
        soon as their device says so, that it keeps it from us.
        """
        async with self.db.transaction() as tx:
            overdue = [
                event
                for event in await tx.waiting.overdue(self.account, now)
                if max(event.since, connected_since) < now - KEY_GRACE or self._withheld(event)
            ]
            for event in overdue:
                person, withheld = await directory.find(tx, event.sender), self._withheld(event)
                letter = Letter(
                    Kind.MESSAGE,
                    WITHHELD.get(withheld.code, "undecryptable") if withheld else "undecryptable",
                    {"sent_at": event.sent_at},
                    language=spoken(person, self.language),
                    notify=True,
                    reply_to=event.event_id,
                    mentions=(event.sender,),
                )
                cause = f"undecryptable:{event.room_id}:{event.sender}:{event.session_id}"
                await tx.outbox.queue(
                    self.account, event.room_id, letter.to_bytes(), cause=cause, step=0, now=now
                )
                await tx.waiting.told(self.account, event.event_id)
            await tx.waiting.purge(self.account, now - GIVEN_UP_AFTER)
        return len(overdue)

    def _withheld(self, event: Waiting) -> Withheld | None:
        return self.member.withheld.get((event.room_id, event.session_id, event.sender))

    def _readable(self, waiting: Iterable[Waiting]) -> Iterable[Received]:
        for event in waiting:
            opened = open_event(self.member, event.room_id, json.loads(event.payload))
            if isinstance(opened, Received):
                yield opened
