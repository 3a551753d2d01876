"""What surrounds every request: security headers, error pages with a reference, an access log without
words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from hub import errors
from hub.config import Settings
from hub.observe import Log, report
from hub.web.shell import SHELL

log = Log(__name__)

REFERENCE = "X-Reference"

HEADERS = {
    # Nothing from elsewhere, no script, no frame around us, and no page tells the next where it came from.
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
_SENTENCES = {404: "web.not_found", 405: "web.not_allowed", 413: "web.too_large"}


def headers(settings: Settings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Puts the headers on every answer, on those of aiohttp too; what a page sets itself stays."""
    chosen = dict(HEADERS)
    if settings.public_url().startswith("https://"):
        chosen["Strict-Transport-Security"] = "max-age=31536000"

    async def on_response_prepare(_: web.Request, response: web.StreamResponse) -> None:
        for header, value in chosen.items():
            response.headers.setdefault(header, value)
        response.headers["Server"] = "Parcours"  # instead of the versions of Python and aiohttp

    return on_response_prepare


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever fails becomes a page with a sentence that says what to do, and a reference."""
    try:
        return await handler(request)
    except errors.Refusal as refusal:
        return _error_page(request, 403, refusal.code, errors.reference(), refusal.facts)
    except web.HTTPException as answer:
        if answer.status < 400:
            raise
        sentence = _SENTENCES.get(answer.status, "web.bad_request")
        page = _error_page(request, answer.status, sentence, errors.reference())
        if "Allow" in answer.headers:
            page.headers["Allow"] = answer.headers["Allow"]
        return page
    except Exception as error:  # the last one who can turn it into a sentence
        return _error_page(request, 500, "web.fault", report(error, log))


def _error_page(
    request: web.Request, status: int, sentence: str, reference: str, facts: object = None
) -> web.Response:
    page = request.app[SHELL].page(
        request,
        "error.html",
        status=status,
        sentence=sentence,
        sentence_facts=facts or {},
        reference=reference,
    )
    page.headers[REFERENCE] = reference
    return page
