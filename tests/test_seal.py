"""Sealing: what goes in comes out, and nothing else does."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import OperatorError
from hub.seal import MasterKey, MasterKeyFile, SealBroken, Vault, seal, seal_file, unseal, unseal_file

keys = st.binary(min_size=32, max_size=32)


def code_of(error: pytest.ExceptionInfo[OperatorError]) -> str:
    return error.value.code


class TestBox:
    @given(keys, st.binary(max_size=300), st.binary(max_size=50))
    def test_opens_with_its_key_and_its_aad(self, key: bytes, plaintext: bytes, aad: bytes) -> None:
        assert unseal(key, seal(key, plaintext, aad), aad) == plaintext

    @given(keys, keys, st.binary(max_size=50), st.binary(max_size=50))
    def test_opens_with_no_other(self, key: bytes, other: bytes, aad: bytes, elsewhere: bytes) -> None:
        box = seal(key, b"words", aad)
        if other != key:
            with pytest.raises(SealBroken):
                unseal(other, box, aad)
        if elsewhere != aad:
            with pytest.raises(SealBroken):
                unseal(key, box, elsewhere)

    @given(keys, st.binary(max_size=40), st.data())
    def test_with_any_bit_changed_does_not_open(
        self, key: bytes, plaintext: bytes, data: st.DataObject
    ) -> None:
        box = bytearray(seal(key, plaintext, b"row"))
        box[data.draw(st.integers(0, len(box) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        with pytest.raises(SealBroken):
            unseal(key, bytes(box), b"row")

    @given(keys, st.binary(max_size=40), st.data())
    def test_cut_short_or_made_longer_does_not_open(
        self, key: bytes, plaintext: bytes, data: st.DataObject
    ) -> None:
        box = seal(key, plaintext, b"row")
        for other in (box[: data.draw(st.integers(0, len(box) - 1))], box + b"\0"):
            with pytest.raises(SealBroken):
                unseal(key, other, b"row")

    @given(keys, st.binary(min_size=8, max_size=100))
    def test_shows_nothing_of_it_and_is_never_the_same(self, key: bytes, plaintext: bytes) -> None:
        first, second = seal(key, plaintext, b""), seal(key, plaintext, b"")
        assert first != second
        assert plaintext not in first
        assert first[0] == 1 and len(first) == len(plaintext) + 41

    def test_says_nothing_of_why_it_does_not_open(self) -> None:
        with pytest.raises(SealBroken) as broken:
            unseal(bytes(32), seal(bytes(32), b"words", b"")[:-1], b"")
        assert str(broken.value) == "" and broken.value.__cause__ is None


class TestVault:
    def test_unwraps_what_it_wrapped(self) -> None:
        vault = Vault(MasterKey.generate())
        key = vault.new_data_key()
        assert len(key) == 32 and key != vault.new_data_key()
        assert vault.unwrap(vault.wrap(key)) == key
        assert key not in vault.wrap(key)

    def test_does_not_unwrap_a_key_moved_to_another_scope(self) -> None:
        vault = Vault(MasterKey.generate())
        with pytest.raises(SealBroken):
            vault.unwrap(vault.wrap(vault.new_data_key(), b"room 1"), b"room 2")

    def test_knows_a_key_wrapped_by_another_master(self) -> None:
        wrapped = Vault(MasterKey.generate()).wrap(bytes(32))
        with pytest.raises(OperatorError) as wrong:
            Vault(MasterKey.generate()).unwrap(wrapped)
        assert code_of(wrong) == "seal.wrong_master_key"

    @given(st.binary(max_size=90))
    def test_opens_no_rubbish(self, rubbish: bytes) -> None:
        with pytest.raises((SealBroken, OperatorError)):
            Vault(MasterKey.generate()).unwrap(rubbish)


class TestMasterKey:
    def test_is_read_back_as_it_was_made(self, tmp_path: Path) -> None:
        path = tmp_path / "master.key"
        made = MasterKey.create(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
        read = MasterKeyFile(path)
        assert read.id == made.id
        assert Vault(read).unwrap(Vault(made).wrap(bytes(32))) == bytes(32)

    def test_is_never_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "master.key"
        MasterKey.create(path)
        before = path.read_bytes()
        with pytest.raises(OperatorError) as exists:
            MasterKey.create(path)
        assert code_of(exists) == "seal.master_key_exists"
        assert path.read_bytes() == before

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
    def test_is_refused_when_others_may_read_it(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "master.key"
        MasterKey.create(path)
        path.chmod(mode)
        with pytest.raises(OperatorError) as refused:
            MasterKeyFile(path)
        assert code_of(refused) == "seal.master_key_permissions"

    def test_may_be_read_only(self, tmp_path: Path) -> None:
        path = tmp_path / "master.key"
        made = MasterKey.create(path)
        path.chmod(0o400)
        assert MasterKeyFile(path).id == made.id

    @pytest.mark.parametrize("text", ["", "00", "g" * 64, "00" * 33, "é" * 32, "\0" * 32])
    def test_is_not_guessed_at(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "master.key"
        path.touch(0o600)
        path.write_text(text)
        with pytest.raises(OperatorError) as malformed:
            MasterKeyFile(path)
        assert code_of(malformed) == "seal.master_key_malformed"

    def test_is_missed_when_it_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(OperatorError) as missing:
            MasterKeyFile(tmp_path / "master.key")
        assert code_of(missing) == "seal.master_key_missing"
        with pytest.raises(OperatorError) as unreadable:
            MasterKeyFile(tmp_path)
        assert code_of(unreadable) == "seal.master_key_unreadable"
        with pytest.raises(OperatorError) as not_writable:
            MasterKey.create(tmp_path / "nowhere" / "master.key")
        assert code_of(not_writable) == "seal.not_writable"

    def test_may_come_from_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PARCOURS_MASTER_KEY", raising=False)
        assert MasterKey.from_env() is None
        made = MasterKey.create(tmp_path / "master.key")
        monkeypatch.setenv("PARCOURS_MASTER_KEY", (tmp_path / "master.key").read_text())
        read = MasterKey.from_env()
        assert read is not None and read.id == made.id
        monkeypatch.setenv("PARCOURS_MASTER_KEY", "motdepasse")
        with pytest.raises(OperatorError) as malformed:
            MasterKey.from_env()
        assert code_of(malformed) == "seal.master_key_malformed"
        assert malformed.value.facts == {"source": "PARCOURS_MASTER_KEY"}
        assert malformed.value.__cause__ is None

    def test_never_shows_itself(self, tmp_path: Path) -> None:
        made = MasterKey.create(tmp_path / "master.key")
        secret = (tmp_path / "master.key").read_text().strip()
        for shown in (repr(made), str(made), f"{made}", repr(Vault(made)), made.id.hex()):
            assert secret not in shown and secret[:8] not in shown


class TestSealedFile:
    def test_comes_back_and_is_its_owners_alone(self, tmp_path: Path) -> None:
        master, path = MasterKey.generate(), tmp_path / "account.sealed"
        seal_file(path, master, b"first")
        seal_file(path, master, b"second")
        assert unseal_file(path, master) == b"second"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [file.name for file in tmp_path.iterdir()] == ["account.sealed"]
        assert b"second" not in path.read_bytes()

    def test_opens_neither_altered_nor_under_another_name_nor_with_another_key(self, tmp_path: Path) -> None:
        master, path = MasterKey.generate(), tmp_path / "account.sealed"
        seal_file(path, master, b"words")
        sealed = path.read_bytes()
        (tmp_path / "other.sealed").write_bytes(sealed)
        with pytest.raises(OperatorError) as moved:
            unseal_file(tmp_path / "other.sealed", master)
        assert code_of(moved) == "seal.file_broken"
        with pytest.raises(OperatorError) as wrong:
            unseal_file(path, MasterKey.generate())
        assert code_of(wrong) == "seal.wrong_master_key"
        for position in range(len(sealed)):
            path.write_bytes(sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :])
            with pytest.raises(OperatorError):
                unseal_file(path, master)
        with pytest.raises(FileNotFoundError):
            unseal_file(tmp_path / "none", master)

    def test_keeps_the_former_content_when_the_disk_is_full(self, tmp_path: Path) -> None:
        master, path = MasterKey.create(tmp_path / "master.key"), tmp_path / "account.sealed"
        seal_file(path, master, b"former")
        script = f"""
import pathlib
from hub.errors import OperatorError
from hub.seal import MasterKeyFile, seal_file
folder = pathlib.Path({str(tmp_path)!r})
try:
    seal_file(folder / "account.sealed", MasterKeyFile(folder / "master.key"), bytes(100_000))
except OperatorError as error:
    print(error.code)
"""
        limit = 10_000
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        assert done.stdout.strip() == "seal.disk_full", done.stderr
        assert unseal_file(path, master) == b"former"
        assert sorted(file.name for file in tmp_path.iterdir()) == ["account.sealed", "master.key"]
