"""Delivery: from a row of the outbox to an event in a room, exactly once.

    letter.py   what an outbox row holds: keys and facts, as JSON
    content.py  a letter, rendered for its reader as the content of a Matrix event
    relay.py    claim → render → send → mark: per-room order, back-off, parked rows
    bell.py     what wakes a loop, and tells when it has nothing more to do

May import: ``hub.storage``, ``hub.locale``, ``hub.matrix``'s errors. To send something new, queue a
:class:`~hub.delivery.letter.Letter` in the transaction that causes it; nothing else ever sends.
"""
