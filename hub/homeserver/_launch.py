"""Between the hub and Synapse: ``python -m hub.homeserver._launch PARENT MODULE ARGUMENT…``.

Asks the kernel to kill this process when its parent dies, however the parent dies, then becomes
``python -m MODULE ARGUMENT…``. A module of its own rather than ``preexec_fn``, which is unsafe with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """SIGKILL, because a Synapse that hangs must not hold the port and the database; SQLite survives it."""
    if sys.platform != "linux":  # elsewhere the next start ends what is left (see ``embedded.py``)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked: the kernel will not tell us any more
        sys.exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.umask(0o077)  # database, media and logs are for their owner alone
    os.execv(sys.executable, [sys.executable, "-P", "-m", *sys.argv[2:]])  # noqa: S606 our own interpreter
