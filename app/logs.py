"""Logs: one line an event, to stdout; for people on a terminal, as JSON elsewhere (`REELKEEP_LOG_FORMAT`).

Every line of a piece of work carries what it is about, the lines of libraries too: whoever begins the work says so once
(`begin_work`, `add_to_work`). Secrets, tokens and query strings are taken out of every line, whoever wrote it.
"""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Literal, TextIO
from urllib.parse import quote

LogFormat = Literal["auto", "text", "json"]

#: what stands where a secret was
HIDDEN = "***"
#: The query of a URL is where its signature is. No backslash, so that JSON's escapes stay whole.
_QUERY = re.compile(r"\?[\w.~%+-]+=[^\s\"'<>\\]*")
#: the token at the end of a callback's URL
_TOKEN = re.compile(r"(/callbacks/veo(?:/4k)?)/(?!4k\b)[^\s/\"'?<>\\\])]+")

_NOTHING: Mapping[str, object] = MappingProxyType({})
_work: ContextVar[Mapping[str, object]] = ContextVar("work", default=_NOTHING)
_logger = logging.getLogger("reelkeep")
_to_json = json.JSONEncoder(default=str).encode


# --- what a piece of work is about --------------------------------------------------------------------------------------------


def begin_work(**facts: object) -> None:
    """Say what the lines of this thread are about from now on; without facts: about nothing any more."""
    _work.set(facts or _NOTHING)


def add_to_work(**facts: object) -> None:
    """Say more of the work that this thread is at."""
    _work.set({**_work.get(), **facts})


def with_work(target: Callable[[], None]) -> Callable[[], None]:
    """For a thread that helps with the work of this one: its lines are about the same."""
    return partial(copy_context().run, target)


# --- lines ---------------------------------------------------------------------------------------------------------------------


def log_event(event: str, **fields: object) -> None:
    """Log one event of the product's: `rendition.stored task_id=… kind=…`."""
    if _logger.isEnabledFor(logging.INFO):
        # Without looking for the caller, as `info` would: that is a third of what a line costs.
        record = _logger.makeRecord(_logger.name, logging.INFO, "", 0, event, (), None, extra={"fields": fields})
        _logger.handle(record)


class EventFormatter(logging.Formatter):
    """Formats a record as one line; fields are given by `extra={"fields": {…}}`."""

    def __init__(self, *, as_json: bool = False, secrets: Iterable[str] = ()) -> None:
        """:param secrets: what must not be seen"""
        super().__init__()
        self._as_json = as_json
        self._secrets = sorted({form for secret in secrets for form in _written(secret)}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line. In text a traceback follows on lines of its own, indented."""
        seconds = int(record.created)
        at = f"{_write_second(seconds)}.{int(1000 * (record.created - seconds)):03}Z"
        fields: Mapping[str, object] = getattr(record, "fields", _NOTHING)
        if work := _work.get():  # behind the event's own, which outrank it
            fields = {**fields, **{name: value for name, value in work.items() if name not in fields}}
        return self._hide((self._in_json if self._as_json else self._in_text)(record, at, fields))

    def _in_text(self, record: logging.LogRecord, at: str, fields: Mapping[str, object]) -> str:
        shown = "".join(f" {name}={_show(value)}" for name, value in fields.items())
        line = f"{at} {record.levelname.lower()} {_printable(record.getMessage())}{shown}"
        if not record.exc_info:
            return line
        return "\n  ".join([line, *map(_printable, self.formatException(record.exc_info).splitlines())])

    def _in_json(self, record: logging.LogRecord, at: str, fields: Mapping[str, object]) -> str:
        level, event = record.levelname.lower(), record.getMessage()
        told: dict[str, object] = {"time": at, "level": level, "event": event, **fields, "logger": record.name}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return _to_json(told)

    def _hide(self, line: str) -> str:
        for secret in self._secrets:
            if secret in line:
                line = line.replace(secret, HIDDEN)
        if "?" in line:
            line = _QUERY.sub(f"?{HIDDEN}", line)
        return _TOKEN.sub(rf"\1/{HIDDEN}", line) if "/callbacks/" in line else line


@lru_cache(2)
def _write_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _written(secret: str) -> set[str]:
    """The ways in which a line may have it: as it is, in JSON, in Python's notation, in a URL."""
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")} if secret else set()


def _show(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)


def _printable(text: str) -> str:
    """Nothing that begins a line or steers a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


# --- where they go -------------------------------------------------------------------------------------------------------------


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines to a stream."""

    def flush(self) -> None:
        # As `StreamHandler` does it, but without taking the handler's lock once more for each line.
        self.stream.flush()


def make_handler(log_format: LogFormat = "auto", secrets: Iterable[str] = ()) -> logging.Handler:
    """A handler that writes such lines to stdout."""
    handler = _Lines(sys.stdout)
    as_json = log_format == "json" or (log_format == "auto" and not sys.stdout.isatty())
    handler.setFormatter(EventFormatter(as_json=as_json, secrets=secrets))
    return handler


def configure_logs(log_format: LogFormat = "auto", secrets: Iterable[str] = (), level: int = logging.INFO) -> None:
    """Send all logs to stdout, Python's warnings among them."""
    # Not shown, so not looked up for each line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [make_handler(log_format, secrets)]
    root.setLevel(level)
    logging.captureWarnings(True)


def gunicorn_logs(log_format: LogFormat = "auto", secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Gunicorn's `logconfig_dict`: its own lines like all others."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stdout": {"()": partial(make_handler, log_format, secrets)}},
        "root": {"level": "INFO", "handlers": ["stdout"]},
        "loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "propagate": False}},
    }
