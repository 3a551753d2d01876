"""What a running hub says of itself to whoever starts beside it: ``ready.json`` in the data folder.

No secret is in it. It names the process that wrote it, so that a file left behind by a kill is known as such.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hub.lease import Holder


@dataclass(frozen=True)
class Practice:
    """The partner that runs beside the hub's homeserver: its base address and its name."""

    homeserver: str
    server_name: str


@dataclass(frozen=True)
class Ready:
    """Where everything is. ``homeserver`` and ``web`` are base addresses, ``accounts`` the path of a file."""

    homeserver: str
    server_name: str
    hub: str
    web: str
    accounts: str
    practice: Practice | None = None

    def homeserver_of(self, user_id: str) -> str | None:
        """Where this person signs in; None when their homeserver is not one of those that run here."""
        server_name = user_id.partition(":")[2]
        if server_name == self.server_name:
            return self.homeserver
        if self.practice is not None and server_name == self.practice.server_name:
            return self.practice.homeserver
        return None

    def facts(self) -> dict[str, Any]:
        """As JSON; ``practice`` only where there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def line(self) -> str:
        """The line that tells a program which waits for it."""
        return f"READY {json.dumps(self.facts())}"


@contextmanager
def announced(folder: Path, ready: Ready) -> Iterator[None]:
    """Announce for a block."""
    path = folder / "ready.json"
    path.write_text(json.dumps({**ready.facts(), "holder": str(Holder.of(os.getpid()))}) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def found(folder: Path) -> Ready | None:
    """What the hub of this folder announced; None when none runs."""
    try:
        kept = json.loads((folder / "ready.json").read_text())
        holder = Holder.parse(kept.pop("holder"))
        practice = Practice(**kept.pop("practice")) if "practice" in kept else None
        return None if holder.dead else Ready(**kept, practice=practice)
    except (OSError, ValueError, TypeError, KeyError):
        return None
