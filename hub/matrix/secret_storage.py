"""Secret storage: account data that only the recovery key opens (Matrix specification, "Secrets" module).

A recovery key is 32 random bytes, shown as base58 text in groups of four. From it come, by HKDF-SHA-256 with
the secret's name, an AES-256-CTR key and an HMAC-SHA-256 key for each secret.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from unpaddedbase64 import decode_base64, encode_base64

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
_PREFIX = b"\x8b\x01"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KEY_BYTES = 32


class RecoveryKeyInvalid(ValueError):
    """Not a recovery key, or one that was mistyped."""


@dataclass(frozen=True)
class RecoveryKey:
    """The key that opens an account's secrets."""

    key: bytes = field(repr=False)

    @classmethod
    def new(cls) -> RecoveryKey:
        return cls(secrets.token_bytes(_KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> RecoveryKey:
        """Read what a person typed; spaces do not count. Raises RecoveryKeyInvalid."""
        data = _base58_decode("".join(text.split()))
        if (
            len(data) != len(_PREFIX) + _KEY_BYTES + 1
            or not data.startswith(_PREFIX)
            or reduce(lambda a, b: a ^ b, data)
        ):
            raise RecoveryKeyInvalid
        return cls(data[len(_PREFIX) : -1])

    @property
    def text(self) -> str:
        """The form a person writes down, in groups of four."""
        data = _PREFIX + self.key
        data += bytes([reduce(lambda a, b: a ^ b, data)])
        plain = _base58_encode(data)
        return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))

    def encrypt(self, name: str, secret: bytes) -> dict[str, str]:
        """A secret as account data keeps it: ``iv``, ``ciphertext`` and ``mac`` in unpadded base64."""
        iv = bytearray(secrets.token_bytes(16))
        iv[8] &= 0x7F  # bit 63 clear, for implementations that count in signed integers
        aes_key, mac_key = self._keys(name)
        ciphertext = _aes_ctr(aes_key, bytes(iv), encode_base64(secret).encode())
        mac = hmac.digest(mac_key, ciphertext, hashlib.sha256)
        return {
            "iv": encode_base64(bytes(iv)),
            "ciphertext": encode_base64(ciphertext),
            "mac": encode_base64(mac),
        }

    def decrypt(self, name: str, box: Mapping[str, str]) -> bytes:
        """Open a secret. Raises RecoveryKeyInvalid when this key is not the one that closed it."""
        aes_key, mac_key = self._keys(name)
        ciphertext = decode_base64(box["ciphertext"])
        expected = hmac.digest(mac_key, ciphertext, hashlib.sha256)
        if not hmac.compare_digest(expected, decode_base64(box["mac"])):
            raise RecoveryKeyInvalid
        return decode_base64(_aes_ctr(aes_key, decode_base64(box["iv"]), ciphertext).decode())

    def description(self) -> dict[str, str]:
        """The key's public description, by which a client recognises a typed key as the right one."""
        iv = bytearray(secrets.token_bytes(16))
        iv[8] &= 0x7F
        return {"name": "Parcours", "algorithm": ALGORITHM, **self._check(bytes(iv))}

    def matches(self, description: Mapping[str, str]) -> bool:
        """Whether a description on the server is of this key."""
        check = self._check(decode_base64(description["iv"]))
        return hmac.compare_digest(decode_base64(check["mac"]), decode_base64(description["mac"]))

    def _check(self, iv: bytes) -> dict[str, str]:
        aes_key, mac_key = self._keys("")
        mac = hmac.digest(mac_key, _aes_ctr(aes_key, iv, bytes(32)), hashlib.sha256)
        return {"iv": encode_base64(iv), "mac": encode_base64(mac)}

    def _keys(self, name: str) -> tuple[bytes, bytes]:
        derived = HKDF(hashes.SHA256(), 64, salt=bytes(32), info=name.encode()).derive(self.key)
        return derived[:32], derived[32:]


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _base58_encode(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return digits


def _base58_decode(text: str) -> bytes:
    number = 0
    for letter in text:
        digit = _ALPHABET.find(letter)
        if digit < 0:
            raise RecoveryKeyInvalid
        number = number * 58 + digit
    if number.bit_length() > 8 * 64:
        raise RecoveryKeyInvalid
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
