"""What people who use Element see of the hub: matrix-js-sdk with Rust crypto, strict unless said otherwise.

Strict (MSC4153) is what Element announces for everybody: messages of devices that no owner vouches for are
not shown, and such devices get no keys. Whatever the hub says has to pass.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.locale import Language
from hub.locale.render import render
from hub.matrix import signing
from hub.matrix.batch import Received, Undecryptable
from hub.matrix.client import path
from hub.matrix.inbound import open_event
from tests.interop.conftest import JsPeople
from tests.interop.js import Isolation, JsClient, Message
from tests.interop.plain_bot import PlainBot
from tests.support.hub import TestHub, in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.interop, pytest.mark.integration]

WITHHELD = "MEGOLM_KEY_WITHHELD_FOR_UNVERIFIED_DEVICE"


def sentence(key: str, language: Language = Language.FR, **facts: object) -> str:
    return render(language, key, facts).body


async def enrolled(
    hub: TestHub,
    people: JsPeople,
    prefix: str,
    *,
    cross_signed: bool = True,
    isolation: Isolation = "only_signed",
) -> JsClient:
    """A professional whom the hub knows, on a js device."""
    person = await people.new(prefix, cross_signed=cross_signed, isolation=isolation)
    async with hub.running.db.transaction() as tx:
        await directory.enrol(tx, person.user_id, Role.PROFESSIONAL, prefix.capitalize(), now())
    return person


async def meet(hub: TestHub, host: JsClient, *guests: JsClient) -> str:
    """A room of the host with guests and the hub, everybody in it; the host has heard the welcome."""
    room_id = await host.create_room(
        "Parcours", invite=[hub.user_id, *(guest.user_id for guest in guests)], direct=not guests
    )
    for guest in guests:
        await guest.wait_for_invite(room_id)
        await guest.join(room_id)
        await host.wait_for_member(room_id, guest.user_id)
    await host.wait_for_message(room_id, sender=hub.user_id, contains="Parcours")
    return room_id


async def ask(hub: TestHub, person: JsClient, room_id: str, text: str) -> Message:
    """The hub's reply to a command, as the one who asked sees it."""
    asked = await person.send_text(room_id, text)
    return await person.wait_for_message(room_id, sender=hub.user_id, reply_to=asked)


async def test_a_strict_client_is_welcomed_and_answered_without_a_warning(
    hub: TestHub, people: JsPeople
) -> None:
    nadia = await enrolled(hub, people, "nadia")
    room_id = await meet(hub, nadia)

    asked = await nadia.send_text(room_id, "/aide")
    answer = await nadia.wait_for_message(room_id, sender=hub.user_id, reply_to=asked)

    assert "/langue" in answer.body
    assert answer.formatted_body is not None
    assert "<li>" in answer.formatted_body
    assert answer.content["format"] == "org.matrix.custom.html"
    assert answer.content["m.mentions"] == {"user_ids": [nadia.user_id]}
    of_hub = [m for m in await nadia.timeline(room_id) if m.sender == hub.user_id and m.state_key is None]
    assert [m.reply_to for m in of_hub] == [None, asked]  # the welcome, and one answer
    for message in of_hub:
        assert message.encrypted
        assert message.decryption_failure is None
        assert (message.shield, message.shield_reason) == ("none", None)
    device = await nadia.device_status(hub.user_id, hub.running.member.account.device_id)
    assert device.known
    assert device.signed_by_owner


async def test_a_plain_bot_is_met_with_warnings_or_not_at_all(
    homeserver: TestHomeserver, people: JsPeople, tmp_path: Path
) -> None:
    """What the hub would look like without its identity."""
    user_id, password = await homeserver.new_user("bot")
    lenient, strict = await asyncio.gather(people.new("lenient", isolation="all"), people.new("strict"))
    async with PlainBot.start(homeserver.url, user_id, password, tmp_path) as bot:
        open_room = await lenient.create_room("Parcours", invite=[bot.user_id])
        strict_room = await strict.create_room("Parcours", invite=[bot.user_id])
        await lenient.wait_for_member(open_room, bot.user_id)
        await strict.wait_for_member(strict_room, bot.user_id)

        await bot.until_read(await lenient.send_text(open_room, "/aide"))
        answer = await lenient.wait_for_message(open_room, sender=bot.user_id, contains="/aide")
        assert (answer.shield, answer.shield_reason) == ("red", "UNSIGNED_DEVICE")

        asked = await strict.send_text(strict_room, "/aide")
        await bot.until_unread(asked)
        await strict.wait_for_failure(strict_room, sender=bot.user_id, code="UNSIGNED_SENDER_DEVICE")
        assert asked not in bot.read


async def test_a_device_that_nobody_vouched_for_gets_no_key_and_commands_nothing(
    hub: TestHub, people: JsPeople
) -> None:
    alice, bob = await asyncio.gather(
        enrolled(hub, people, "alice"),
        enrolled(hub, people, "bob", cross_signed=False, isolation="all"),
    )
    room_id = await meet(hub, alice, bob)

    asked = await bob.send_text(room_id, "/langue en")
    refusal = await alice.wait_for_message(room_id, sender=hub.user_id, reply_to=asked)
    withheld = await bob.wait_for_withheld(sender=hub.user_id, room_id=room_id)
    unreadable = await bob.wait_for_failure(room_id, event_id=refusal.event_id)

    assert refusal.body == sentence("device.untrusted")
    assert refusal.shield == "none"
    assert withheld.code == "m.unverified"
    assert unreadable.failure_code == WITHHELD

    await bob.bootstrap_cross_signing(people.password(bob.user_id))
    await bob.set_isolation("only_signed")
    answer = await ask(hub, bob, room_id, "/aide")

    assert "/langue" in answer.body  # in French: what was refused had no effect
    assert answer.shield == "none"


async def test_a_new_identity_is_announced_refused_and_counts_once_accepted(
    hub: TestHub, people: JsPeople
) -> None:
    alice, bob = await asyncio.gather(enrolled(hub, people, "alice"), enrolled(hub, people, "bob"))
    room_id = await meet(hub, alice, bob)
    assert "/langue" in (await ask(hub, bob, room_id, "/aide")).body

    await bob.reset_cross_signing(people.password(bob.user_id))
    announced = sentence("identity.changed", person=bob.user_id)
    seen = await alice.wait_for_message(room_id, sender=hub.user_id, where=lambda m: m.body == announced)
    assert (await bob.wait_for_message(room_id, event_id=seen.event_id)).body == announced

    refusal = await ask(hub, bob, room_id, "/langue en")
    assert refusal.body == sentence("identity.refused")

    answer = await ask(hub, alice, room_id, "/aide")
    await bob.wait_for_failure(room_id, event_id=answer.event_id, code=WITHHELD)

    async with hub.running.db.transaction() as tx:
        waiting = await tx.identities.find(bob.user_id)
        assert waiting is not None
        assert await tx.identities.accept(bob.user_id, waiting.changed_to or "", alice.user_id, now())
    accepted = await ask(hub, bob, room_id, "/aide")
    assert "/langue" in accepted.body  # in French: what was refused had no effect
    assert {seen.shield, refusal.shield, answer.shield, accepted.shield} == {"none"}


async def test_all_signed_devices_of_a_person_read_the_answers(hub: TestHub, people: JsPeople) -> None:
    first = await enrolled(hub, people, "nadia")
    recovery_key = await first.create_recovery_key()
    second = await people.device(first.user_id)
    await second.recover(recovery_key)
    room_id = await meet(hub, first)

    answer = await ask(hub, first, room_id, "/aide")
    assert (await second.wait_for_message(room_id, event_id=answer.event_id)).shield == "none"

    third = await people.device(first.user_id)
    await third.recover(recovery_key)
    later = await ask(hub, third, room_id, "/aide")
    for device in (first, second, third):
        assert (await device.wait_for_message(room_id, event_id=later.event_id)).shield == "none"
    assert later.session_id == answer.session_id  # nobody left: the key is shared on, from here


async def test_an_edited_command_has_no_effect_and_says_so(hub: TestHub, people: JsPeople) -> None:
    edith = await enrolled(hub, people, "edith")
    room_id = await meet(hub, edith)
    asked = await edith.send_text(room_id, "/aide")
    await edith.wait_for_message(room_id, sender=hub.user_id, reply_to=asked)

    edit = await edith.edit(room_id, asked, "/langue en")
    answer = await edith.wait_for_message(room_id, sender=hub.user_id, reply_to=edit)

    assert answer.body == sentence("edit.ignored")  # in French


async def test_a_pill_calls_the_hub_among_others_and_a_language_is_chosen(
    hub: TestHub, people: JsPeople
) -> None:
    alice, bob = await asyncio.gather(enrolled(hub, people, "alice"), enrolled(hub, people, "bob"))
    room_id = await meet(hub, alice, bob)

    passed_by = await alice.send_text(room_id, "aide")
    called = await alice.send_text(
        room_id,
        "Parcours aide",
        formatted=f'<a href="https://matrix.to/#/{hub.user_id}">Parcours</a> aide',
        mentions=[hub.user_id],
    )
    answer = await bob.wait_for_message(room_id, sender=hub.user_id, reply_to=called)
    assert "/langue" in answer.body

    assert "English" in (await ask(hub, alice, room_id, "/langue en")).body
    assert "/language" in (await ask(hub, alice, room_id, "/help")).body
    assert "/langue" in (await ask(hub, bob, room_id, "/aide")).body
    assert passed_by not in {m.reply_to for m in await alice.timeline(room_id)}


async def test_the_recovery_key_gives_the_hub_its_identity_back(
    homeserver: TestHomeserver, people: JsPeople, tmp_path: Path
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        hub = TestHub(running, homeserver, tmp_path)
        account = running.member.account
        nadia = await enrolled(hub, people, "nadia")
        room_id = await meet(hub, nadia)
        async with JsClient.start(homeserver.url, account.user_id, account.password) as rescuer:
            master_key = await rescuer.recover(account.recovery_key)
            answer = await ask(hub, nadia, room_id, "/aide")
            read = await rescuer.wait_for_message(room_id, event_id=answer.event_id)
            status = await nadia.wait_for_device(hub.user_id, rescuer.device_id, signed_by_owner=True)

    assert account.seeds is not None
    assert master_key == signing.public_key(account.seeds.master)
    assert status.known
    assert read.shield == "none"


async def test_who_left_gets_no_key_for_what_is_said_afterwards(hub: TestHub, people: JsPeople) -> None:
    """The one who leaves is on the hub's own client, which can look again at a single event."""
    alice, bob = await asyncio.gather(enrolled(hub, people, "alice"), hub.person("bob"))

    async def enter(room_id: str) -> None:
        await bob.until(lambda: bob.invitations.pop(room_id, None))
        await bob.member.join(room_id)
        await alice.wait_for_member(room_id, bob.user_id)

    async def for_bob(message: Message) -> Received | Undecryptable | None:
        """As he would read it, if the homeserver, which does not, showed him what was said without him."""
        url = path("rooms", message.room_id, "event", message.event_id)
        return open_event(bob.member, message.room_id, await hub.running.member.client.call("GET", url))

    room_id = await alice.create_room("Parcours", invite=[hub.user_id, bob.user_id], direct=False)
    await enter(room_id)
    await alice.wait_for_message(room_id, sender=hub.user_id)
    before = await ask(hub, alice, room_id, "/aide")
    await bob.hear(room_id, lambda message: message.event_id == before.event_id)

    await bob.member.client.call("POST", path("rooms", room_id, "leave"), {})
    await alice.wait_for_member(room_id, bob.user_id, "leave")
    without = await ask(hub, alice, room_id, "/aide")
    assert without.session_id != before.session_id

    await alice.invite(room_id, bob.user_id)
    await enter(room_id)
    again = await ask(hub, alice, room_id, "/aide")
    await bob.hear(room_id, lambda message: message.event_id == again.event_id)
    assert isinstance(await for_bob(before), Received)
    assert isinstance(await for_bob(without), Undecryptable)


async def test_a_client_that_keeps_its_keys_for_verified_people_is_told_what_to_do(
    hub: TestHub, people: JsPeople
) -> None:
    nadia = await enrolled(hub, people, "nadia", isolation="all")
    room_id = await meet(hub, nadia)
    await nadia.only_verified(True)
    asked = await nadia.send_text(room_id, "/aide")
    told = await nadia.wait_for_message(room_id, sender=hub.user_id, reply_to=asked)
    assert "votre application ne donne ses clés qu’aux sessions que vous avez vérifiées" in told.body
