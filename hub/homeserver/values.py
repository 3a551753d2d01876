"""What an operator may choose about a homeserver."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hub.errors import OperatorError
from hub.homeserver.checks import check_address, check_port, check_public_url, check_server_name, is_local
from hub.homeserver.workers import Worker, check_team


@dataclass(frozen=True)
class Postgres:
    """Where Synapse's database is.

    ``password`` goes to a file of its own, never into the configuration. ``authority`` is the file of the
    certificate authority to trust when the database is on another computer; "system" means this computer's.
    """

    database: str
    user: str
    password: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 5432
    authority: str = "system"

    def __post_init__(self) -> None:
        check_port(self.port)

    @property
    def local(self) -> bool:
        return is_local(self.host)


@dataclass(frozen=True)
class Redis:
    """How the processes of one homeserver hear of each other."""

    host: str = "127.0.0.1"
    port: int = 6379
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_port(self.port)


@dataclass(frozen=True)
class Loopback:
    """How homeservers of one computer federate, without reverse proxies that speak TLS for them.

    Synapse does so itself, on ``port``, with ``certificate`` and ``key``. ``authority`` is the file of the
    certificate authority that vouches for its partners. ``way_out`` is the address of the HTTP proxy that
    reaches them, and nobody else.
    """

    port: int
    certificate: Path
    key: Path
    authority: Path
    way_out: str


@dataclass(frozen=True)
class HomeserverValues:
    """One homeserver. ``config_dir`` holds configuration and secrets, ``data_dir`` media and logs.

    ``host`` is the address listened on: loopback, behind a reverse proxy that speaks TLS. ``public_url`` is
    where clients go; by default the address listened on. Only ``federation_partners`` are spoken to.
    ``hubs``: user ids of the hubs, partners' included; by default ``@parcours`` of this server.
    ``professionals``: user ids, beside those that a hub of this server lists: for a server without a hub.
    """

    server_name: str
    config_dir: Path
    data_dir: Path
    port: int = 8008
    host: str = "127.0.0.1"
    public_url: str | None = None
    federation_partners: tuple[str, ...] = ()
    loopback: Loopback | None = None
    hubs: tuple[str, ...] = ()
    professionals: tuple[str, ...] = ()
    metrics_port: int | None = None
    postgres: Postgres | None = None
    redis: Redis | None = None
    replication_port: int = 9093
    workers: tuple[Worker, ...] = ()

    def __post_init__(self) -> None:
        check_server_name(self.server_name)
        for partner in self.federation_partners:
            check_server_name(partner)
        check_address(self.host)
        check_team(self.workers)
        taken: set[tuple[str, int]] = set()
        for host, port in self.listening:
            check_port(port)
            if (host, port) in taken:
                raise OperatorError("homeserver.port_twice", port=str(port))
            taken.add((host, port))
        check_public_url(self.base_url)  # last: by default it is made of the others

    @property
    def local_url(self) -> str:
        """Where this computer reaches it, without a slash at the end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Where clients reach it, with a slash at the end."""
        return (self.public_url or self.local_url).rstrip("/") + "/"

    @property
    def behind_proxy(self) -> bool:
        """Synapse itself speaks plain HTTP: whoever promises HTTPS has a proxy in front."""
        return self.base_url.startswith("https:")

    @property
    def serves_own_name(self) -> bool:
        """https://server_name/ leads here, so partners need no other port."""
        if self.loopback is not None:
            return True
        return self.behind_proxy and urlsplit(self.base_url).netloc == self.server_name

    @property
    def resources(self) -> list[str]:
        """What the first listener serves: federation's paths exist only where partners come that way."""
        if self.federation_partners and self.loopback is None:
            return ["client", "federation"]
        return ["client"]

    @property
    def listening(self) -> list[tuple[str, int]]:
        """Every address and port that a process of it listens on."""
        own = [self.port, *([self.metrics_port] if self.metrics_port is not None else [])]
        if self.loopback is not None:
            own.append(self.loopback.port)
        if self.workers:
            own.append(self.replication_port)
        return [(self.host, port) for port in own] + [
            (worker.host, port) for worker in self.workers for port in worker.ports
        ]
