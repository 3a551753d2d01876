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

from hub.lease import Holder


@dataclass(frozen=True)
class Ready:
    """Where everything is. ``homeserver`` and ``web`` are base addresses, ``accounts`` the path of a file."""

    homeserver: str
    server_name: str
    hub: str
    web: str
    accounts: str

    def line(self) -> str:
        """The line that tells a program which waits for it."""
        return f"READY {json.dumps(asdict(self))}"


@contextmanager
def announced(folder: Path, ready: Ready) -> Iterator[None]:
    """Announce for a block."""
    path = folder / "ready.json"
    path.write_text(json.dumps({**asdict(ready), "holder": str(Holder.of(os.getpid()))}) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def found(folder: Path) -> Ready | None:
    """What the hub of this folder announced; None when none runs."""
    try:
        kept = json.loads((folder / "ready.json").read_text())
        holder = Holder.parse(kept.pop("holder"))
        return None if holder.dead else Ready(**kept)
    except (OSError, ValueError, TypeError, KeyError):
        return None
