"""The recovery key as a person writes it down, and what it opens."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.matrix.secret_storage import RecoveryKey, RecoveryKeyInvalid

KEYS = st.binary(min_size=32, max_size=32).map(RecoveryKey)


@given(KEYS)
def test_the_text_looks_like_every_matrix_recovery_key(key: RecoveryKey) -> None:
    """That other clients open secrets with it is shown in ``tests/interop``."""
    text = key.text
    assert text.startswith("Es")  # base58 of 0x8B 0x01
    assert all(len(group) == 4 for group in text.split()[:-1])


@given(KEYS)
def test_it_reads_back_however_it_is_spaced(key: RecoveryKey) -> None:
    assert RecoveryKey.parse(key.text) == key
    assert RecoveryKey.parse("  ".join(key.text.replace(" ", ""))) == key


@given(KEYS, st.integers(0, 47), st.sampled_from("123456789ABCDEFGHJKLMNPQRSTUVWXYZabc"))
def test_a_typing_error_is_noticed(key: RecoveryKey, at: int, letter: str) -> None:
    text = key.text.replace(" ", "")
    typed = text[:at] + letter + text[at + 1 :]
    if typed != text:
        # One byte of parity: most slips are found, and what is not is another key, which opens nothing.
        with contextlib.suppress(RecoveryKeyInvalid):
            assert RecoveryKey.parse(typed) != key


@pytest.mark.parametrize("text", ["", "Es", "0OIl" * 12, "é" * 48, "z" * 400])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(RecoveryKeyInvalid):
        RecoveryKey.parse(text)


@given(KEYS, st.binary(min_size=1, max_size=64), st.text(max_size=30))
def test_a_secret_opens_with_its_key_and_name_only(key: RecoveryKey, secret: bytes, name: str) -> None:
    box = key.encrypt(name, secret)
    assert key.decrypt(name, box) == secret
    for other, wrong in ((RecoveryKey.new(), name), (key, name + "x")):
        with pytest.raises(RecoveryKeyInvalid):
            other.decrypt(wrong, box)


@given(KEYS)
def test_a_description_recognises_its_key(key: RecoveryKey) -> None:
    description = key.description()
    assert key.matches(description)
    assert not RecoveryKey.new().matches(description)


def test_a_key_does_not_show_itself() -> None:
    key = RecoveryKey.new()
    assert key.text not in repr(key)
    assert key.key.hex() not in repr(key)
