"""A professional verifies the hub by emoji, with matrix-js-sdk; the operator answers with ``parcours``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role, UserId, stream
from hub.delivery.relay import now
from hub.locale import Language, translate
from hub.matrix.client import path
from tests.interop.conftest import JsPeople
from tests.interop.js import JsClient, VerificationStatus
from tests.interop.test_hub_and_js import ask, enrolled, meet
from tests.support.command_line import Terminal, at_terminal
from tests.support.hub import TestHub, in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.interop, pytest.mark.integration]


def sentence(key: str, **facts: object) -> str:
    return translate(Language.EN, key, **facts)


def operator(hub: TestHub) -> AbstractAsyncContextManager[Terminal]:
    """Who types ``parcours identity verify`` on the hub's machine, in English."""
    return at_terminal(hub.running.settings.data, "identity", "verify", env={"PARCOURS_LANGUAGE": "en"})


async def asks(hub: TestHub, person: JsClient, *, room_id: str | None) -> str:
    """The person asks in a room or, without one, the hub's device directly."""
    device_id = None if room_id else hub.running.member.account.device_id
    return await person.request_verification(hub.user_id, room_id=room_id, device_id=device_id)


@asynccontextmanager
async def comparing(
    hub: TestHub, person: JsClient, transaction: str
) -> AsyncIterator[tuple[Terminal, VerificationStatus]]:
    """Both have the code before them, and the operator is asked whether it is the same."""
    async with operator(hub) as terminal:
        await terminal.shows(person.user_id, sentence("verify.on_the_phone", person=person.user_id))
        terminal.type("yes")
        await person.wait_for_verification(transaction, "ready")
        await person.start_sas(transaction)
        theirs = await person.wait_for_code(transaction)
        shown = await terminal.shows(sentence("verify.same"))
        assert theirs.emoji is not None and theirs.decimals is not None
        first, second, third = map(str, theirs.decimals)
        assert sentence("verify.decimals", first=first, second=second, third=third) in shown
        names = next(line for line in shown.splitlines() if theirs.emoji[0] in line)
        assert names.split() == " ".join(theirs.emoji).split()
        yield terminal, theirs


async def signers(hub: TestHub, person: JsClient) -> set[str]:
    """Who vouches for a person's identity, as far as the hub may see it."""
    client = hub.running.member.client
    answer = await client.call("POST", path("keys", "query"), {"device_keys": {person.user_id: []}})
    return set(answer["master_keys"][person.user_id]["signatures"])


@pytest.mark.parametrize("in_room", [True, False], ids=["in_room", "to_device"])
async def test_a_professional_and_the_operator_compare_emoji_and_trust_each_other(
    hub: TestHub, people: JsPeople, in_room: bool
) -> None:
    nadia = await enrolled(hub, people, "nadia")
    room_id = await meet(hub, nadia)
    transaction = await asks(hub, nadia, room_id=room_id if in_room else None)

    async with comparing(hub, nadia, transaction) as (terminal, _):
        await nadia.confirm_sas(transaction)
        terminal.type("yes")
        await terminal.shows(sentence("verify.verified", person=nadia.user_id))
        assert await terminal.ended() == 0

    await nadia.wait_for_verification(transaction, "done")
    assert (await nadia.wait_for_user(hub.user_id, verified=True)).known
    device = await nadia.device_status(hub.user_id, hub.running.member.account.device_id)
    assert device.cross_signing_verified
    async with hub.running.db.transaction() as tx:
        facts = await tx.journal.read(stream(UserId(nadia.user_id)))
    assert facts[-1].name == "PersonVerified"
    assert nadia.device_id.encode() in facts[-1].payload
    assert hub.user_id in await signers(hub, nadia)
    assert "/langue" in (await ask(hub, nadia, room_id, "/aide")).body  # and was never taken for a command


async def test_a_code_that_differs_ends_it_for_both(hub: TestHub, people: JsPeople) -> None:
    nadia = await enrolled(hub, people, "nadia")
    room_id = await meet(hub, nadia)
    transaction = await asks(hub, nadia, room_id=room_id)
    async with comparing(hub, nadia, transaction) as (terminal, _):
        await nadia.confirm_sas(transaction)
        terminal.type("no")
        await terminal.shows(sentence("verify.cancelled.mismatch", person=nadia.user_id)[:60])
        assert await terminal.ended() == 1
    cancelled = await nadia.wait_for_verification(transaction, "cancelled")
    assert (cancelled.code, cancelled.cancelled_by) == ("m.mismatched_sas", hub.user_id)
    assert not (await nadia.user_status(hub.user_id)).verified

    transaction = await asks(hub, nadia, room_id=None)
    async with comparing(hub, nadia, transaction) as (terminal, _):
        await nadia.mismatch_sas(transaction)
        await nadia.wait_for_verification(transaction, "cancelled")
        terminal.type("yes")
        await terminal.shows(sentence("verify.cancelled.mismatch", person=nadia.user_id)[:60])
        assert await terminal.ended() == 1
    assert hub.user_id not in await signers(hub, nadia)


async def test_the_operator_does_not_know_the_voice(hub: TestHub, people: JsPeople) -> None:
    nadia = await enrolled(hub, people, "nadia")
    async with operator(hub) as terminal:
        await terminal.shows(sentence("verify.nobody_yet", hub=hub.user_id)[:60])
        transaction = await asks(hub, nadia, room_id=await meet(hub, nadia))
        await terminal.shows(sentence("verify.on_the_phone", person=nadia.user_id))
        terminal.type("no")
        await terminal.shows(sentence("verify.cancelled.user", person=nadia.user_id)[:60])
        assert await terminal.ended() == 1
    cancelled = await nadia.wait_for_verification(transaction, "cancelled")
    assert (cancelled.code, cancelled.cancelled_by) == ("m.user", hub.user_id)


async def test_who_gives_up_is_seen_at_the_terminal(hub: TestHub, people: JsPeople) -> None:
    nadia = await enrolled(hub, people, "nadia")
    transaction = await asks(hub, nadia, room_id=await meet(hub, nadia))
    async with operator(hub) as terminal:
        await terminal.shows(sentence("verify.on_the_phone", person=nadia.user_id))
        terminal.type("yes")
        await nadia.wait_for_verification(transaction, "ready")
        await nadia.cancel_verification(transaction)
        await terminal.shows(sentence("verify.cancelled.user", person=nadia.user_id)[:60])
        assert await terminal.ended() == 1


async def test_whom_nobody_can_call_is_declined(hub: TestHub, people: JsPeople) -> None:
    stranger, patient, unsigned = (
        await people.new("stranger"),
        await enrolled(hub, people, "patient"),
        await enrolled(hub, people, "unsigned", cross_signed=False, isolation="all"),
    )
    async with hub.running.db.transaction() as tx:
        await directory.enrol(tx, patient.user_id, Role.PATIENT, "Patient", now())
    for person, code in ((stranger, "m.user"), (patient, "m.user"), (unsigned, "m.key_mismatch")):
        room_id = await person.create_room(
            "Parcours", invite=[hub.user_id]
        )  # before, its device is not known
        await person.wait_for_member(room_id, hub.user_id)
        transaction = await asks(hub, person, room_id=None)
        cancelled = await person.wait_for_verification(transaction, "cancelled")
        assert (cancelled.code, cancelled.cancelled_by) == (code, hub.user_id)


async def test_a_restart_ends_what_was_open(
    homeserver: TestHomeserver, people: JsPeople, tmp_path: Path
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        hub = TestHub(running, homeserver, tmp_path)
        nadia = await enrolled(hub, people, "nadia")
        transaction = await asks(hub, nadia, room_id=await meet(hub, nadia))
        async with operator(hub) as terminal:
            await terminal.shows(sentence("verify.on_the_phone", person=nadia.user_id))
    async with in_own_task(wiring.running(chosen, lambda step: None)):
        cancelled = await nadia.wait_for_verification(transaction, "cancelled")
        assert (cancelled.code, cancelled.cancelled_by) == ("m.user", hub.user_id)
