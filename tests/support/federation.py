"""A hospital with the hub, a city practice that federates with it, and a third server that nobody let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from hub import wiring
from hub.care.directory import service as directory
from hub.care.directory.model import Role
from hub.delivery.relay import now
from hub.homeserver.federated import PRACTICE, Neighbours
from hub.homeserver.link import Link
from tests.support.hub import in_own_task, settings
from tests.support.synapse import TestHomeserver, free_port

HOSPITAL, OUTSIDER = "hopital.localhost", "intrus.localhost"


@dataclass(frozen=True)
class Federation:
    """All are on one link and certified by one authority: only the lists keep the outsider out.

    Its own list names both others, so that whatever it does not get was refused to it.
    """

    link: Link
    tls_ports: dict[str, int]
    hospital: TestHomeserver
    practice: TestHomeserver
    outsider: TestHomeserver
    hub: wiring.Running

    @property
    def hub_id(self) -> str:
        return self.hub.member.user_id

    async def enrol(self, user_id: str, role: Role = Role.PROFESSIONAL) -> None:
        """Introduce somebody to the hub, from whichever server."""
        async with self.hub.db.transaction() as tx:
            await directory.enrol(tx, user_id, role, user_id[1:].partition("-")[0].capitalize(), now())
        await self.hub.roles.publish()

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """No way between the servers for a block: open connections break, new ones are refused."""
        await self.link.stop()
        try:
            yield
        finally:
            await self.link.start()

    @asynccontextmanager
    async def impersonated(self, server_name: str, port: int) -> AsyncIterator[None]:
        """For a block, who asks for that server is led to this port."""
        async with self.cut():
            self.link.know(server_name, port)
        try:
            yield
        finally:
            async with self.cut():
                self.link.know(server_name, self.tls_ports[server_name])


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Federation]:
    """Everything up; down again in the end."""
    partners = {
        HOSPITAL: (PRACTICE,),
        PRACTICE: (HOSPITAL,),
        OUTSIDER: (HOSPITAL, PRACTICE),
    }
    # The hospital's hub, and on each server the account that enrols people as a hub would.
    hubs = (f"@parcours:{HOSPITAL}", *(f"@inscriptions:{name}" for name in partners))
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link())
        neighbours, tls_ports = Neighbours(link), {name: free_port() for name in partners}
        servers = [
            neighbours.homeserver(folder / name, free_port(), name, tls_ports[name], spoken_to, hubs=hubs)
            for name, spoken_to in partners.items()
        ]
        for server in servers:
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        hospital, practice, outsider = [await TestHomeserver.of(server) for server in servers]
        chosen = settings(hospital, folder / "hub", "parcours")
        hub = await stack.enter_async_context(wiring.running(chosen, lambda step: None))
        yield Federation(link, tls_ports, hospital, practice, outsider, hub)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def federation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Federation]:
    """Shared by all tests: use rooms and people of your own."""
    async with in_own_task(started(tmp_path_factory.mktemp("federation"))) as federation:
        yield federation
