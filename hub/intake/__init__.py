"""Intake: between the homeserver and the outbox.

    note.py      the sealed part of an inbox row
    address.py   which events are addressed to the hub, and the row each becomes
    ledger.py    a batch → inbox, waiting room and sync position, in ONE transaction
    answers.py   a row → the letters that answer it: is its sender proven? then parse, authorise, dispatch
    desk.py      people who verify us meet the operator who compares codes with them
    clerk.py     the loop: claim → answer → done, in ONE transaction; faults, retries, parked rows

May import: ``hub.matrix``'s values, ``hub.commands``, ``hub.care.directory``, ``hub.delivery.letter``,
``hub.storage``. To take in something new (a vote, a file): a kind in ``note``, its recognition in
``address``, its answer in ``answers``.
"""
