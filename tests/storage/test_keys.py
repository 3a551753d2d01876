"""Data keys: made when needed, destroyed on demand, wrapped anew when the master key changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.errors import OperatorError
from hub.seal import KeyErased, MasterKey, MasterKeyFile, SealBroken, Vault
from hub.storage.engine import Database
from tests.storage.examples import HUB, LATER, NOW, OTHER_ROOM, ROOM, incoming, undecryptable
from tests.support.databases import Backend

WORDS = b"je ne dors plus"


async def test_what_was_sealed_opens_in_another_transaction(database: Database) -> None:
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"row 1")
    async with database.transaction() as tx:
        assert await tx.keys.unseal(box, b"row 1") == WORDS


async def test_a_box_opens_only_in_its_own_row(database: Database) -> None:
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"row 1")
        other = await tx.keys.seal(OTHER_ROOM, WORDS, b"row 1")
        for wrong, aad in ((box, b"row 2"), (other[:8] + box[8:], b"row 1"), (b"", b"row 1")):
            with pytest.raises(SealBroken):
                await tx.keys.unseal(wrong, aad)


async def test_a_scope_has_one_key_however_many_ask_at_once(database: Database, backend: Backend) -> None:
    async def seal() -> bytes:
        async with database.transaction() as tx:
            return await tx.keys.seal(ROOM, WORDS, b"")

    boxes = await asyncio.gather(*(seal() for _ in range(6)))
    assert len({box[:8] for box in boxes}) == 1
    assert await backend.execute(f"SELECT count(*) FROM data_keys WHERE scope = '{ROOM}'") == [(1,)]  # noqa: S608


async def test_a_key_made_in_vain_is_not_used_again(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.keys.seal(ROOM, WORDS, b"")
            raise ZeroDivisionError
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"")
    async with database.transaction() as tx:
        assert await tx.keys.unseal(box, b"") == WORDS


async def test_an_erased_key_opens_nothing_and_its_scope_gets_a_new_one(database: Database) -> None:
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"")
        neighbour = await tx.keys.seal(OTHER_ROOM, WORDS, b"")
    async with database.transaction() as tx:
        await tx.keys.erase(ROOM)
        with pytest.raises(KeyErased):
            await tx.keys.unseal(box, b"")
    async with database.transaction() as tx:
        with pytest.raises(KeyErased):
            await tx.keys.unseal(box, b"")
        fresh = await tx.keys.seal(ROOM, WORDS, b"")
        assert await tx.keys.unseal(fresh, b"") == WORDS
        assert await tx.keys.unseal(neighbour, b"") == WORDS
        with pytest.raises(KeyErased):
            await tx.keys.unseal(box, b"")


async def test_an_erasure_that_is_rolled_back_erases_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await tx.keys.erase(ROOM)
            raise ZeroDivisionError
    async with database.transaction() as tx:
        assert await tx.keys.unseal(box, b"") == WORDS


async def test_another_process_erases_and_this_one_knows_at_once(
    database: Database, backend: Backend, vault: Vault
) -> None:
    async with database.transaction() as tx:
        box = await tx.keys.seal(ROOM, WORDS, b"")
    other = Database.open(backend.url, vault)
    async with other.transaction() as tx:
        await tx.keys.erase(ROOM)
    await other.close()
    async with database.transaction() as tx:
        fresh = await tx.keys.seal(ROOM, WORDS, b"")
        assert await tx.keys.unseal(fresh, b"") == WORDS
        with pytest.raises(KeyErased):
            await tx.keys.unseal(box, b"")


async def test_an_erased_key_is_gone_from_the_files(database: Database, backend: Backend) -> None:
    async with database.transaction() as tx:
        await tx.keys.seal(ROOM, WORDS, b"")
    ((wrapped,),) = await backend.execute(f"SELECT wrapped FROM data_keys WHERE scope = '{ROOM}'")  # noqa: S608
    assert wrapped in await backend.remains()
    async with database.transaction() as tx:
        await tx.keys.erase(ROOM)
    assert await backend.execute(f"SELECT wrapped FROM data_keys WHERE scope = '{ROOM}'") == [(None,)]  # noqa: S608
    assert wrapped not in await backend.remains(log=False)


async def test_rows_of_an_erased_room_are_closed_and_stop_nobody(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW)
        await tx.inbox.add(incoming("$2", OTHER_ROOM), NOW)
        await tx.outbox.queue(HUB, ROOM, WORDS, cause="$1", step=0, now=NOW)
        await tx.outbox.queue(HUB, OTHER_ROOM, WORDS, cause="$2", step=0, now=NOW)
        await tx.waiting.add(undecryptable("$3"))
        await tx.waiting.add(undecryptable("$4", room_id=OTHER_ROOM))
    async with database.transaction() as tx:
        await tx.keys.erase(ROOM)
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None and row.event_id == "$2"
        assert [row.cause for row in await tx.outbox.due(HUB, NOW, 10)] == ["$2"]
        assert [event.event_id for event in await tx.waiting.all(HUB)] == ["$4"]
    async with database.transaction() as tx:
        assert (await tx.inbox.depth(HUB), await tx.outbox.depth(HUB)) == (1, 1)
        assert not await tx.inbox.add(incoming("$1"), LATER)  # still known


async def test_a_new_master_key_takes_over_and_the_old_one_opens_nothing(
    backend: Backend, master: MasterKey, tmp_path: Path
) -> None:
    path = tmp_path / "master.key"
    path.touch(0o600)
    path.write_text(master._secret.hex())
    database, old = Database.open(backend.url, Vault(MasterKeyFile(path))), path.read_text()
    boxes = {}
    async with database.transaction() as tx:
        for number in range(4):
            boxes[number] = await tx.keys.seal(f"!{number}:x", WORDS, b"")
    MasterKeyFile(path).begin_rotation()  # in another process
    async with database.transaction() as tx:
        boxes[4] = await tx.keys.seal("!4:x", WORDS, b"")  # sealed with the new one already
        assert await tx.keys.rewrap(3) == 3
    async with database.transaction() as tx:
        assert await tx.keys.rewrap(3) == 2  # the last room's, and the hub's own
        assert await tx.keys.rewrap(3) == 0
    (former,) = MasterKeyFile(path).end_rotation()
    assert former.read_text().strip() == old
    async with database.transaction() as tx:
        assert [await tx.keys.unseal(box, b"") for box in boxes.values()] == [WORDS] * 5
    await database.close()

    stolen = Database.open(backend.url, Vault(MasterKeyFile(former)))
    with pytest.raises(OperatorError) as refused:
        await stolen.check()
    assert refused.value.code == "seal.wrong_master_key"
    await stolen.close()


async def test_the_wrong_master_key_is_refused_and_nothing_is_lost(
    database: Database, backend: Backend
) -> None:
    async with database.transaction() as tx:
        await tx.inbox.add(incoming("$1"), NOW)
        await tx.journal.append("p", "Named", WORDS, at=NOW, by=HUB, cause=None)
    stranger = Database.open(backend.url, Vault(MasterKey.generate()))
    for attempt in (stranger.check, stranger.upgrade):
        with pytest.raises(OperatorError) as refused:
            await attempt()
        assert refused.value.code == "seal.wrong_master_key"
    with pytest.raises(OperatorError) as refused:
        async with stranger.transaction() as tx:
            await tx.inbox.next(HUB, NOW)
    assert refused.value.code == "seal.wrong_master_key"
    with pytest.raises(OperatorError):
        async with stranger.transaction() as tx:
            await tx.journal.append("p", "Forged", WORDS, at=NOW, by=HUB, cause=None)
    await stranger.close()
    await database.check()
    async with database.transaction() as tx:
        row = await tx.inbox.next(HUB, NOW)
        assert row is not None and row.event_id == "$1"
        assert len(await tx.journal.read("p")) == 1
        assert await tx.journal.verify("p")
