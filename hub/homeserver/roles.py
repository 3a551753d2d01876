"""Who is a professional, told to the policy: account data of the hub's own account (``policy.py`` says why).

It is written whole, from the directory as it stands: nothing has to be remembered or made up for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from hub.errors import OperatorError
from hub.homeserver import accounts
from hub.homeserver.rules import ROLES, listed
from hub.observe import Log

log = Log(__name__)

_LOOK_EVERY_SECONDS = 30.0


@dataclass
class PublishedRoles:
    """One hub's list. ``professionals`` reads the directory; ``token`` is the hub's own."""

    url: str
    user_id: str
    token: str = field(repr=False)
    professionals: Callable[[], Awaitable[Collection[str]]]
    _published: frozenset[str] | None = None

    async def publish(self) -> None:
        """Return once the homeserver has the directory as it is: to be called by whoever enrolled somebody.

        Two processes may do so at once. Each looks at the directory again after it wrote, so the last one to
        write has seen everything. Raises `OperatorError`, as `accounts` does.
        """
        self._published = None
        while (current := frozenset(await self.professionals())) != self._published:
            await accounts.set_account_data(
                self.url, self.token, self.user_id, ROLES, {"professionals": sorted(current)}
            )
            self._published = current

    async def listed(self) -> frozenset[str]:
        """Who is on the list now: what is left of a directory that was lost."""
        return listed(await accounts.get_account_data(self.url, self.token, self.user_id, ROLES))

    async def run(self) -> None:
        """Publish what others enrolled (the command line, a bridge); until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            try:
                if frozenset(await self.professionals()) != self._published:
                    await self.publish()
            except OperatorError as failed:
                log.warning("roles.not_published", reason=failed.code)
