"""An account's secrets on its homeserver, as account data that only the recovery key opens."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unpaddedbase64 import encode_base64

from hub.errors import OperatorError
from hub.matrix.client import Client, MatrixError, path
from hub.matrix.secret_storage import RecoveryKey, RecoveryKeyInvalid

DEFAULT_KEY = "m.secret_storage.default_key"


@dataclass(frozen=True)
class SecretStore:
    """Secret storage of the client's account, opened with ``recovery``."""

    client: Client
    recovery: RecoveryKey = field(repr=False)

    async def fill(self, contents: Mapping[str, bytes]) -> None:
        """Make it anew. The default key is named last, so that half a storage is never the one found."""
        key_id = encode_base64(secrets.token_bytes(18), urlsafe=True)
        await self._put(f"m.secret_storage.key.{key_id}", self.recovery.description())
        for name, secret in contents.items():
            await self._put(name, {"encrypted": {key_id: self.recovery.encrypt(name, secret)}})
        await self._put(DEFAULT_KEY, {"key": key_id})

    async def put(self, name: str, secret: bytes) -> None:
        """Add a secret to the storage that there is. Raises OperatorError as :meth:`read` does."""
        key_id = await self._key_id()
        await self._put(name, {"encrypted": {key_id: self.recovery.encrypt(name, secret)}})

    async def read(self, name: str) -> bytes | None:
        """A secret; None where there is none of this name.

        Raises OperatorError ``recovery.no_storage``, or ``recovery.wrong_key`` when this recovery key is not
        the one that closed it.
        """
        key_id = await self._key_id()
        content = await self._get(name)
        if content is None or key_id not in content.get("encrypted", {}):
            return None
        try:
            return self.recovery.decrypt(name, content["encrypted"][key_id])
        except (RecoveryKeyInvalid, KeyError, TypeError, ValueError) as fault:
            raise OperatorError("recovery.wrong_key", user_id=self.client.user_id) from fault

    async def _key_id(self) -> str:
        default = await self._get(DEFAULT_KEY)
        if default is None:
            raise OperatorError("recovery.no_storage", user_id=self.client.user_id)
        key_id = str(default.get("key"))
        description = await self._get(f"m.secret_storage.key.{key_id}")
        try:
            matches = description is not None and self.recovery.matches(description)
        except (KeyError, TypeError, ValueError):
            matches = False
        if not matches:
            raise OperatorError("recovery.wrong_key", user_id=self.client.user_id)
        return key_id

    async def _get(self, kind: str) -> dict[str, Any] | None:
        try:
            return await self.client.call("GET", path("user", self.client.user_id, "account_data", kind))
        except MatrixError as refused:
            if refused.errcode == "M_NOT_FOUND":
                return None
            raise

    async def _put(self, kind: str, content: Mapping[str, Any]) -> None:
        await self.client.call("PUT", path("user", self.client.user_id, "account_data", kind), content)
