"""Logs without words: an event code, ids, numbers, and where in the code.

    log = Log(__name__)
    log.info("sync.started", account=account, ms=12)

Nobody has to remember what must not be logged: a message that is no code is not printed, a field that is
not in :class:`Fields` neither, exceptions are printed without their messages, and what libraries say is
printed only as far as it stands in their source.
"""

from __future__ import annotations

import json
import linecache
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO, TypedDict, Unpack

from hub.config import Log as LogSettings

OURS = frozenset({"hub", "bots", "bridges"})
HIDDEN = "…"

_CODE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_WORD = re.compile(r"[\w@!$#&:.,+/=~*-]{1,255}")  # ids, codes, routes: no spaces, so no sentences
_MATRIX_ID = re.compile(r"[@!$#][\w.=/+:-]{1,254}")


class Fields(TypedDict, total=False):
    """Everything that a log line may carry beside its code. Ids, codes, counts and durations; never words."""

    account: str
    attempt: int
    bot: str
    command: str
    count: int
    depth: int
    device: str
    event: str
    host: str
    kind: str
    method: str
    ms: float
    outcome: str
    pid: int
    port: int
    reason: str
    reference: str
    room: str
    route: str
    row: int
    sender: str
    server: str
    session: str
    signal: str
    state: str
    status: int
    txn: str
    version: str


@dataclass(frozen=True)
class Log:
    """The only way in which the hub's own code logs."""

    name: str

    def debug(self, code: str, /, **fields: Unpack[Fields]) -> None:
        self._write(logging.DEBUG, code, fields)

    def info(self, code: str, /, **fields: Unpack[Fields]) -> None:
        self._write(logging.INFO, code, fields)

    def warning(self, code: str, /, **fields: Unpack[Fields]) -> None:
        self._write(logging.WARNING, code, fields)

    def error(self, code: str, /, error: BaseException | None = None, **fields: Unpack[Fields]) -> None:
        """With ``error``, its type and where it was raised are added, its causes' too."""
        self._write(logging.ERROR, code, fields, error)

    def _write(self, level: int, code: str, fields: Fields, error: BaseException | None = None) -> None:
        logging.getLogger(self.name).log(level, code, exc_info=error, extra={"fields": fields}, stacklevel=3)


def setup_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every log, warning and uncaught exception of the process through :class:`WordlessFormatter`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(WordlessFormatter(as_json=settings.format == "json"))
    handler.addFilter(lambda record: _is_ours(record) or record.levelno >= logging.WARNING)
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in OURS:
        logging.getLogger(package).setLevel(settings.level)
    # nio warns in sentences about what it then survives; what matters of it is logged by us, by code.
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a broken log call would print its arguments
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_value)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_value)


@contextmanager
def errors_heard(hear: Callable[[str], None]) -> Iterator[None]:
    """Give ``hear`` the reason of each error that we log in this block, for whoever puts it into words."""
    handler = _Ear(hear)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Ear(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        reason = getattr(record, "fields", {}).get("reason") if _is_ours(record) else None
        if isinstance(reason, str) and is_code(reason):
            self._hear(reason)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(KeyboardInterrupt, KeyboardInterrupt(), None)
    else:
        _log_uncaught(error)


def _log_uncaught(error: BaseException | None) -> None:
    Log("hub").error("fault.uncaught", error)


def is_code(text: object) -> bool:
    """Whether this is an event code such as ``sync.started``."""
    return isinstance(text, str) and _CODE.fullmatch(text) is not None


class WordlessFormatter(logging.Formatter):
    """One line (text or JSON) a record; the places of an exception are indented below, or under ``trace``."""

    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        code, fields = _own(record) if _is_ours(record) else _foreign(record)
        error = record.exc_info[1] if record.exc_info else None
        trace = list(places(error)) if error else []
        if self._as_json:
            head = {"at": at, "level": record.levelname, "logger": record.name, "code": code}
            return json.dumps(head | fields | ({"trace": trace} if trace else {}), ensure_ascii=False)
        line = [at, f"{record.levelname:<7}", record.name, code, *(f"{k}={v}" for k, v in fields.items())]
        return "\n    ".join([" ".join(line), *trace])


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in OURS


def _own(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    given: Mapping[str, object] = getattr(record, "fields", {})
    fields = {name: _shown(given[name]) for name in Fields.__annotations__ if given.get(name) is not None}
    if is_code(record.msg):
        return str(record.msg), fields
    return "log.without_code", fields | {"line": record.lineno}


def _shown(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    text = str(value) if isinstance(value, str) else HIDDEN
    return text if _WORD.fullmatch(text) else HIDDEN


def _foreign(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """A library's record: its sentence if it is a constant of its source, with ids and numbers only."""
    said = HIDDEN
    if _is_constant(record):
        said = record.msg
        if isinstance(record.args, tuple) and record.args:
            try:
                said = record.msg % tuple(_argument(value) for value in record.args)
            except (TypeError, ValueError):  # such as %d, whose value is hidden
                said = record.msg
    return "library.said", {"said": said, "line": record.lineno}


def _is_constant(record: logging.LogRecord) -> bool:
    # An f-string or a bare variable is already filled in with who knows what; the source tells them apart.
    if not isinstance(record.msg, str):
        return False
    source = "".join(linecache.getlines(record.pathname)[record.lineno - 1 : record.lineno + 5])
    return f'"{record.msg}"' in source or f"'{record.msg}'" in source


def _argument(value: object) -> object:
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, int | float) or (isinstance(value, str) and _MATRIX_ID.fullmatch(value)):
        return value
    return HIDDEN


def places(error: BaseException) -> Iterator[str]:
    """Types of an exception, its causes and its group, and the functions they passed through; no message."""
    return _places(error, set())


def _places(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen:
        return
    seen.add(id(error))
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    trace: Any = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        yield f"  {frame.f_globals.get('__name__', '?')}:{trace.tb_lineno} {frame.f_code.co_name}"
        trace = trace.tb_next
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _places(part, seen)
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None:
        yield from _places(behind, seen)
