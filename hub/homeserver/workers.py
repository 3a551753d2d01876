"""One homeserver as several processes: who does what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import OperatorError
from hub.homeserver.checks import check_address, check_port

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")  # also the name of a file, and of a systemd unit


class Duty(StrEnum):
    """What only the processes named for it do. Any worker answers clients and partners; that is no duty."""

    EVENTS = "events"
    TYPING = "typing"
    TO_DEVICE = "to_device"
    ACCOUNT_DATA = "account_data"
    RECEIPTS = "receipts"
    PUSH_RULES = "push_rules"
    DEVICE_LISTS = "device_lists"
    FEDERATION_SENDER = "federation_sender"
    PUSHER = "pusher"
    BACKGROUND = "background"
    USER_DIRECTORY = "user_directory"
    APPSERVICE = "appservice"
    MEDIA = "media"


STREAMS = (
    Duty.EVENTS,
    Duty.TYPING,
    Duty.TO_DEVICE,
    Duty.ACCOUNT_DATA,
    Duty.RECEIPTS,
    Duty.PUSH_RULES,
    Duty.DEVICE_LISTS,
)
"""The duties that are writing a stream."""

_SHARED = {Duty.EVENTS, Duty.RECEIPTS, Duty.DEVICE_LISTS, Duty.FEDERATION_SENDER, Duty.PUSHER}
"""The duties that several workers may have (synapse/config/workers.py)."""


@dataclass(frozen=True)
class Worker:
    """One more process: ``port`` for the reverse proxy, ``replication_port`` for the other processes."""

    name: str
    port: int
    replication_port: int
    duties: frozenset[Duty] = frozenset()
    host: str = "127.0.0.1"
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in {"main", "master", "homeserver"}:
            raise OperatorError("homeserver.worker_name", name=self.name)
        check_address(self.host)
        for port in self.ports:
            check_port(port)

    @property
    def ports(self) -> list[int]:
        """Every port it listens on."""
        return [port for port in (self.port, self.replication_port, self.metrics_port) if port is not None]


def having(workers: Sequence[Worker], duty: str) -> list[str]:
    """The names of those who have this duty."""
    return [worker.name for worker in workers if duty in worker.duties]


def writers(workers: Sequence[Worker]) -> Mapping[str, list[str]]:
    """Stream to the names of its writers; a stream that is absent is the main process's."""
    streams = {stream.value: having(workers, stream) for stream in STREAMS}
    streams["quarantined_media_changes"] = having(workers, Duty.MEDIA)  # written where files are kept
    return {stream: names for stream, names in streams.items() if names}


def check_team(workers: Sequence[Worker]) -> None:
    """Refuse two workers of one name, and two holders of a duty that only one can have."""
    names = [worker.name for worker in workers]
    for name in names:
        if names.count(name) > 1:
            raise OperatorError("homeserver.worker_name", name=name)
    for duty in Duty:
        if duty not in _SHARED and len(having(workers, duty)) > 1:
            raise OperatorError("homeserver.worker_duty", duty=duty.value, workers=having(workers, duty))


def region(first_port: int = 8100) -> tuple[Worker, ...]:
    """A team to start from, for ten thousand people on one large host; 24 ports from ``first_port``.

    What people wait for (requests, events, keys) is split; what nobody waits for shares two processes.
    """
    team: tuple[tuple[str, set[Duty]], ...] = (
        ("client1", set()),
        ("client2", set()),
        ("events1", {Duty.EVENTS}),
        ("events2", {Duty.EVENTS}),
        ("keys", {Duty.TO_DEVICE, Duty.DEVICE_LISTS}),
        ("streams", {Duty.TYPING, Duty.RECEIPTS, Duty.ACCOUNT_DATA, Duty.PUSH_RULES}),
        ("outside", {Duty.FEDERATION_SENDER, Duty.PUSHER, Duty.APPSERVICE}),
        ("behind", {Duty.BACKGROUND, Duty.USER_DIRECTORY, Duty.MEDIA}),
    )
    return tuple(
        Worker(name, port, port + 1, frozenset(duties), metrics_port=port + 2)
        for (name, duties), port in zip(team, range(first_port, 65536, 3), strict=False)
    )
