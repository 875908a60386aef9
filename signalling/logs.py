"""Logging: JSON lines on stderr. Only fields on a list are written, and of errors only where they happened."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import PurePath
from types import TracebackType
from typing import Any, TextIO

import structlog

ALLOWED_FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "logger",
        "room",
        "route",
        "method",
        "status",
        "duration_ms",
        "code",
        "reason",
        "reference",
        "count",
        "lost",
        "gone",
        "publishes",
        "profile",
        "dtls",
        "component",
        "listen",
        "media",
        "worker",
        "remedy",
        "granted",
        "wanted",
        "ip_version",
        "processor",
        "errno",
        "state",
        "seconds",
        "days_left",
        "dropped_fields",
        "error",
        "at",
    }
)
"""Everything a line may hold. None of these can say who somebody is; a room is a random number."""

MAX_FRAMES = 20  # The innermost frames say what happened; more only hide it.


def configure(*, level: str, output: TextIO | None = None) -> None:
    """Makes structlog and the standard library write through the same list."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            _error_without_words,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            allow_listed,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(output or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ForeignRecords(output or sys.stderr)]
    root.setLevel(max(number, logging.WARNING))
    # pysfu tells this also as values, which are logged as such. Without any handler Python would print it.
    told = logging.getLogger("pysfu.events")
    told.propagate, told.handlers = False, [logging.NullHandler()]
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = name != "uvicorn.access"


def allow_listed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes away every field that is not on the list, and says how many there were."""
    kept = {name: value for name, value in event.items() if name in ALLOWED_FIELDS}
    if len(kept) < len(event):
        kept["dropped_fields"] = len(event) - len(kept)
    return kept


def where(error: BaseException) -> list[str]:
    """Lists where an error happened, innermost last. Its message is left out: it may quote anything."""
    return _frames(error.__traceback__)


def _frames(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _kinds(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}({', '.join(_kinds(inner) for inner in error.exceptions)})"
    return type(error).__name__


def _error_without_words(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error"] = _kinds(error)
        event["at"] = where(error)
    return event


class _ForeignRecords(logging.Handler):
    """Writes what libraries log: their fixed text, never what they put into it."""

    def __init__(self, output: TextIO) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line."""
        line: dict[str, object] = {
            "event": "library log",
            "logger": record.name,
            "level": record.levelname.lower(),
            "at": [f"{PurePath(record.pathname).name}:{record.lineno} {record.funcName}"],
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _kinds(record.exc_info[1])
            line["at"] = where(record.exc_info[1])
        self._output.write(json.dumps(line) + "\n")
