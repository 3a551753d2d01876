"""The keys of what was said before, for somebody who is invited (MSC4268, "Sharing keys between users").

Never, unless whoever owns the room decided so: what is said about a patient is for those who were there.
Where it is allowed, the keys of those sessions whose creators marked them travel as one encrypted file, and
the key of that file by Olm to the cross-signed devices of the invited person, before the invitation. What
others offer us in this way is not taken: we answer what is addressed to us since we were asked in.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from nio.crypto.attachments import encrypt_attachment

from hub.matrix.client import JsonObject
from hub.matrix.rooms import MEGOLM
from hub.observe import Log

if TYPE_CHECKING:
    from hub.matrix.batch import ToDevice
    from hub.matrix.member import Member

log = Log(__name__)

BUNDLE = "m.room_key_bundle"
BUNDLES = frozenset({BUNDLE, "io.element.msc4268.room_key_bundle"})
"""The name of the specification, and that of older clients."""

Allows = Callable[[str], Awaitable[bool]]
"""Whether this room's history is for who comes later."""


async def never(room_id: str) -> bool:
    """History is for nobody."""
    return False


async def share(member: Member, room_id: str, user_id: str) -> int:
    """Give the room's keys to the devices of somebody who is about to be invited; how many keys that were.

    None where the room does not allow it, nothing was said, or no device is to be trusted. Raises as
    Client.call does; sharing again is harmless.
    """
    if not await member.shares_history(room_id):
        log.warning("history.not_allowed", room=room_id)
        return 0
    content = bundle(member, room_id)
    # Nobody tells us of changes in the devices of people whom we share no room with.
    member.trust.mark_stale([user_id])
    devices, _ = await member.trust.recipients([user_id])
    if not content["room_keys"] or not devices:
        return 0
    ciphertext, keys = encrypt_attachment(json.dumps(content).encode())
    file = {**keys, "url": await member.client.upload(ciphertext)}
    message = {"room_id": room_id, "file": file}
    async for _ in member.outbound.send_olm(BUNDLE, message, devices):
        pass
    log.info("history.shared", room=room_id, count=len(content["room_keys"]))
    return len(content["room_keys"])


def bundle(member: Member, room_id: str) -> JsonObject:
    """The keys that may be passed on, and the names of those that may not."""
    olm = member.client.machine
    allowed = olm.passed_on(room_id)
    room_keys, withheld = [], []
    for sender_key, sessions in olm.inbound_group_store[room_id].items():
        for session_id, session in sessions.items():
            named = {
                "algorithm": MEGOLM,
                "room_id": room_id,
                "sender_key": sender_key,
                "session_id": session_id,
            }
            if (sender_key, session_id) in allowed:
                key = session.export_session(session.first_known_index)
                claimed = {"ed25519": session.ed25519}
                room_keys.append({**named, "session_key": key, "sender_claimed_keys": claimed})
            else:
                withheld.append({**named, "code": "m.history_not_shared"})
    return {"room_keys": room_keys, "withheld": withheld}


def decline(messages: Iterable[ToDevice]) -> None:
    """Pass by the keys that others offer, and note it."""
    for message in messages:
        if message.type in BUNDLES:
            log.info("history.declined", sender=message.sender)
