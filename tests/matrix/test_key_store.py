"""A key store that cannot be written: said as such, and memory never goes on without the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from nio.crypto import OutboundGroupSession
from unpaddedbase64 import encode_base64

from hub.errors import OperatorError
from hub.matrix.member import Member
from hub.matrix.rooms import Room
from tests.matrix.test_inbound import HUB, ROOM, answering, member_in
from tests.matrix.test_trust import ALICE, PHONE, Keys


@pytest_asyncio.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    one = member_in(tmp_path)
    assert one.client.store is not None
    one.client.store.database.timeout = 0
    yield one
    await one.close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else may read or write the key store meanwhile."""
    (path,) = folder.glob("*.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


async def test_a_room_key_that_cannot_be_written_is_not_used(member: Member, tmp_path: Path) -> None:
    """Otherwise the next attempt would go on with it, and without what the room says about its rotation."""
    room = Room(ROOM, encrypted=True, members={HUB: "join"}, rotation_messages=7)
    with locked(tmp_path), pytest.raises(OperatorError) as failed:
        member.outbound._session(room, set(), False)
    assert failed.value.code == "matrix.store_unwritable"
    assert member.outbound._session(room, set(), False).max_messages == 7


async def test_one_time_keys_that_cannot_be_written_are_not_published(member: Member, tmp_path: Path) -> None:
    with answering(member, {}):
        with locked(tmp_path), pytest.raises(OperatorError) as failed:
            await member.client.upload_keys(one_time_keys_on_server=0)
        assert failed.value.code == "matrix.store_unwritable"
        await member.client.upload_keys(one_time_keys_on_server=0)


async def test_memory_goes_back_to_the_disk_as_soon_as_it_can_be_read(member: Member, tmp_path: Path) -> None:
    """An Olm message opens once: what memory knows of it, and the disk does not, would be lost with it."""
    olm, session, key = member.client.machine, OutboundGroupSession(), encode_base64(bytes(32))
    with locked(tmp_path), pytest.raises(OperatorError), olm.together():
        olm.create_group_session(key, key, ROOM, session.id, session.session_key)
    with olm.together():
        assert olm.inbound_sessions(ROOM, session.id) == []


async def test_a_device_that_could_not_be_written_is_told_to_the_olm_machine_again(
    member: Member, tmp_path: Path
) -> None:
    """Known to memory alone, it would be forgotten with the next failure, and get no key ever after."""
    keys = Keys()
    with answering(member, keys.published()):
        with locked(tmp_path), pytest.raises(OperatorError):
            await member.trust.refresh([ALICE])
        await member.trust.refresh([ALICE])
    with locked(tmp_path), pytest.raises(OperatorError), member.client.machine.together():
        member.client.machine.create_outbound_group_session(ROOM)
    with member.client.machine.together():
        pass  # memory goes back to what the disk knows
    assert [device.id for device in member.client.machine.device_store.active_user_devices(ALICE)] == [PHONE]
