"""matrix-nio's Olm machine, put right.

nio 0.26 loses room keys in a few places; each override below names the loss it closes. The database writes
of one sync are made in one transaction by the caller (:meth:`HubOlm.together`), so that a kill at any moment
leaves either all of a sync's keys or none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import vodozemac
from nio.api import Api
from nio.crypto import InboundGroupSession, OlmDevice, Session
from nio.crypto.olm_machine import Olm
from nio.events import RoomKeyEvent, UnknownToDeviceEvent
from nio.store import MatrixStore, MegolmInboundSessions
from peewee import PeeweeException
from unpaddedbase64 import encode_base64

from hub.errors import OperatorError
from hub.observe import Log

log = Log(__name__)

JsonObject = dict[str, Any]

SHARED_HISTORY = "m.shared_history"
SHARED_HISTORY_NAMES = frozenset({SHARED_HISTORY, "shared_history", "org.matrix.msc3061.shared_history"})
"""How ``m.room_key`` says that its session may be passed on to who is invited later. One name is sent,
that of today's clients: they take two of them for a field given twice, and drop the key."""


class DeviceKeys(Protocol):
    """A device to encrypt for, by any name that says who and which."""

    @property
    def user_id(self) -> str: ...
    @property
    def device_id(self) -> str: ...
    @property
    def ed25519(self) -> str: ...
    @property
    def curve25519(self) -> str: ...


def row_name(session: InboundGroupSession) -> str:
    """One session id may be known from several senders, and of several rooms: each copy is itself."""
    copy = hashlib.sha256(f"{session.room_id} {session.sender_key}".encode()).hexdigest()[:16]
    return f"{session.id} {copy}"


class HubOlm(Olm):
    """One device's Olm account, its Olm and Megolm sessions."""

    device_keys_object: Mapping[str, Any] | None = None
    """Our own signed device keys, sent inside every Olm message (``sender_device_keys``, spec v1.15)."""

    def __init__(self, user_id: str, device_id: str, store: MatrixStore) -> None:
        super().__init__(user_id, device_id, store)
        store.database.execute_sql(
            "CREATE TABLE IF NOT EXISTS shared_history"
            " (room_id TEXT, sender_key TEXT, session_id TEXT, PRIMARY KEY (room_id, sender_key, session_id))"
        )
        self.fresh_sessions: list[InboundGroupSession] = []
        """Received or made since the backup last looked."""
        self._ahead = False
        """Whether memory knows what the disk does not."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write everything of this block to the key store at once, or not at all.

        Raises OperatorError ``matrix.store_unwritable``.
        """
        try:
            if self._ahead:
                self._go_back()
            with self.store.database.atomic():
                yield
        except BaseException as fault:
            # Memory is ahead of what was written: go back to the disk's state, so that a repetition succeeds;
            # at once, or, when it cannot even be read, before anything else is written.
            self._ahead = True
            with suppress(PeeweeException):
                self._go_back()
            if isinstance(fault, PeeweeException):
                raise OperatorError("matrix.store_unwritable", path=self.store.store_path) from fault
            raise

    def _go_back(self) -> None:
        self.load()
        kept = self.store.load_account()
        if kept is not None:
            self.account = kept
        self._ahead = False

    def create_outbound_group_session(self, room_id: str) -> None:
        """A new room key, written down before it is used. Raises as :meth:`together` does."""
        try:
            with self.together():
                super().create_outbound_group_session(room_id)
        except BaseException:
            self.outbound_group_sessions.pop(room_id, None)
            raise

    def create_group_session(
        self, sender_key: str, sender_fp_key: str, room_id: str, session_id: str, session_key: str
    ) -> None:
        """Keep the session that starts lowest: a member may not replace it with one that reads less."""
        try:
            session = InboundGroupSession(session_key, sender_fp_key, sender_key, room_id)
        except (vodozemac.SessionKeyDecodeException, ValueError):
            log.warning("room_key.malformed")
            return
        if session.id != session_id:
            log.warning("room_key.mismatched_session")
            return
        self.keep(session)

    def keep(self, session: InboundGroupSession) -> None:
        """Keep a session, unless we hold the same from an earlier message on."""
        known = self.inbound_group_store.get(session.room_id, session.sender_key, session.id)
        if known is not None and known.first_known_index <= session.first_known_index:
            return
        self.inbound_group_store._entries[session.room_id][session.sender_key][session.id] = session
        self.save_inbound_group_session(session)
        self.fresh_sessions.append(session)

    def save_inbound_group_session(self, session: InboundGroupSession) -> None:
        """Keep each copy of a session by itself.

        nio's table knows one row a session id: somebody who passes on another's session, shortened or under
        another room, would replace it there, to be found at the next start.
        """
        store, row = self.store, MegolmInboundSessions
        with store.database.bind_ctx(store.models):
            row.replace(
                sender_key=session.sender_key,
                account=store._get_account(),
                fp_key=session.ed25519,
                room_id=session.room_id,
                session=session.pickle(store.pickle_key),
                session_id=row_name(session),
            ).execute()

    def may_pass_on(self, room_id: str, sender_key: str, session_id: str) -> None:
        """The session's creator lets us show it to who is invited later."""
        self.store.database.execute_sql(
            "INSERT OR IGNORE INTO shared_history VALUES (?, ?, ?)", (room_id, sender_key, session_id)
        )

    def passed_on(self, room_id: str) -> set[tuple[str, str]]:
        """The (sender key, session id) of those that may be passed on."""
        rows = self.store.database.execute_sql(
            "SELECT sender_key, session_id FROM shared_history WHERE room_id = ?", (room_id,)
        )
        return set(rows.fetchall())

    def decrypt(self, sender: str, sender_key: str, message: Any) -> Any:
        """Save the account after a one-time key was used; survive a message that names an unknown one."""
        try:
            return super().decrypt(sender, sender_key, message)
        except (vodozemac.SessionCreationException, vodozemac.KeyException, ValueError):
            log.warning("olm.unknown_one_time_key")
            self._mark_device_for_unwedging(sender, sender_key)
            return None
        finally:
            self.save_account()

    def _handle_room_key_event(self, sender: str, sender_key: str, payload: JsonObject) -> Any:
        """Keep what nio forgets of a room key: whether it may be passed on."""
        event = super()._handle_room_key_event(sender, sender_key, payload)
        content = payload["content"]
        marked = any(content.get(name) is True for name in SHARED_HISTORY_NAMES)
        if marked and isinstance(event, RoomKeyEvent) and event.algorithm in self._algorithms:
            self.may_pass_on(event.room_id, sender_key, event.session_id)
        return event

    def _handle_olm_event(self, sender: str, sender_key: str, payload: JsonObject) -> Any:
        """Surface the Olm events that nio drops (secrets, key bundles) instead of losing them."""
        if payload["type"] in ("m.room_key", "m.forwarded_room_key", "m.dummy"):
            return super()._handle_olm_event(sender, sender_key, payload)
        return UnknownToDeviceEvent(payload, sender, payload["type"])

    def _olm_encrypt(
        self, session: Session, recipient_device: OlmDevice, message_type: str, content: JsonObject
    ) -> JsonObject:
        payload: JsonObject = {
            "sender": self.user_id,
            "sender_device": self.device_id,
            "keys": {"ed25519": self.account.identity_keys["ed25519"]},
            "recipient": recipient_device.user_id,
            "recipient_keys": {"ed25519": recipient_device.ed25519},
            "type": message_type,
            "content": content,
        }
        if self.device_keys_object is not None:
            payload["sender_device_keys"] = self.device_keys_object
        kind, ciphertext = session.encrypt(Api.to_json(payload)).to_parts()
        self.store.save_session(recipient_device.curve25519, session)
        return {
            "algorithm": self._olm_algorithm,
            "sender_key": self.account.identity_keys["curve25519"],
            "ciphertext": {
                recipient_device.curve25519: {"type": kind, "body": encode_base64(ciphertext)},
            },
        }

    def encrypt_to(self, device: DeviceKeys, message_type: str, content: JsonObject) -> JsonObject:
        """An Olm message for a device with which a session is open. The session is saved; send it once."""
        session = self.session_store.get(device.curve25519)
        keys = {"ed25519": device.ed25519, "curve25519": device.curve25519}
        recipient = OlmDevice(device.user_id, device.device_id, keys)
        return self._olm_encrypt(session, recipient, message_type, content)

    def inbound_sessions(self, room_id: str, session_id: str) -> list[InboundGroupSession]:
        """Everything received under this session id: ``sender_key`` beside it in an event proves nothing,
        and a member may have passed on somebody else's session as his own."""
        by_sender = self.inbound_group_store[room_id].values()
        return [sessions[session_id] for sessions in by_sender if session_id in sessions]

    def all_inbound_sessions(self) -> Iterator[InboundGroupSession]:
        """Every Megolm session that we can read with."""
        for by_sender in self.inbound_group_store._entries.values():
            for sessions in by_sender.values():
                yield from sessions.values()

    def fresh_fallback_key(self) -> JsonObject:
        """A new signed fallback key for ``/keys/upload``, so that a drained pool never makes us deaf."""
        account = self.account._account
        if not account.fallback_key:  # one that did not get published yet is still the one to publish
            account.generate_fallback_key()
        signed: JsonObject = {}
        for key_id, key in account.fallback_key.items():
            body: JsonObject = {"key": key.to_base64(), "fallback": True}
            body["signatures"] = {self.user_id: {f"ed25519:{self.device_id}": self.sign_json(body)}}
            signed[f"signed_curve25519:{key_id}"] = body
        return signed
