"""Files that are written whole or not at all, and that only their owner reads."""

from __future__ import annotations

import os
from pathlib import Path


def private_folder(path: Path) -> None:
    """Make it, or close it to others."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write(path: Path, text: str) -> None:
    """Replace its content at once: a crash half-way must not leave an empty secret, which all know."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def write_once(path: Path, text: str) -> None:
    """Keep what is there, and close it to others."""
    if path.exists():
        path.chmod(0o600)
    else:
        write(path, text)
