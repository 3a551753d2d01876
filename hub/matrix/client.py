"""One device of one account on its homeserver.

Requests go through :meth:`Client.call`: the token travels in a header, never in a URL; every failure is a
:class:`MatrixError` (the server said no) or :class:`Unreachable` (nobody answered). Retrying is the business
of the loops that know what is being retried, so nothing here loops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import aiohttp
from nio import AsyncClient, AsyncClientConfig
from nio.responses import KeysClaimResponse
from nio.store import SqliteStore
from peewee import PeeweeException

from hub.errors import OperatorError
from hub.matrix.olm import HubOlm
from hub.matrix.wire import parsed
from hub.observe import Log

log = Log(__name__)

JsonObject = dict[str, Any]

CLIENT_API = "/_matrix/client/v3"
REQUEST_SECONDS = 60.0
LONGEST_DELAY_MS = 300_000  # whatever the server, or a proxy before it, asks for
CLAIMED_AT_ONCE = 50  # devices: each takes a millisecond or more, and nothing else runs meanwhile
ONE_TIME_KEYS_LOW = 25  # refill at half of what vodozemac holds, before anybody finds the pool empty


class MatrixError(Exception):
    """The homeserver refused. ``errcode`` is Matrix' own (``M_FORBIDDEN``), ``retry_after`` in seconds,
    five minutes at most, ``session`` that of a user-interactive authentication which the server asks for,
    ``soft_logout`` whether the device of an unknown token is still there."""

    def __init__(self, status: int, answer: JsonObject) -> None:
        self.status = status
        self.errcode = str(answer.get("errcode", "M_UNKNOWN"))
        self.retry_after = _seconds(answer.get("retry_after_ms"))
        self.session = answer.get("session")
        self.soft_logout = answer.get("soft_logout") is True
        super().__init__(f"{status} {self.errcode}")

    @property
    def passing(self) -> bool:
        """Whether the same request may well be answered later: the server is overloaded, or broken."""
        return self.status >= 500 or self.status == 429 or self.errcode == "M_LIMIT_EXCEEDED"


def _seconds(delay: object) -> float | None:
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not delay >= 0:
        return None
    return min(delay, LONGEST_DELAY_MS) / 1000


class Unreachable(Exception):
    """No answer, half an answer, or an answer of something that is no homeserver."""


def path(*parts: str, **query: str) -> str:
    """A path below the client-server API with every part quoted: ids are opaque and may hold anything."""
    joined = CLIENT_API + "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{joined}?{urlencode(query)}" if query else joined


class Client(AsyncClient):
    """matrix-nio's client, narrowed to what is safe to use."""

    olm: HubOlm | None
    store: SqliteStore | None

    def __init__(self, homeserver: str, user_id: str, device_id: str, store: Path, pickle_key: str) -> None:
        config = AsyncClientConfig(
            store=SqliteStore, store_name=f"{device_id}.db", pickle_key=pickle_key, encryption_enabled=True
        )
        super().__init__(homeserver.rstrip("/"), user_id, device_id, str(store), config)
        self.fallback_key_used = False

    def load_store(self) -> None:
        """Open the key store of this device, or make one."""
        if self.store is not None:
            return
        try:
            store = SqliteStore(
                self.user_id, self.device_id, self.store_path, self.config.pickle_key, self.config.store_name
            )
            self.olm = HubOlm(self.user_id, self.device_id, store)
        except Exception as fault:
            raise OperatorError("matrix.store_corrupt", path=self.store_path) from fault
        self.store = store

    @property
    def machine(self) -> HubOlm:
        """The Olm machine; present once logged in."""
        if self.olm is None:
            raise RuntimeError("the key store is not open")
        return self.olm

    async def call(
        self,
        method: str,
        url_path: str,
        content: Mapping[str, Any] | None = None,
        *,
        timeout: float = REQUEST_SECONDS,  # noqa: ASYNC109 - aiohttp's own, per request
    ) -> JsonObject:
        """One request to the homeserver, its JSON answer. Raises MatrixError or Unreachable."""
        body = None if content is None and method == "GET" else json.dumps(content or {})
        return await self._answer(method, url_path, body, "application/json", timeout)

    async def upload(self, data: bytes) -> str:
        """Put bytes that are encrypted already into the media repository; their ``mxc:`` address."""
        url_path = "/_matrix/media/v3/upload"
        answer = await self._answer("POST", url_path, data, "application/octet-stream", REQUEST_SECONDS)
        return str(answer["content_uri"])

    async def _answer(
        self,
        method: str,
        url_path: str,
        body: str | bytes | None,
        content_type: str,
        timeout: float,  # noqa: ASYNC109
    ) -> JsonObject:
        headers = {"Content-Type": content_type}
        if self.access_token:
            headers["Authorization"] = f"Bearer {self.access_token}"
        try:
            response = await self.send(method, url_path, body, headers, None, timeout)
            async with response:
                answer = parsed(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
            raise Unreachable(type(fault).__name__) from fault
        if not isinstance(answer, dict):
            raise Unreachable("not a JSON object")
        if response.status >= 400:
            raise MatrixError(response.status, answer)
        return answer

    async def log_in(self, password: str, device_name: str) -> None:
        """A new session on :attr:`device_id`; afterwards the token is set and the store is open."""
        answer = await self.call(
            "POST",
            path("login"),
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": self.user},
                "password": password,
                "device_id": self.device_id,
                "initial_device_display_name": device_name,
            },
        )
        self.restore_login(answer["user_id"], answer["device_id"], answer["access_token"])

    async def upload_keys(self, *, one_time_keys_on_server: int | None) -> None:
        """Publish device keys, one-time keys and a fallback key, as far as the server lacks them.

        The account is saved before the upload: a crash in between must not leave the server with keys whose
        private halves are gone. Raises OperatorError ``matrix.store_unwritable``, and as :meth:`call` does.
        """
        olm = self.machine
        if olm.account.shared and one_time_keys_on_server is None:
            return
        olm.uploaded_key_count = one_time_keys_on_server or 0
        low = not olm.account.shared or olm.uploaded_key_count <= ONE_TIME_KEYS_LOW
        if not low and not self.fallback_key_used:
            return
        with olm.together():
            content: JsonObject = olm.share_keys() if low else {}
            if not olm.account.shared or self.fallback_key_used:
                content["fallback_keys"] = olm.fresh_fallback_key()
            olm.save_account()
        await self.call("POST", path("keys", "upload"), content)
        with olm.together():
            olm.account.shared = True
            olm.mark_keys_as_published()
            olm.save_account()
        self.fallback_key_used = False

    async def claim_keys(self, devices: Mapping[str, Sequence[str]]) -> frozenset[str]:
        """Start Olm sessions with ``devices`` (user id → device ids); those without a key are left out.

        Returns the names of other servers that could not be asked.
        """
        every = ((user, name) for user, names in devices.items() for name in names)
        silent: set[str] = set()
        while some := list(islice(every, CLAIMED_AT_ONCE)):
            wanted: dict[str, JsonObject] = {}
            for user, name in some:
                wanted.setdefault(user, {})[name] = "signed_curve25519"
            answer = await self.call("POST", path("keys", "claim"), {"one_time_keys": wanted})
            self._take_in_claimed(answer.get("one_time_keys"))
            failures = answer.get("failures")
            silent.update(failures if isinstance(failures, dict) else ())
        return frozenset(silent)

    def _take_in_claimed(self, claimed: object) -> None:
        """Start a session with each key, all in one write."""
        with self.machine.together():
            for user_id, keys in claimed.items() if isinstance(claimed, dict) else ():
                for device_id, key in keys.items() if isinstance(keys, dict) else ():
                    # A hostile server's malformed key for one device must not cost the others theirs.
                    try:
                        one = KeysClaimResponse.from_dict(
                            {"one_time_keys": {user_id: {device_id: key}}, "failures": {}}
                        )
                        if isinstance(one, KeysClaimResponse):
                            self.machine.handle_response(one)
                    except PeeweeException:
                        raise
                    except Exception as fault:
                        log.warning("keys_claim.malformed", reason=type(fault).__name__)

    async def room_send(self, *_: Any, **__: Any) -> NoReturn:
        """Closed: nio's own sending may fall back to plaintext. Use ``outbound.Outbound.send``."""
        raise NotImplementedError("send through hub.matrix.outbound")

    async def sync_forever(self, *_: Any, **__: Any) -> NoReturn:
        """Closed: nio's own loop forgets the gaps. Use ``inbound``."""
        raise NotImplementedError("sync through hub.matrix.inbound")
