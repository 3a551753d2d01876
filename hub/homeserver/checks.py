"""Values that cannot work are refused before anything is written, with a sentence that says what would."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from hub.errors import OperatorError

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SERVER_NAME = re.compile(rf"({_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{{1,5}}))?", re.ASCII)


def check_server_name(name: str) -> None:
    """What may stand after the colon of a user id; capitals would make two names of one."""
    match = _SERVER_NAME.fullmatch(name)
    if match is None or len(name) > 230 or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise OperatorError("homeserver.server_name", name=name)


def check_port(port: int) -> None:
    """A TCP port that can be listened on."""
    if not 0 < port < 65536:
        raise OperatorError("homeserver.port", port=str(port))


def check_address(host: str) -> None:
    """An IP address: a name could come to mean another interface."""
    if not is_address(host):
        raise OperatorError("homeserver.address", host=host)


def is_address(host: str) -> bool:
    """Numbers, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """This computer: loopback, or the folder of a Unix socket."""
    return (
        host == "localhost"
        or host.startswith("/")
        or (is_address(host) and ipaddress.ip_address(host).is_loopback)
    )


def check_public_url(url: str) -> None:
    """HTTPS; plain HTTP would show passwords and tokens to the network, so it is for this computer alone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise OperatorError("homeserver.public_url", url=url) from None
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_local(host))
    if "@" in parts.netloc:  # a password does not belong there, nor in the sentence that says so
        raise OperatorError("homeserver.public_url", url=url.replace(parts.netloc, "…", 1))
    if not host or not secure or parts.query or parts.fragment:
        raise OperatorError("homeserver.public_url", url=url)
