"""Faults: one line in the log and, where the operator wants it, one report to Sentry, under the same
reference.

A report is built anew from what is known to be wordless, so whatever the SDK adds tomorrow stays out: no
message of an exception, no local variable, no argument, no request, no name of the machine or of a person.
"""

from __future__ import annotations

from typing import Any, cast

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.transport import Transport
from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint

from hub import errors
from hub.config import Errors as ErrorSettings
from hub.observe.logs import Log, is_code

_FRAME = ("filename", "function", "module", "lineno", "in_app")
_MECHANISM = ("type", "handled", "exception_id", "parent_id", "is_exception_group")


def report(error: BaseException, log: Log, *, reference: str | None = None) -> str:
    """Log a fault and send it to Sentry if that is set up; returns the reference that people may be shown."""
    reference = reference or errors.reference()
    log.error("fault.raised", error, reference=reference)
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("reference", reference)
        sentry_sdk.capture_exception(error)
    return reference


def setup_reports(settings: ErrorSettings, *, release: str, transport: Transport | None = None) -> None:
    """Start Sentry's SDK when a DSN is set; without one no report leaves. ``transport`` is for tests."""
    if settings.dsn is None:
        return
    integrations: list[Integration] = [DedupeIntegration(), AtexitIntegration(callback=lambda *_: None)]
    sentry_sdk.init(
        dsn=settings.dsn.get_secret_value(),
        environment=settings.environment,
        release=release,
        transport=transport,
        before_send=_before_send,
        before_breadcrumb=_before_breadcrumb,
        before_send_transaction=lambda *_: None,
        default_integrations=False,  # they hook the logs, the arguments of the process and the HTTP client
        auto_enabling_integrations=False,
        integrations=integrations,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        server_name="parcours",
        auto_session_tracking=False,
        send_client_reports=False,
        debug=False,
        spotlight=False,
    )


def _before_send(event: Event, hint: Hint) -> Event | None:
    hint.pop("attachments", None)
    given = cast(dict[str, Any], event)
    reference = str((given.get("tags") or {}).get("reference", "-"))
    exceptions = (given.get("exception") or {}).get("values", ())
    kept = _only(given, ("event_id", "timestamp", "level", "platform", "environment", "release"))
    kept["server_name"] = "parcours"
    kept["tags"] = {"reference": reference}
    kept["exception"] = {"values": [_exception(value, reference) for value in exceptions]}
    kept["breadcrumbs"] = given.get("breadcrumbs") or {}  # each went through _before_breadcrumb
    return cast(Event, kept)


def _exception(value: dict[str, Any], reference: str) -> dict[str, Any]:
    frames = ((value.get("stacktrace") or {}).get("frames")) or ()
    return {
        "type": value.get("type"),
        "module": value.get("module"),
        "value": reference,
        "mechanism": _only(value.get("mechanism") or {}, _MECHANISM),
        "stacktrace": {"frames": [_only(frame, _FRAME) for frame in frames]},
    }


def _before_breadcrumb(crumb: Breadcrumb, hint: BreadcrumbHint) -> Breadcrumb | None:
    """A crumb is a code and when; its data, and any sentence, stay."""
    if not is_code(crumb.get("message")):
        return None
    return _only(crumb, ("type", "category", "level", "timestamp", "message"))


def _only(given: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: given[key] for key in keys if key in given}
