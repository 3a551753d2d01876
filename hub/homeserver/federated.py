"""Two homeservers on one computer that speak to each other and to nobody else: a hospital, a city practice.

As in the world outside: TLS on both ways, certificates that are checked, and on each side the list of those
spoken to. What is of this computer alone is the authority that signs (its key is never written down) and the
link between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trustme

from hub.errors import OperatorError
from hub.homeserver import files
from hub.homeserver.embedded import EmbeddedHomeserver
from hub.homeserver.link import Link
from hub.homeserver.values import Loopback

PRACTICE = "cabinet.localhost"


@asynccontextmanager
async def federated(
    data: Path, server_name: str, port: int, hub: str, staff: tuple[str, ...]
) -> AsyncIterator[tuple[EmbeddedHomeserver, EmbeddedHomeserver]]:
    """The hospital's homeserver on ``port`` and the practice's on the next but one, both started.

    ``hub`` is the hospital's; the practice has none, so its ``staff`` is listed in its configuration.
    The hospital's folder and name are those it has alone: it can be federated later on. Raises as
    `EmbeddedHomeserver.start` does.
    """
    async with AsyncExitStack() as stack:
        neighbours = Neighbours(await stack.enter_async_context(Link()))
        hospital = neighbours.homeserver(
            data / "homeserver", port, server_name, port + 3, (PRACTICE,), hubs=(hub,)
        )
        practice = neighbours.homeserver(
            data / "practice", port + 2, PRACTICE, port + 4, (server_name,), hubs=(hub,), professionals=staff
        )
        for server in (hospital, practice):
            stack.push_async_callback(server.stop)
        await asyncio.gather(hospital.start(), practice.start())
        yield hospital, practice


class Neighbours:
    """Homeservers of one computer: one authority vouches for them, one link joins them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._authority = trustme.CA(organization_name="Parcours")

    def homeserver(
        self,
        data_dir: Path,
        port: int,
        server_name: str,
        tls_port: int,
        partners: tuple[str, ...],
        *,
        hubs: tuple[str, ...],
        professionals: tuple[str, ...] = (),
    ) -> EmbeddedHomeserver:
        """One more, to be started: ``port`` is for its clients, ``tls_port`` for its partners.

        Raises `OperatorError` ``homeserver.unwritable``, and as `EmbeddedHomeserver` does.
        """
        folder = data_dir.absolute() / "tls"
        loopback = Loopback(
            port=tls_port,
            certificate=folder / "certificate.pem",
            key=folder / "key.pem",
            authority=folder / "authority.pem",
            way_out=self._link.url,
        )
        server = EmbeddedHomeserver(
            data_dir,
            port,
            server_name,
            partners=partners,
            loopback=loopback,
            hubs=hubs,
            professionals=professionals,
        )
        leaf = self._authority.issue_cert(server_name, organization_name="Parcours")
        try:
            files.private_folder(folder)
            for path, pem in (
                (loopback.authority, self._authority.cert_pem),
                (loopback.certificate, leaf.cert_chain_pems[0]),
                (loopback.key, leaf.private_key_pem),
            ):
                files.write(path, pem.bytes().decode())
        except OSError as error:
            raise OperatorError("homeserver.unwritable", path=error.filename or str(folder)) from error
        self._link.know(server_name, tls_port)
        return server
