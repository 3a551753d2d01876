"""Which homeservers there are: one at a configured address, one of our own, or two that are federated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from hub.care.directory.model import Role
from hub.config import Settings
from hub.errors import OperatorError
from hub.homeserver import accounts
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.homeserver.federated import PRACTICE, federated
from hub.terminal import cast


@dataclass(frozen=True)
class Homeserver:
    """The homeserver in use. ``registration_secret`` makes accounts; None where others make them."""

    url: str
    server_name: str
    registration_secret: str | None

    @classmethod
    def of(cls, server: EmbeddedHomeserver) -> Homeserver:
        """An embedded one that was started."""
        return cls(server.url, server.server_name, server.registration_secret)


@dataclass(frozen=True)
class Homeservers:
    """The hub's own, and its partner's where we run that too; the embedded one whose end is the hub's end."""

    own: Homeserver
    practice: Homeserver | None = None
    embedded: EmbeddedHomeserver | None = None


@asynccontextmanager
async def one(settings: Settings) -> AsyncIterator[Homeservers]:
    """The homeserver at the configured address, or an embedded one."""
    configured = settings.homeserver
    if configured.url is not None:
        yield Homeservers(Homeserver(configured.url, configured.server_name, registration_secret(settings)))
        return
    hub = f"@{settings.hub.localpart}:{configured.server_name}"
    server = EmbeddedHomeserver(
        settings.data / "homeserver", configured.port, configured.server_name, hubs=(hub,)
    )
    await server.start()
    try:
        yield Homeservers(Homeserver.of(server), embedded=server)
    finally:
        await server.stop()


@asynccontextmanager
async def hospital_and_practice(settings: Settings) -> AsyncIterator[Homeservers]:
    """Two embedded homeservers, federated; the hub's is the hospital's."""
    configured = settings.homeserver
    if configured.url is not None:
        raise OperatorError("federated.configured_url", url=configured.url)
    hub = f"@{settings.hub.localpart}:{configured.server_name}"
    staff = tuple(f"@{part.localpart}:{PRACTICE}" for part in cast.PRACTICE if part.role is Role.PROFESSIONAL)
    both = federated(settings.data, configured.server_name, configured.port, hub, staff)
    async with both as (hospital, practice):
        yield Homeservers(Homeserver.of(hospital), Homeserver.of(practice), hospital)


OpenHomeservers = Callable[[Settings], AbstractAsyncContextManager[Homeservers]]
"""Which homeservers there are: `one`, or `hospital_and_practice`."""


def registration_secret(settings: Settings) -> str | None:
    """What makes accounts on a homeserver that is not ours to start; None where others make them."""
    path = settings.homeserver.registration_secret_path
    if path is None:
        return None
    try:
        return path.read_text().strip()
    except OSError as fault:
        raise OperatorError("homeserver.secret_unreadable", path=str(path)) from fault


def embedded_secret(settings: Settings) -> str:
    """What makes accounts on the embedded homeserver of this data folder."""
    return (settings.data / "homeserver" / "secrets" / "registration").read_text().strip()


async def register(homeserver: Homeserver, person: cast.Credentials) -> str | None:
    """Make a person's account; None when the name is taken. Raises OperatorError ``account.no_secret``."""
    if homeserver.registration_secret is None:
        raise OperatorError("account.no_secret")
    return await accounts.register(
        homeserver.url,
        homeserver.registration_secret,
        person.localpart,
        person.password,
        display_name=person.display_name,
    )
