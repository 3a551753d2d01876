"""The clients that judge the hub are judged first: what two of them see of each other on a real Synapse."""

from __future__ import annotations

import asyncio

import pytest

from tests.interop.conftest import JsPeople
from tests.interop.js import JsClient, JsError, NotSeen, UserStatus

pytestmark = [pytest.mark.interop, pytest.mark.integration]


async def meet(host: JsClient, guest: JsClient) -> str:
    room_id = await host.create_room("Parcours TEST-01", invite=[guest.user_id])
    await guest.wait_for_invite(room_id)
    await guest.join(room_id)
    await host.wait_for_member(room_id, guest.user_id)
    return room_id


async def test_two_signed_devices_read_each_other_without_a_warning(people: JsPeople) -> None:
    alice, bob = await asyncio.gather(people.new("alice"), people.new("bob"))
    room_id = await meet(alice, bob)

    asked = await alice.send_text(room_id, "Bonjour Bob", mentions=[bob.user_id])
    heard = await bob.wait_for_message(room_id, sender=alice.user_id, contains="Bonjour")
    await bob.send_text(room_id, "Bonjour Alice", formatted="<b>Bonjour</b> Alice", reply_to=asked)
    answer = await alice.wait_for_message(room_id, sender=bob.user_id, reply_to=asked)

    assert heard.event_id == asked
    assert heard.content["m.mentions"] == {"user_ids": [bob.user_id]}
    assert answer.formatted_body == "<b>Bonjour</b> Alice"
    for message in (heard, answer):
        assert message.encrypted
        assert (message.shield, message.shield_reason) == ("none", None)
    status = await alice.wait_for_device(bob.user_id, bob.device_id, signed_by_owner=True)
    assert not status.cross_signing_verified  # alice never verified bob: signed by its owner is enough


async def test_an_edit_changes_the_words_of_its_message(people: JsPeople) -> None:
    alice, bob = await asyncio.gather(people.new("alice"), people.new("bob"))
    room_id = await meet(alice, bob)

    sent = await alice.send_text(room_id, "à 9 h")
    await alice.edit(room_id, sent, "à 10 h")
    seen = await bob.wait_for_message(room_id, contains="à 10 h")

    assert (seen.event_id, seen.body, seen.edited) == (sent, "à 10 h", True)
    assert [
        m.event_id for m in await bob.timeline(room_id) if m.type == "m.room.message" and not m.replaces
    ] == [sent]


async def test_strict_mode_shuts_an_unsigned_device_out_both_ways(people: JsPeople) -> None:
    strict, unsigned = await asyncio.gather(
        people.new("strict"), people.new("unsigned", cross_signed=False, isolation="all")
    )
    room_id = await meet(strict, unsigned)

    spoken = await unsigned.send_text(room_id, "me lisez-vous ?")
    unread = await strict.wait_for_failure(room_id, event_id=spoken, code="UNSIGNED_SENDER_DEVICE")
    kept = await strict.send_text(room_id, "secret")
    withheld = await unsigned.wait_for_withheld(room_id=room_id, sender=strict.user_id)
    unreadable = await unsigned.wait_for_failure(
        room_id, event_id=kept, code="MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE"
    )

    assert (unread.body, unread.content) == ("", {})
    assert withheld.code == "m.unverified"
    assert withheld.session_id == unreadable.session_id


async def test_lenient_mode_reads_an_unsigned_device_with_a_warning(people: JsPeople) -> None:
    lenient, unsigned = await asyncio.gather(
        people.new("lenient", isolation="all"), people.new("unsigned", cross_signed=False, isolation="all")
    )
    room_id = await meet(lenient, unsigned)

    spoken = await unsigned.send_text(room_id, "me lisez-vous ?")
    read = await lenient.wait_for_message(room_id, event_id=spoken)
    kept = await lenient.send_text(room_id, "oui")

    assert (read.shield, read.shield_reason) == ("red", "UNSIGNED_DEVICE")
    assert (await unsigned.wait_for_message(room_id, event_id=kept)).shield == "none"


async def test_once_signed_a_device_reads_and_is_read_from_then_on(people: JsPeople) -> None:
    strict, late = await asyncio.gather(people.new("strict"), people.new("late", cross_signed=False))
    room_id = await meet(strict, late)
    kept = await strict.send_text(room_id, "secret")
    unreadable = await late.wait_for_failure(room_id, event_id=kept)

    await late.bootstrap_cross_signing(people.password(late.user_id))
    await strict.wait_for_device(late.user_id, late.device_id, signed_by_owner=True)
    spoken = await late.send_text(room_id, "et maintenant ?")
    told = await strict.send_text(room_id, "bienvenue")
    read = await strict.wait_for_message(room_id, event_id=spoken)
    heard = await late.wait_for_message(room_id, event_id=told)

    assert (read.shield, heard.shield) == ("none", "none")
    assert heard.session_id == unreadable.session_id  # the same key, from the present index on
    assert {m.event_id: m.failure_code for m in await late.timeline(room_id)}[kept] is not None


async def test_an_unsigned_device_of_a_signed_user_is_shut_out_alone(people: JsPeople) -> None:
    strict, bob = await asyncio.gather(people.new("strict"), people.new("bob"))
    room_id = await meet(strict, bob)
    unsigned = await people.device(bob.user_id, isolation="all")
    with pytest.raises(JsError, match="recover it, or reset it"):
        await unsigned.bootstrap_cross_signing(people.password(bob.user_id))

    spoken = await unsigned.send_text(room_id, "depuis un appareil inconnu")
    kept = await strict.send_text(room_id, "secret")

    await strict.wait_for_failure(room_id, event_id=spoken, code="UNSIGNED_SENDER_DEVICE")
    await unsigned.wait_for_failure(room_id, event_id=kept, code="MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE")
    assert (await bob.wait_for_message(room_id, event_id=kept)).shield == "none"


async def test_clear_text_in_an_encrypted_room_carries_a_warning(people: JsPeople) -> None:
    alice = await people.new("alice")
    room_id = await alice.create_room("Parcours TEST-03")

    sent = await alice.send_clear(room_id, "m.room.message", {"msgtype": "m.text", "body": "à découvert"})
    seen = await alice.wait_for_message(room_id, event_id=sent)

    assert (seen.encrypted, seen.shield, seen.shield_reason) == (False, "red", "SENT_IN_CLEAR")


async def test_a_new_identity_is_noticed(people: JsPeople) -> None:
    alice, bob = await asyncio.gather(people.new("alice"), people.new("bob"))
    room_id = await meet(alice, bob)
    await bob.send_text(room_id, "avant")
    await alice.wait_for_message(room_id, contains="avant")

    first = await bob.bootstrap_cross_signing(people.password(bob.user_id))
    second = await bob.reset_cross_signing(people.password(bob.user_id))
    status = await alice.wait_for_user(bob.user_id, needs_approval=True)
    await bob.send_text(room_id, "après")
    after = await alice.wait_for_message(room_id, contains="après")

    assert first != second
    assert status == UserStatus(known=True, verified=False, was_verified=False, needs_approval=True)
    assert after.shield == "none"


async def test_a_second_device_recovers_the_identity(people: JsPeople) -> None:
    alice, bob = await asyncio.gather(people.new("alice"), people.new("bob"))
    room_id = await meet(alice, bob)
    recovery_key = await bob.create_recovery_key()
    second = await people.device(bob.user_id)
    await second.recover(recovery_key)
    await alice.wait_for_device(bob.user_id, second.device_id, signed_by_owner=True)

    sent = await alice.send_text(room_id, "à tous vos appareils")

    for device in (bob, second):
        assert (await device.wait_for_message(room_id, event_id=sent)).shield == "none"


async def test_a_wait_in_vain_tells_what_was_there_but_not_the_words(people: JsPeople) -> None:
    alice = await people.new("alice")
    room_id = await alice.create_room("Parcours TEST-02")
    sent = await alice.send_text(room_id, "confidentiel")

    await alice.wait_for_message(room_id, event_id=sent)
    with pytest.raises(NotSeen) as told:
        await alice.wait_for_message(room_id, contains="jamais dit", timeout=0)

    assert sent in str(told.value)
    assert "confidentiel" not in str(told.value)


async def test_who_left_is_gone_and_who_was_removed_too(people: JsPeople) -> None:
    alice, bob, carol = await asyncio.gather(people.new("alice"), people.new("bob"), people.new("carol"))
    room_id = await meet(alice, bob)
    await alice.invite(room_id, carol.user_id)
    await carol.wait_for_invite(room_id)
    await carol.join(room_id)
    await alice.wait_for_member(room_id, carol.user_id)

    await bob.leave(room_id)
    await alice.wait_for_member(room_id, bob.user_id, "leave")
    await alice.kick(room_id, carol.user_id)

    assert await alice.memberships(room_id) == {
        alice.user_id: "join",
        bob.user_id: "leave",
        carol.user_id: "leave",
    }


async def test_a_redacted_message_has_no_words_left(people: JsPeople) -> None:
    alice = await people.new("alice")
    room_id = await alice.create_room("Parcours TEST-04")
    sent = await alice.send_text(room_id, "à oublier")
    await alice.redact(room_id, sent)
    await alice.wait_for_message(room_id, event_type="m.room.redaction")

    forgotten = next(m for m in await alice.timeline(room_id) if m.event_id == sent)
    assert (forgotten.redacted, forgotten.body) == (True, "")
