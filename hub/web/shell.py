"""The frame of every HTML answer: the reader's language, the sentences, the style sheet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hub.config import Settings
from hub.locale import Language
from hub.locale.render import render

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGES = {Language.FR: "Français", Language.EN: "English"}
"""Each under its own name: whoever looks for it cannot read the page yet."""
STYLES = Path(__file__).parents[2] / "clients" / "web"


@dataclass(frozen=True)
class Asset:
    """A file served for ever under a name that changes with its content."""

    name: str
    content: bytes
    content_type: str


def _assets(folder: Path) -> dict[str, Asset]:
    types = {".css": "text/css", ".svg": "image/svg+xml"}
    found = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in types:
            content = file.read_bytes()
            name = f"{file.stem}.{hashlib.sha256(content).hexdigest()[:16]}{file.suffix}"
            found[file.name] = Asset(name, content, types[file.suffix])
    return found


@dataclass(frozen=True)
class Shell:
    """Renders templates of ``hub/web/templates`` for the reader of a request."""

    settings: Settings
    assets: Mapping[str, Asset] = field(default_factory=lambda: _assets(STYLES))
    templates: Environment = field(
        default_factory=lambda: Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
    )

    def language(self, request: web.Request) -> Language:
        """``?lang=``, else the browser's wish, else the operator's choice."""
        known = {language.value: language for language in Language}
        asked = request.query.get("lang", "")
        wished = (tag.partition("-")[0] for tag in _accepted(request.headers.get("Accept-Language", "")))
        return next(
            (known[tag] for tag in (asked, *wished) if tag in known), Language.of(self.settings.language)
        )

    def page(
        self, request: web.Request, template: str, *, status: int = 200, **facts: object
    ) -> web.Response:
        """The template, filled in; in it ``say(key, …)`` is a sentence and ``asset(file)`` an address."""
        language = self.language(request)

        def say(key: str, **given: object) -> Markup:
            return Markup(render(language, key, given).formatted_body)  # noqa: S704 facts come out of it escaped

        text = self.templates.get_template(template).render(
            facts, language=language.value, languages=LANGUAGES, say=say, asset=self.address
        )
        response = web.Response(text=text, content_type="text/html", status=status)
        response.headers["Content-Language"] = language.value
        response.headers["Vary"] = "Accept-Language"
        return response

    def address(self, file: str) -> str:
        """Where a file of ``clients/web`` is served."""
        return f"/static/{self.assets[file].name}"

    async def static(self, request: web.Request) -> web.Response:
        """A file by the name that its content gives it; browsers need never ask again."""
        for asset in self.assets.values():
            if asset.name == request.match_info["name"]:
                return web.Response(
                    body=asset.content,
                    content_type=asset.content_type,
                    charset="utf-8",
                    headers={"Cache-Control": "public, max-age=31536000, immutable"},
                )
        raise web.HTTPNotFound


def _accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, dearest first."""

    def weight(part: str) -> float:
        try:
            return float(part.partition(";q=")[2] or 1)
        except ValueError:
            return 0.0

    parts = [part.strip().lower() for part in header[:500].split(",")]
    return [part.partition(";")[0] for part in sorted(parts, key=weight, reverse=True) if weight(part) > 0]


SHELL = web.AppKey("shell", Shell)
