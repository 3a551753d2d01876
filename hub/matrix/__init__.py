"""Matrix: the only place that knows nio, Olm and the client-server API.

What lives here, in the order a message meets it:

    wire.py           JSON from others, made fit to be walked through and written down
    client.py         one device of one account: HTTP without tokens in URLs, the Olm machine, key upload
    olm.py            matrix-nio's Olm machine, put right where it loses or leaks keys
    account.py        the secrets of a device at rest (token, password, seeds), in one sealed file
    identity.py       our own cross-signing identity: bootstrap, sign the device, verify the chain
    secret_storage.py the recovery key and the encrypted account data that it opens
    secret_store.py   those secrets on the server
    backup.py         our room keys on the server, for the day the disk is lost
    trust.py          other people's identities: pins, cross-signed devices, the one policy that decides
    rooms.py          what the hub must know of a room: members, encryption, visibility
    batch.py          what a sync brings, as values
    sync.py           ask what is new; take in keys, device changes and rooms
    backfill.py       what a sync left out, fetched before what came later
    inbound.py        decrypt, trust: the rest of the receiving half of the way
    outbound.py       share the room key, encrypt, send: fail closed
    history.py        the keys of what was said before, for who is invited where the room allows it
    sas.py            the code that two people compare, as a pure machine
    verification.py   verifications under way: who may ask, how they travel, what success means
    member.py         all of the above for one account, opened and closed together
    checkup.py        what an operator asks about a homeserver and an account; looks, and changes nothing

May import: nio, vodozemac, ``hub.errors``, ``hub.seal``. Nothing outside this folder imports nio.
To add an event type: teach ``batch.Received`` nothing, read its ``content`` where the type matters.
"""
