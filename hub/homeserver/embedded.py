"""One Synapse as a child of the hub, for a laptop, a demonstration, a small practice, and every test."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import Process
from pathlib import Path

from hub.errors import OperatorError
from hub.homeserver import child, pidfile
from hub.homeserver.render import Rendered, render
from hub.homeserver.values import HomeserverValues, Loopback


class EmbeddedHomeserver:
    """``await start()``, use ``url``, ``await stop()``. Its data stays; its process does not outlive ours."""

    def __init__(
        self,
        data_dir: Path,
        port: int,
        server_name: str,
        *,
        host: str = "127.0.0.1",
        public_url: str | None = None,
        partners: tuple[str, ...] = (),
        loopback: Loopback | None = None,
        hubs: tuple[str, ...] = (),
        professionals: tuple[str, ...] = (),
        patience: float = 90.0,
    ) -> None:
        """``patience``: seconds a start may take; the first makes the whole schema, maybe on a slow disk.

        Raises `OperatorError` for a server name, port, address or URL that cannot work.
        """
        data_dir = data_dir.absolute()
        self._values = HomeserverValues(
            server_name=server_name,
            config_dir=data_dir,
            data_dir=data_dir,
            port=port,
            host=host,
            public_url=public_url,
            federation_partners=partners,
            loopback=loopback,
            hubs=hubs,
            professionals=professionals,
        )
        self._patience = patience
        self._pidfile = data_dir / "homeserver.pid"
        self._files: Rendered | None = None
        self._process: Process | None = None

    @property
    def server_name(self) -> str:
        """What stands after the colon of its user ids."""
        return self._values.server_name

    @property
    def url(self) -> str:
        """Where the hub reaches it, without a slash at the end."""
        return self._values.local_url

    @property
    def registration_secret(self) -> str:
        """Lets its holder make accounts, administrators included. Readable once started."""
        return self._rendered.registration_secret

    @property
    def log(self) -> Path:
        """Where it says what goes wrong. Known once started."""
        return self._rendered.log

    async def start(self) -> None:
        """Return when clients can connect; nothing to do when it already runs.

        Raises `OperatorError`: ``homeserver.port_taken``, ``homeserver.failed`` (with the path of the log),
        ``homeserver.already_running``, ``homeserver.renamed``, ``homeserver.unwritable``.
        """
        if self._process is not None and self._process.returncode is None:
            return
        await asyncio.to_thread(pidfile.end_stale, self._pidfile, str(self._values.config_dir))
        self._refuse_taken_port()
        self._files = render("embedded", self._values)
        self._process = await child.spawn(
            "synapse.app.homeserver",
            *("-c", str(self._files.config), "--no-secrets-in-config"),
            cwd=self._values.data_dir,
            log=self._files.log,
        )
        try:
            pidfile.write(self._pidfile, self._process.pid)
            well = await child.answers(self._process, self.url, self._patience)
        except BaseException:  # cancelled while waiting: leave nothing behind
            await self.stop()
            raise
        if not well:
            await self.stop()
            raise OperatorError("homeserver.failed", log=str(self._files.log))

    async def stop(self) -> None:
        """Ask it to end, then make it. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            await child.end(process)
            self._pidfile.unlink(missing_ok=True)

    async def wait(self) -> int:
        """Return its exit status when it ends, however it ends; a supervisor's to call."""
        if self._process is None:
            raise RuntimeError("start() first")
        return await self._process.wait()

    @property
    def _rendered(self) -> Rendered:
        if self._files is None:
            raise RuntimeError("start() first")
        return self._files

    def _refuse_taken_port(self) -> None:
        """Synapse would say so too, but in a traceback, and after seconds."""
        for host, port in self._values.listening:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Synapse does
                try:
                    probe.bind((host, port))
                except OSError:
                    raise OperatorError("homeserver.port_taken", port=str(port)) from None
