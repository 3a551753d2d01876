"""A canary goes in everywhere; logs, metrics and reports come out without it."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import sentry_sdk
from pydantic import SecretStr
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from hub.config import Errors
from hub.config import Log as LogSettings
from hub.observe import Log, Metrics, report, setup_logging, setup_reports

CANARY = "canari jaune sous la pluie"
TOKEN = "syt_Y2FuYXJp_QWxwaGFCZXRh_1a2b3c"


class Captured(Transport):
    """Keeps what would have gone over the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def text(self) -> str:
        return "\n".join(envelope.serialize().decode() for envelope in self.envelopes)

    def events(self) -> list[dict[str, object]]:
        return [event for envelope in self.envelopes if (event := envelope.get_event())]  # type: ignore[misc]


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """The process's logs, set up as in production, as a text stream; everything is put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook
    setup_logging(LogSettings(format="json", level="INFO"), stream)
    yield stream
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    root.handlers[:], level, sys.excepthook, threading.excepthook, sys.unraisablehook = before
    root.setLevel(level)


@pytest.fixture
def reports() -> Iterator[Captured]:
    transport = Captured()
    setup_reports(Errors(dsn=SecretStr("https://key@sentry.example/1")), release="0", transport=transport)
    yield transport
    sentry_sdk.get_global_scope().set_client(None)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail_deeply(word: str) -> None:
    """Raise a group of a failure and its cause; the word is in messages, paths, notes and locals."""
    kept_in_a_local = {"body": word}
    try:
        raise ValueError(f"could not read {kept_in_a_local}")
    except ValueError as error:
        refused = PermissionError(13, word, f"/care/{word}")
        refused.__cause__ = error
        group = ExceptionGroup(word, [refused, ExceptionGroup(word, [TypeError(word)])])
        group.add_note(word)
        raise group from RuntimeError(word)


def failure() -> Exception:
    try:
        fail_deeply(CANARY)
    except ExceptionGroup as error:
        return error
    raise AssertionError


def test_a_log_line_is_a_code_and_its_fields(logged: io.StringIO) -> None:
    Log("hub.matrix.sync").info("sync.started", account="@parcours:chu.example", ms=12)
    [line] = lines(logged)
    assert line["logger"] == "hub.matrix.sync"
    assert line["code"] == "sync.started"
    assert line["account"] == "@parcours:chu.example"
    assert line["ms"] == 12


def test_text_lines_read_well(logged: io.StringIO) -> None:
    stream = io.StringIO()
    setup_logging(LogSettings(format="text"), stream)
    Log("hub.flow").warning("inbox.parked", room="!a:b", attempt=3)
    Log("hub.flow").error("fault.raised", failure(), reference="7F3K-2MQX")
    first, second, *trace = stream.getvalue().splitlines()
    assert first.endswith("WARNING hub.flow inbox.parked attempt=3 room=!a:b")
    assert second.endswith("ERROR   hub.flow fault.raised reference=7F3K-2MQX")
    assert trace[0].strip() == "builtins.ExceptionGroup"
    assert any(f"{__name__}:" in place and "fail_deeply" in place for place in trace)
    assert CANARY not in stream.getvalue()


def test_words_never_reach_a_log(logged: io.StringIO) -> None:
    ours = logging.getLogger("hub.careless")
    ours.warning(CANARY)
    ours.warning("careless.args %s", CANARY)
    ours.warning("careless.extra", extra={"fields": {"room": CANARY, "body": CANARY, "sender": [CANARY]}})
    ours.error("careless.error", exc_info=failure())
    Log("hub.careless").error("fault.raised", failure(), reference="7F3K-2MQX")
    assert "canari" not in logged.getvalue()
    assert [line["code"] for line in lines(logged)] == [
        "log.without_code",
        "log.without_code",
        "careless.extra",
        "careless.error",
        "fault.raised",
    ]
    assert lines(logged)[2]["room"] == "…"


def test_every_cause_is_named_by_its_type_and_place(logged: io.StringIO) -> None:
    Log("hub.flow").error("fault.raised", failure())
    trace = "\n".join(str(place) for place in lines(logged)[0]["trace"])  # type: ignore[attr-defined]
    for name in ("ExceptionGroup", "PermissionError", "RuntimeError", "TypeError", "ValueError"):
        assert f"builtins.{name}" in trace


def test_libraries_speak_only_what_their_source_says(logged: io.StringIO) -> None:
    library = logging.getLogger("some.library")
    library.warning("Timed out")
    library.warning("Room %s has %d unknown devices of %s", "!r:hs", 3, CANARY)
    library.warning("Got %(event)s", {"event": CANARY})
    library.warning(f"Bad event {CANARY} {TOKEN}")
    library.error("GET https://hs/_matrix?access_token=%s -> %d", TOKEN, TOKEN)
    library.error("Failed: %s", failure(), exc_info=failure())
    library.info("Not even this")
    said = [line["said"] for line in lines(logged)]
    assert said[:3] == ["Timed out", "Room !r:hs has 3 unknown devices of …", "Got %(event)s"]
    assert said[3] == "…"
    assert said[5] == "Failed: ExceptionGroup"
    assert len(said) == 6
    assert "canari" not in logged.getvalue()
    assert TOKEN not in logged.getvalue()


def test_uncaught_exceptions_and_warnings_are_wordless_too(logged: io.StringIO) -> None:
    sys.excepthook(ExceptionGroup, failure(), None)
    thread = threading.Thread(target=fail_deeply, args=(CANARY,))
    thread.start()
    thread.join()
    warnings.warn(CANARY, stacklevel=1)
    codes = [line["code"] for line in lines(logged)]
    assert codes == ["fault.uncaught", "fault.uncaught", "library.said"]
    assert "canari" not in logged.getvalue()


def test_a_report_names_types_places_and_the_reference_only(
    reports: Captured, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["parcours", CANARY])
    scope = sentry_sdk.get_isolation_scope()
    scope.set_user({"id": CANARY})
    scope.set_extra("body", CANARY)
    scope.set_context("room", {"topic": CANARY})
    scope.set_tag("patient", CANARY)
    scope.add_attachment(bytes=CANARY.encode(), filename="body.txt")
    logging.getLogger("hub.care").error("careless %s", CANARY)
    sentry_sdk.add_breadcrumb(message=CANARY, category="chat")
    sentry_sdk.add_breadcrumb(message="inbox.claimed", data={"body": CANARY, "url": f"/a?q={CANARY}"})

    reference = report(failure(), Log("hub.flow"))

    [event] = reports.events()
    text = reports.text()
    assert "canari" not in text
    assert "canari" not in json.dumps(text, ensure_ascii=True)
    assert reference in text
    assert event["server_name"] == "parcours"
    values = event["exception"]["values"]  # type: ignore[index]
    assert {value["type"] for value in values} >= {"PermissionError", "TypeError", "ValueError"}
    assert {value["value"] for value in values} == {reference}
    frames = [frame for value in values for frame in value["stacktrace"]["frames"]]
    assert "fail_deeply" in {frame["function"] for frame in frames}
    assert not any("vars" in frame or "context_line" in frame for frame in frames)
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["inbox.claimed"]  # type: ignore[index]
    assert f'"reference": "{reference}"' in logged.getvalue()


def test_a_report_of_a_request_tells_no_url(reports: Captured) -> None:
    sentry_sdk.capture_event(
        {
            "message": CANARY,
            "logentry": {"message": CANARY, "params": [CANARY]},
            "request": {"url": f"https://x/{CANARY}", "query_string": CANARY, "data": CANARY},
        }
    )
    assert len(reports.events()) == 1
    assert "canari" not in reports.text()


def test_traces_are_not_sent(reports: Captured) -> None:
    with sentry_sdk.start_transaction(name=CANARY, sampled=True):
        pass
    assert reports.envelopes == []


def test_without_a_dsn_nothing_is_reported(logged: io.StringIO) -> None:
    setup_reports(Errors(), release="0")
    reference = report(failure(), Log("hub.flow"))
    assert reference in logged.getvalue()
    assert not sentry_sdk.get_client().is_active()


def test_metrics_are_on_their_own_registry() -> None:
    one, other = Metrics.create(), Metrics.create()
    one.events.labels("done").inc()
    one.inbox_depth.labels("@parcours:chu.example").set(3)
    one.command_seconds.labels("aide").observe(0.02)
    text = one.exposition().decode()
    assert 'parcours_events_total{outcome="done"} 1.0' in text
    assert 'parcours_inbox_depth{account="@parcours:chu.example"} 3.0' in text
    assert 'parcours_command_seconds_count{command="aide"} 1.0' in text
    assert 'outcome="done"' not in other.exposition().decode()
