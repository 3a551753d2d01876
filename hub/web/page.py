"""What a feature hands over to have a page."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp.typedefs import Handler


@dataclass(frozen=True)
class Page:
    """``path`` as aiohttp writes it, such as ``/r/{token}``. A fault of ``handler`` becomes an error page."""

    method: str
    path: str
    handler: Handler
