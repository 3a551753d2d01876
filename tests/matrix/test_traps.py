"""Where matrix-nio loses a key, a message or a room: on a real homeserver, none is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import vodozemac
from nio.crypto import OutboundSession
from nio.events import UnknownToDeviceEvent

from hub.matrix import member as membership
from hub.matrix import outbound as sending
from hub.matrix.account import AccountFile
from hub.matrix.backfill import fill_gaps
from hub.matrix.batch import Batch, Received
from hub.matrix.client import Client, JsonObject, MatrixError, Unreachable, path
from hub.matrix.inbound import decrypt, trust
from hub.matrix.member import Member, new_account
from hub.matrix.sync import sync
from hub.matrix.trust import PinsInMemory, Policy, TrustedDevice
from hub.seal import MasterKey
from tests.support.synapse import TestHomeserver

pytestmark = pytest.mark.integration

POOL = 50  # one-time keys that vodozemac holds


class Device:
    """One account on one device that syncs only when it is told to."""

    def __init__(self, member: Member, file: AccountFile) -> None:
        self.member = member
        self.file = file
        self.since: str | None = None
        self.heard: list[str] = []

    async def listen(self) -> Batch:
        member = self.member
        synced = await fill_gaps(member, await sync(member, self.since, wait=False))
        batch = await trust(member, decrypt(member, synced))
        member.move_on(batch)
        self.since = batch.next_batch
        self.heard += [str(event.content.get("body")) for event in batch.events if event.sessions]
        return batch

    async def say(self, room_id: str, text: str) -> str:
        content = {"msgtype": "m.text", "body": text}
        return await self.member.outbound.send(room_id, "m.room.message", content, uuid4().hex)

    async def keys_on_server(self) -> int:
        answer = await self.member.client.call("POST", path("keys", "upload"), {})
        return int(answer["one_time_key_counts"].get("signed_curve25519", 0))

    async def claim_from(self, other: Device) -> tuple[str, JsonObject]:
        """One of the other's keys, as the server hands it out: its id and itself."""
        user_id, device_id = other.member.user_id, str(other.member.client.device_id)
        wanted = {user_id: {device_id: "signed_curve25519"}}
        answer = await self.member.client.call("POST", path("keys", "claim"), {"one_time_keys": wanted})
        ((name, key),) = answer["one_time_keys"][user_id][device_id].items()
        return name, key

    async def drain(self, other: Device) -> str:
        """Take all of the other's one-time keys; returns the id of the fallback key that comes last."""
        for _ in range(3 * POOL):
            name, key = await self.claim_from(other)
            if key.get("fallback"):
                return name
        raise AssertionError("no end of one-time keys, or no fallback key")


Open = Callable[[str], Awaitable[Device]]


@pytest_asyncio.fixture
async def device(homeserver: TestHomeserver, tmp_path: Path) -> AsyncIterator[Open]:
    """Makes accounts, each signed in on a device of its own."""
    async with AsyncExitStack() as stack:

        async def made(prefix: str) -> Device:
            user_id, password = await homeserver.new_user(prefix)
            file = AccountFile(tmp_path / prefix, MasterKey.generate())
            account = file.save(new_account(homeserver.url, user_id, password))
            member = await Member.open(file, account, PinsInMemory(), Policy())
            stack.push_async_callback(member.close)
            one = Device(member, file)
            await one.listen()
            return one

        yield made


async def room_of(one: Device, other: Device, **more: Any) -> str:
    """An encrypted room with both in it, known to both."""
    encryption = {"algorithm": "m.megolm.v1.aes-sha2", **more}
    room_id = await one.member.create_room(
        {
            "preset": "trusted_private_chat",
            "invite": [other.member.user_id],
            "initial_state": [{"type": "m.room.encryption", "state_key": "", "content": encryption}],
        }
    )
    await other.member.join(room_id)
    await one.listen()
    await other.listen()
    return room_id


def of(one: Device) -> TrustedDevice:
    """How others see this device."""
    keys = one.member.client.machine.account.identity_keys
    name = str(one.member.client.device_id)
    return TrustedDevice(one.member.user_id, name, keys["ed25519"], keys["curve25519"], True)


async def send_olm(one: Device, other: Device, kind: str, content: JsonObject) -> None:
    """An Olm message from one to the other, over a session that is open."""
    message = one.member.client.machine.encrypt_to(of(other), kind, content)
    target = {other.member.user_id: {str(other.member.client.device_id): message}}
    await one.member.client.call(
        "PUT", path("sendToDevice", "m.room.encrypted", uuid4().hex), {"messages": target}
    )


async def test_a_pool_of_keys_that_somebody_emptied_is_filled_and_the_fallback_key_renewed(
    device: Open,
) -> None:
    ours, thief = await device("plein"), await device("voleur")
    assert await ours.keys_on_server() == POOL
    fallback = await thief.drain(ours)
    assert await ours.keys_on_server() == 0
    await ours.listen()
    assert ours.member.one_time_keys == 0
    await ours.member.keep_up()
    assert await ours.keys_on_server() == POOL
    assert await thief.drain(ours) != fallback


async def test_keys_whose_upload_was_never_confirmed_are_the_ones_that_open(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload reached the server, its answer did not reach us, and then we were killed."""
    ours, friend = await device("tue"), await device("ami")
    await friend.drain(ours)
    call = ours.member.client.call

    async def cut_off(method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        await call(method, url, *rest, **more)
        raise Unreachable("cut off")

    monkeypatch.setattr(ours.member.client, "call", cut_off)
    with pytest.raises(Unreachable):
        await ours.member.client.upload_keys(one_time_keys_on_server=0)
    monkeypatch.undo()

    killed = ours.member.client
    reborn = Client(
        killed.homeserver, killed.user_id, str(killed.device_id), Path(killed.store_path),
        killed.config.pickle_key,
    )  # fmt: skip
    reborn.restore_login(killed.user_id, str(killed.device_id), killed.access_token)
    ours.member.client = reborn
    await reborn.upload_keys(one_time_keys_on_server=await ours.keys_on_server())

    room = await room_of(friend, ours)
    await friend.say(room, "avec une clé d’avant")
    await ours.listen()
    assert ours.heard == ["avec une clé d’avant"]
    await killed.close()


async def test_a_message_with_a_key_that_we_do_not_have_costs_nobody_anything(device: Open) -> None:
    ours, broken, friend = await device("hub"), await device("casse"), await device("ami")
    room = await room_of(friend, ours)
    await broken.member.trust.refresh([ours.member.user_id])
    await ours.member.trust.refresh([broken.member.user_id])
    foreign = vodozemac.Account()
    foreign.generate_one_time_keys(1)
    (not_ours,) = foreign.one_time_keys.values()
    machine = broken.member.client.machine
    session = OutboundSession(machine.account, of(ours).curve25519, not_ours.to_base64())
    machine.session_store.add(of(ours).curve25519, session)
    await send_olm(broken, ours, "m.dummy", {})
    await friend.say(room, "et moi ?")
    await ours.listen()
    assert ours.heard == ["et moi ?"]

    # What is broken is repaired from our side: a new session, and a message over it that opens.
    await ours.member.keep_up()
    await broken.listen()
    await send_olm(broken, ours, "m.secret.send", {"request_id": "1"})
    surfaced = surfacing(ours)
    await ours.listen()
    assert [event.type for event in surfaced] == ["m.secret.send"]


def surfacing(one: Device) -> list[Any]:
    """What the Olm machine hands on, from now on."""
    machine, surfaced = one.member.client.machine, []
    handle = machine._handle_olm_event

    def watched(*given: Any) -> Any:
        surfaced.append(handle(*given))
        return surfaced[-1]

    machine._handle_olm_event = watched  # type: ignore[method-assign, assignment]
    return surfaced


async def test_a_claim_that_fails_is_made_again_with_the_next_message(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(ours, friend)
    call, failures = ours.member.client.call, [Unreachable("gone")]

    async def fail_once(method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        if url == path("keys", "claim") and failures:
            raise failures.pop()
        return await call(method, url, *rest, **more)

    monkeypatch.setattr(ours.member.client, "call", fail_once)
    with pytest.raises(Unreachable):
        await ours.say(room, "perdu")
    await ours.say(room, "entendu")
    await friend.listen()
    assert friend.heard == ["entendu"]


async def test_a_device_that_had_no_key_to_claim_is_told_and_reached_with_a_later_message(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CLAIM_AGAIN_SECONDS", 0.0)
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(ours, friend)
    call, empty = ours.member.client.call, [True]

    async def claim_nothing(method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        if url == path("keys", "claim") and empty:
            return {"one_time_keys": {}}
        return await call(method, url, *rest, **more)

    monkeypatch.setattr(ours.member.client, "call", claim_nothing)
    await ours.say(room, "trop tôt")
    empty.clear()
    await ours.say(room, "à temps")
    batch = await friend.listen()
    assert friend.heard == ["à temps"]
    assert len(batch.undecryptable) == 1
    sessions = {raw.session_id for raw in batch.undecryptable}
    assert sessions == {event.session_id for event in batch.events if event.sessions}  # the same key


async def test_why_a_key_is_withheld_is_known_by_whose_message_it_is(device: Open) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(friend, ours)
    outbound = friend.member.outbound
    session = outbound._session(friend.member.rooms[room], set(), False)
    await friend.member.trust.refresh([ours.member.user_id])
    await outbound._withhold(room, session, [of(ours)], "m.unverified")
    await ours.listen()
    (notice,) = ours.member.withheld.values()
    assert (notice.room_id, notice.session_id, notice.code) == (room, session.id, "m.unverified")
    assert notice.sender == friend.member.user_id

    forged = {"room_id": room, "session_id": session.id, "code": {"no": "text"}}  # nobody can look that up
    us = ours.member
    await outbound.to_device("m.room_key.withheld", {us.user_id: {us.account.device_id: forged}})
    await ours.listen()
    assert list(us.withheld.values()) == [notice]


@pytest.mark.parametrize("period", [{"rotation_period_msgs": 1}, {"rotation_period_ms": 1}])
async def test_a_room_says_how_long_a_key_lasts(
    device: Open, period: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SHORTEST_ROTATION_MS", 1)
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(ours, friend, **period)
    for text in ("un", "deux"):
        await ours.say(room, text)
    batch = await friend.listen()
    assert friend.heard == ["un", "deux"]
    assert len({event.session_id for event in batch.events if event.sessions}) == 2


async def test_who_left_reads_nothing_of_what_is_said_afterwards(device: Open) -> None:
    ours, friend, gone = await device("hub"), await device("ami"), await device("parti")
    room = await room_of(ours, friend)
    await ours.member.client.call("POST", path("rooms", room, "invite"), {"user_id": gone.member.user_id})
    await gone.member.join(room)
    await ours.listen()
    await ours.say(room, "pour tous")
    await gone.listen()
    await gone.member.client.call("POST", path("rooms", room, "leave"), {})
    await ours.listen()
    await ours.say(room, "sans lui")
    batch = await friend.listen()
    later = {event.session_id for event in batch.events if event.content.get("body") == "sans lui"}
    assert (gone.heard, friend.heard) == (["pour tous"], ["pour tous", "sans lui"])
    await gone.listen()
    machine = gone.member.client.machine
    assert not any(machine.inbound_sessions(room, str(session_id)) for session_id in later)


async def test_a_room_that_shows_its_history_to_others_gets_a_new_key(device: Open) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(ours, friend)
    await ours.say(room, "avant")
    visibility = path("rooms", room, "state", "m.room.history_visibility")
    await ours.member.client.call("PUT", visibility, {"history_visibility": "joined"})
    await ours.listen()
    await ours.say(room, "après")
    batch = await friend.listen()
    assert len({event.session_id for event in batch.events if event.sessions}) == 2


async def test_olm_messages_of_a_type_that_we_do_not_know_are_surfaced(device: Open) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(friend, ours)
    await friend.say(room, "ouvre la session")
    await ours.listen()
    surfaced = surfacing(ours)
    await send_olm(friend, ours, "m.secret.send", {"request_id": "1"})
    await ours.listen()
    (event,) = surfaced
    assert isinstance(event, UnknownToDeviceEvent)
    assert (event.type, event.sender) == ("m.secret.send", friend.member.user_id)


async def test_two_accounts_whose_devices_have_one_name_read_each_other(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "new_device_id", lambda: "HUB01")
    ours, friend = await device("hub"), await device("ami")
    assert ours.member.client.device_id == friend.member.client.device_id == "HUB01"
    room = await room_of(ours, friend)
    await ours.say(room, "bonjour")
    await friend.listen()
    assert friend.heard == ["bonjour"]


async def test_a_device_change_that_arrives_during_a_query_is_asked_about_again(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, friend = await device("hub"), await device("ami")
    call, book = ours.member.client.call, ours.member.trust

    async def change_meanwhile(*given: Any, **more: Any) -> JsonObject:
        answer = await call(*given, **more)
        book.mark_stale([friend.member.user_id])
        return answer

    monkeypatch.setattr(ours.member.client, "call", change_meanwhile)
    await book.refresh([friend.member.user_id])
    assert friend.member.user_id in book.stale


async def test_a_device_whose_notice_was_lost_is_looked_up_before_its_owner_is_refused(device: Open) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(friend, ours)
    await ours.member.trust.refresh([friend.member.user_id])
    known = ours.member.trust.people[friend.member.user_id]
    ours.member.trust.people[friend.member.user_id] = type(known)((), known.pin, known.learned)
    ours.member.trust.stale.clear()
    await friend.say(room, "me crois-tu ?")
    batch = await ours.listen()
    (event,) = [event for event in batch.events if event.sessions]
    assert event.verdict == "trusted"


async def test_a_sync_that_is_answered_twice_wedges_nobody(device: Open) -> None:
    ours, friend = await device("hub"), await device("ami")
    room = await room_of(friend, ours)
    await ours.member.trust.refresh([friend.member.user_id])
    await friend.say(room, "une fois")
    for _ in range(2):  # the first could not be kept
        read = decrypt(
            ours.member, await fill_gaps(ours.member, await sync(ours.member, ours.since, wait=False))
        )
        assert [
            event.content["body"] for event in read.events if isinstance(event, Received) and event.sessions
        ]
        assert read.keys
        for sessions in ours.member.client.machine.session_store.values():
            for session in sessions:
                session.creation_time -= timedelta(hours=2)  # a young one is never taken for broken
    assert not ours.member.client.machine.wedged_devices


async def test_a_session_that_the_server_paused_goes_on_with_its_keys(
    device: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soft logout: the token is void, the device is not. New keys would be a warning for everybody."""
    ours = await device("pause")
    before = ours.member.account
    call = Client.call

    async def paused(client: Client, method: str, url: str, *rest: Any, **more: Any) -> JsonObject:
        if url == path("account", "whoami"):
            raise MatrixError(401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True})
        return await call(client, method, url, *rest, **more)

    monkeypatch.setattr(Client, "call", paused)
    client, account = await membership._signed_in(ours.file, before)
    assert account.device_id == before.device_id
    assert account.access_token != before.access_token
    assert client.machine.account.identity_keys == ours.member.client.machine.account.identity_keys
    await client.close()


async def test_a_device_whose_keys_are_lost_is_followed_by_a_new_one_and_signed_out(device: Open) -> None:
    ours = await device("perdue")
    before = ours.member.account
    await ours.member.close()
    (ours.file.folder / "keys" / f"{before.device_id}.db").unlink()
    again = await Member.open(ours.file, before, PinsInMemory(), Policy())
    present = await again.client.call("GET", path("devices"))
    assert [one["device_id"] for one in present["devices"]] == [again.account.device_id]
    assert again.account.device_id != before.device_id
    assert ours.file.load() == again.account
    await again.close()


async def test_a_start_that_was_killed_before_it_noted_its_token_leaves_no_session_behind(
    device: Open,
) -> None:
    ours = await device("tuee")
    noted = ours.file.update(ours.member.account, access_token="")
    client, account = await membership._signed_in(ours.file, noted)
    present = await client.call("GET", path("devices"))
    assert [one["device_id"] for one in present["devices"]] == [account.device_id]
    await client.close()
