"""The drill: the hub's disk is gone, its recovery key is not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from nio.crypto import OutboundGroupSession
from unpaddedbase64 import encode_base64

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.errors import OperatorError
from hub.matrix import signing
from hub.matrix.backup import current
from hub.matrix.batch import Received
from hub.matrix.client import MatrixError, path
from hub.matrix.inbound import open_event
from hub.matrix.secret_storage import RecoveryKey
from hub.matrix.trust import Verdict
from tests.interop.conftest import JsPeople
from tests.support.command_line import command, on
from tests.support.hub import in_own_task, settings
from tests.support.synapse import TestHomeserver

pytestmark = [pytest.mark.interop, pytest.mark.integration]


async def restore(env: dict[str, str], data: Path, key: Path) -> tuple[int, str]:
    """As an operator runs it."""
    options = ("--data", str(data), "--recovery-key", str(key))
    return await command("identity", "restore", *options, env=env)


async def test_the_hub_comes_back_on_an_empty_disk_with_its_recovery_key_alone(
    homeserver: TestHomeserver, people: JsPeople, tmp_path: Path
) -> None:
    name, data, key = next(homeserver.hub_names), tmp_path / "var", tmp_path / "key"
    env = on(homeserver, tmp_path, name)
    nadia = await people.new("nadia")

    chosen = settings(homeserver, data, name)
    async with in_own_task(wiring.running(chosen, lambda step: None)) as first:
        async with first.db.transaction() as tx:
            await directory.enrol(tx, nadia.user_id, Role.PROFESSIONAL, "Nadia", now())
        await first.roles.publish()
        room = await nadia.create_room("Parcours", invite=[first.member.user_id])
        await nadia.wait_for_message(room, sender=first.member.user_id, contains="Parcours")
        asked = await nadia.send_text(room, "/aide")
        await nadia.wait_for_message(room, sender=first.member.user_id, reply_to=asked)
        async with asyncio.timeout(30):
            while first.member.backup is None or first.member.backup.behind:
                await asyncio.sleep(0.1)
        lost = first.member.account
        key.write_text(lost.recovery_key)
    shutil.rmtree(data)

    # What people try first does no harm: starting it, and a password that is none.
    with pytest.raises(OperatorError) as refused:
        async with in_own_task(wiring.running(settings(homeserver, data, name), lambda step: None)):
            pass
    assert refused.value.code == "account.login_refused"
    status, said = await restore({**env, "PARCOURS_HUB_PASSWORD": "mal tapé"}, data, key)
    assert status == 1
    assert "identity restore" in said

    wrong = tmp_path / "wrong"
    wrong.write_text(RecoveryKey.new().text)
    status, said = await restore(env, data, wrong)
    assert status == 1
    assert "n’est pas celle de" in said
    mistyped = tmp_path / "mistyped"
    mistyped.write_text(lost.recovery_key[:-1])
    assert (await restore(env, data, mistyped))[0] == 2

    status, said = await restore(env, data, key)
    assert status == 0, said
    assert "est de retour" in said
    assert "liste du serveur Matrix : 1." in " ".join(said.split())
    again, said = await restore(env, data, key)
    assert again == 1
    assert "rien à reprendre" in said

    async with in_own_task(wiring.running(settings(homeserver, data, name), lambda step: None)) as second:
        member = second.member
        async with second.db.transaction() as tx:
            assert (await directory.find(tx, nadia.user_id)).role is Role.PROFESSIONAL
        assert member.account.seeds == lost.seeds
        assert member.account.device_id != lost.device_id

        later = await nadia.send_text(room, "/aide")
        answer = await nadia.wait_for_message(room, sender=member.user_id, reply_to=later)
        assert (answer.decryption_failure, answer.shield) == (None, "none")
        await nadia.wait_for_device(member.user_id, member.account.device_id, signed_by_owner=True)
        await nadia.wait_for_device(member.user_id, lost.device_id, known=False)

        raw = await member.client.call("GET", path("rooms", room, "event", asked))
        old = open_event(member, room, raw)
        assert isinstance(old, Received)
        assert old.content["body"] == "/aide"
        assert member.trust.judge(nadia.user_id, old.sessions) is Verdict.RESTORED_KEY


async def test_a_client_that_knows_the_recovery_key_finds_the_backup_in_order(
    homeserver: TestHomeserver, people: JsPeople, tmp_path: Path
) -> None:
    """Secret storage and backup are as any Matrix client expects them: somebody may sign in as the hub."""
    name = next(homeserver.hub_names)
    nadia = await people.new("nadia")
    chosen = settings(homeserver, tmp_path / "var", name)
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        member = running.member
        room = await nadia.create_room("Parcours", invite=[member.user_id])
        await nadia.wait_for_message(room, sender=member.user_id, contains="Parcours")
        asked = await nadia.send_text(room, "/aide")
        answer = await nadia.wait_for_message(room, sender=member.user_id, reply_to=asked)
        await member.back_up()
        people.know(member.user_id, member.account.password)
        element = await people.device(member.user_id)
        assert member.account.seeds is not None
        recovered = await element.recover(member.account.recovery_key)
        assert recovered == signing.public_key(member.account.seeds.master)
        assert await element.restore_backup() >= 2  # the nurse's key, and the hub's own
        read = {m.event_id: m.body for m in await element.timeline(room)}
        assert read[asked] == "/aide"
        assert read[answer.event_id] == answer.body


async def test_a_backup_that_the_server_put_there_is_given_no_keys(
    homeserver: TestHomeserver, tmp_path: Path
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        await running.member.back_up()
        client = running.member.client
        forged = {
            "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
            "auth_data": {"public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo", "signatures": {}},
        }
        theirs = await client.call("POST", path("room_keys", "version"), forged)
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        await running.member.back_up()
        published = await current(running.member.client)
        assert published is not None
        assert published["version"] != theirs["version"]
        assert running.member.backup is not None
        assert published["auth_data"]["public_key"] == running.member.backup.key


async def test_a_backup_that_was_taken_away_is_made_anew_while_the_hub_runs(
    homeserver: TestHomeserver, tmp_path: Path
) -> None:
    chosen = settings(homeserver, tmp_path / "var", next(homeserver.hub_names))
    async with in_own_task(wiring.running(chosen, lambda step: None)) as running:
        member, key = running.member, encode_base64(bytes(32))
        await member.back_up()
        before = await current(member.client)
        assert before is not None
        await member.client.call("DELETE", path("room_keys", "version", before["version"]), {})
        session = OutboundGroupSession()
        member.client.machine.create_group_session(key, key, "!r:x", session.id, session.session_key)
        with pytest.raises(MatrixError):
            await member.back_up()
        await member.back_up()
        after = await current(member.client)
        assert after is not None
        assert after["version"] != before["version"]
        assert after["count"] == 1
