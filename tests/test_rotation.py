"""A new master key: nothing is lost, whoever writes meanwhile, and nothing of the former one stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub import rotation
from hub.errors import OperatorError
from hub.seal import MasterKey, MasterKeyFile, Vault
from hub.storage.engine import Database
from tests.support.databases import Backend, SqliteFile

WORDS = b"INR 4,2"


@pytest.fixture
def path(tmp_path: Path, master: MasterKey) -> Path:
    """The key's file, as a first start leaves it."""
    file = tmp_path / "master.key"
    file.touch(0o600)
    file.write_text(master._secret.hex())
    return file


async def test_a_key_that_is_made_under_the_former_one_meanwhile_is_wrapped_anew(
    backend: Backend, path: Path, master: MasterKey
) -> None:
    slow = Database.open(backend.url, Vault(master))  # it will not notice that the file changed
    ours = Database.open(backend.url, Vault(MasterKeyFile(path)))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def write() -> bytes:
        async with slow.transaction() as tx:
            box = await tx.keys.seal("!late:x", WORDS, b"")
            begun.set()
            await goes_on.wait()
        return box

    writing = asyncio.create_task(write())
    await begun.wait()
    rotating = asyncio.create_task(rotation.rotate(MasterKeyFile(path), ours, []))
    await asyncio.sleep(0.3)
    assert not rotating.done()
    goes_on.set()
    box, rotated = await asyncio.gather(writing, rotating)
    assert rotated.keys == 2
    async with ours.transaction() as tx:
        assert await tx.keys.unseal(box, b"") == WORDS
    await slow.close()
    await ours.close()


async def test_two_do_not_rotate_at_once(backend: Backend, path: Path) -> None:
    db = Database.open(backend.url, Vault(MasterKeyFile(path)))
    with rotation._alone(path), pytest.raises(OperatorError) as refused:
        await rotation.rotate(MasterKeyFile(path), db, [])
    assert refused.value.code == "keys.rotating"
    await rotation.rotate(MasterKeyFile(path), db, [])
    await db.check()
    await db.close()


async def test_what_the_former_key_wrapped_is_gone_from_the_files(backend: Backend, path: Path) -> None:
    if not isinstance(backend, SqliteFile):
        return
    db = Database.open(backend.url, Vault(MasterKeyFile(path)))
    async with db.transaction() as tx:
        await tx.keys.seal("!r:x", WORDS, b"")
    former = MasterKeyFile(path).id
    assert await backend.execute("SELECT count(*) FROM data_keys") == [(2,)]
    await rotation.rotate(MasterKeyFile(path), db, [])
    for file in backend.path.parent.glob(f"{backend.path.name}*"):
        assert former not in file.read_bytes()
    await db.close()
