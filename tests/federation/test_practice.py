"""What a professional of another establishment sees of the hub, while the link stands and after a cut."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from hub.matrix.trust import Verdict
from tests.federation.conftest import Staff
from tests.interop.js import JsClient, Message
from tests.support.federation import Federation

pytestmark = [pytest.mark.integration, pytest.mark.interop]


async def heard(person: JsClient, room_id: str) -> list[Message]:
    """What was said in a room, without its state."""
    return [message for message in await person.timeline(room_id) if message.state_key is None]


async def test_a_professional_of_the_practice_is_answered_without_a_warning(
    federation: Federation, staff: Staff
) -> None:
    anne = await staff.doctor()
    room_id = await anne.create_room("Parcours", invite=[federation.hub_id])
    await anne.wait_for_message(room_id, sender=federation.hub_id, contains="Parcours")

    asked = await anne.send_text(room_id, "/aide")
    answer = await anne.wait_for_message(room_id, sender=federation.hub_id, reply_to=asked)

    assert "/langue" in answer.body
    of_hub = [message for message in await heard(anne, room_id) if message.sender == federation.hub_id]
    assert [message.reply_to for message in of_hub] == [None, asked]  # the welcome, and one answer
    for message in of_hub:
        assert message.encrypted
        assert message.decryption_failure is None
        assert (message.shield, message.shield_reason) == ("none", None)
    device = await anne.device_status(federation.hub_id, federation.hub.member.account.device_id)
    assert device.known
    assert device.signed_by_owner


async def test_a_cut_loses_nothing_and_repeats_nothing(federation: Federation, staff: Staff) -> None:
    nadia, anne = await asyncio.gather(staff.nurse(), staff.doctor())
    recovery_key = await anne.create_recovery_key()
    room_id = await nadia.create_room("Parcours", invite=[federation.hub_id, anne.user_id], direct=False)
    await anne.wait_for_invite(room_id)
    await anne.join(room_id)
    await nadia.wait_for_member(room_id, anne.user_id)
    for person in (nadia, anne):  # everybody has everybody's keys
        asked = await person.send_text(room_id, "Parcours: aide")
        for reader in (nadia, anne):
            await reader.wait_for_message(room_id, reply_to=asked)
    # What came with the first sight of a device may stay shut on matrix-js-sdk: see the last test.
    before = {message.event_id for message in await heard(anne, room_id)}

    async with federation.cut():
        near = await nadia.send_text(room_id, "Parcours: aide")
        await nadia.wait_for_message(room_id, reply_to=near)  # the hospital does without the practice
        said_there = await nadia.send_text(room_id, "Pansement refait.")
        far = [await anne.send_text(room_id, f"Parcours: {word}") for word in ("bonjour", "aide")]
        said_here = await anne.send_text(room_id, "Ordonnance renouvelée.")
        tablet = await staff.practice.device(anne.user_id)  # added while nobody at the hospital can know
        await tablet.recover(recovery_key)
        assert not {message.event_id for message in await nadia.timeline(room_id)} & {*far, said_here}
        assert not {message.event_id for message in await anne.timeline(room_id)} & {near, said_there}

    for asked in far:
        await nadia.wait_for_message(room_id, sender=federation.hub_id, reply_to=asked)
    await anne.wait_for_message(room_id, event_id=said_there)
    await nadia.wait_for_message(room_id, event_id=said_here)
    for asked in (near, *far):
        await anne.wait_for_message(room_id, sender=federation.hub_id, reply_to=asked)

    # The device of the cut is a device like any other: asks, is answered, reads what others say.
    await nadia.wait_for_device(anne.user_id, tablet.device_id, signed_by_owner=True)
    last = await tablet.send_text(room_id, "Parcours: aide")
    answer = await tablet.wait_for_message(room_id, sender=federation.hub_id, reply_to=last)
    assert answer.shield == "none"
    later = await nadia.send_text(room_id, "À demain.")
    await tablet.wait_for_message(room_id, event_id=later)
    await anne.wait_for_message(room_id, event_id=later)

    for reader in (nadia, anne):
        messages = await heard(reader, room_id)
        assert [m.event_id for m in messages if m.decryption_failure and m.event_id not in before] == []
        assert max(Counter(m.event_id for m in messages).values()) == 1
        answers = Counter(m.reply_to for m in messages if m.sender == federation.hub_id)
        assert {asked: answers[asked] for asked in (near, *far, last)} == dict.fromkeys((near, *far, last), 1)
        said = Counter(m.body for m in messages if m.sender != federation.hub_id)
        for words in ("Pansement refait.", "Ordonnance renouvelée.", "À demain."):
            assert said[words] == 1
    assert {m.event_id for m in await heard(nadia, room_id)} == {
        m.event_id for m in await heard(anne, room_id)
    }


async def test_a_key_that_met_the_cut_is_given_with_the_next_message(
    federation: Federation, staff: Staff, tmp_path: Path
) -> None:
    """The hub joined while it could not reach her devices: what it says afterwards, she reads.

    On the hub's own client: matrix-js-sdk takes what comes with the very first sight of a device for unsigned
    while her Synapse still learns whose it is, and looks at it again only when it is started anew.
    """
    nadia, anne = await staff.nurse(), await staff.listener(tmp_path)
    room_id = await nadia.create_room("Parcours", invite=[anne.user_id], direct=False)
    await anne.until(lambda: anne.invitations.get(room_id))
    await anne.member.join(room_id)
    await anne.until(lambda: anne.member.rooms.joined(room_id))
    await nadia.wait_for_member(room_id, anne.user_id)
    async with federation.cut():
        await nadia.invite(room_id, federation.hub_id)
        await nadia.wait_for_message(room_id, sender=federation.hub_id)
        assert federation.hub_id not in anne.member.rooms[room_id].members
    await anne.until(lambda: anne.member.rooms[room_id].members.get(federation.hub_id))
    heard_again = await anne.say(
        room_id, "Me revoilà."
    )  # both ways: what comes in ends Synapse's own waiting
    await nadia.wait_for_message(room_id, event_id=heard_again)
    asked = await nadia.send_text(room_id, "Parcours: aide")
    answer = await anne.answer_to(room_id, asked)
    assert answer.sender == federation.hub_id
    assert answer.verdict is Verdict.TRUSTED
