"""Signed JSON (Matrix specification, appendix "Signing JSON"), with Ed25519 by PyNaCl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from nio.api import Api
from unpaddedbase64 import decode_base64, encode_base64

JsonObject = dict[str, Any]


def _to_sign(content: Mapping[str, Any]) -> bytes:
    bare = {key: value for key, value in content.items() if key not in ("signatures", "unsigned")}
    return str(Api.to_canonical_json(bare)).encode()


def public_key(seed_hex: str) -> str:
    """The public half of a seed, in unpadded base64."""
    return encode_base64(SigningKey(bytes.fromhex(seed_hex)).verify_key.encode())


def sign(content: Mapping[str, Any], seed_hex: str) -> str:
    """An unpadded base64 signature over ``content`` without its signatures."""
    return encode_base64(SigningKey(bytes.fromhex(seed_hex)).sign(_to_sign(content)).signature)


def signed_by(content: Mapping[str, Any], user_id: str, key: str, key_name: str | None = None) -> bool:
    """Whether ``content`` bears ``user_id``'s valid signature made with the Ed25519 public ``key``.

    ``key_name`` is the part behind ``ed25519:`` where it is not the key itself (a device id). The content
    comes from a server that may be hostile: whatever is not a valid signature is none.
    """
    try:
        signature = content["signatures"][user_id][f"ed25519:{key_name or key}"]
        if not isinstance(signature, str) or not isinstance(key, str):
            return False
        VerifyKey(decode_base64(key)).verify(_to_sign(content), decode_base64(signature))
    except (KeyError, TypeError, ValueError, BadSignatureError, RecursionError):
        return False
    return True
