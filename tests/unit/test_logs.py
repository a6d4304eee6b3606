"""A line of the log: its two forms, what it carries of the work it is part of, and what it never shows."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.logs import EventFormatter, add_to_work, begin_work, configure_logs, gunicorn_logs, log_event, with_work

SECRETS = ("planted-webhook-key", 'odd"key\\ä', "key/with+url")
TOKEN = "dG9rZW4tb2YtYS1jYWxsYmFjaw"


@pytest.fixture(autouse=True)
def _no_work() -> Iterator[None]:
    begin_work()
    yield
    begin_work()


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("reelkeep", logging.INFO, "", 0, message, arguments, None)
    made.created = 1785999477.25
    made.fields = fields
    return made


def text(message: str, *arguments: object, **fields: object) -> str:
    return EventFormatter(secrets=SECRETS).format(record(message, *arguments, **fields))


def read_json(message: str, *arguments: object, **fields: object) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        EventFormatter(as_json=True, secrets=SECRETS).format(record(message, *arguments, **fields))
    )
    return shown


def test_an_event_in_both_forms() -> None:
    fields = {"task_id": "t1", "bytes": 3, "error": "no luck", "msg": ""}
    assert (
        text("rendition.stored", **fields)
        == "2026-08-06T06:57:57.250Z info rendition.stored task_id=t1 bytes=3 error='no luck' msg=''"
    )
    told = {"time": "2026-08-06T06:57:57.250Z", "level": "info", "event": "rendition.stored", "logger": "reelkeep"}
    assert read_json("rendition.stored", **fields) == told | fields


def test_a_line_carries_what_its_work_is_about() -> None:
    begin_work(celery_id="c1")
    add_to_work(task_id="t1", attempt=2)
    assert text("Retrying (%s)", 1).endswith(" Retrying (1) celery_id=c1 task_id=t1 attempt=2")
    assert text("x", bytes=1, attempt=3).endswith(" x bytes=1 attempt=3 celery_id=c1 task_id=t1")
    assert read_json("x", attempt=3)["attempt"] == 3
    lines: list[str] = []
    for target in (lambda: lines.append(text("x")), with_work(lambda: lines.append(text("x")))):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    assert ["t1" in line for line in lines] == [False, True]
    begin_work()
    assert text("x").endswith(" x")


def test_nobody_writes_lines_of_his_own_into_the_log_or_steers_the_terminal() -> None:
    line = text("said: a\nb", label="c\n\x1b[2J", odd="\ud800")
    assert line.isprintable()
    assert line.endswith(r"said: a\nb label='c\n\x1b[2J' odd='\ud800'")
    assert read_json("a\nb", label="c\n")["event"] == "a\nb"


def test_a_traceback_is_part_of_its_line() -> None:
    try:
        raise ValueError("no\x1b luck")
    except ValueError:
        failed = record("mirror.fault")
        failed.exc_info = sys.exc_info()
    head, *rest = EventFormatter().format(failed).splitlines()
    assert head.endswith(" mirror.fault")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert json.loads(EventFormatter(as_json=True).format(failed))["exception"].endswith("ValueError: no\x1b luck")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("said", "left"),
    [
        *((secret, "***") for secret in SECRETS),
        ("key%2Fwith%2Burl", "***"),
        ("GET https://h/v/a.mp4?X-Amz-Expires=9&X-Amz-Signature=s3cret', then", "GET https://h/v/a.mp4?***', then"),
        ("/a?sig=s3cret\" and 'b'", "/a?***\" and 'b'"),
        (f"Error handling request /callbacks/veo/{TOKEN}", "Error handling request /callbacks/veo/***"),
        (f"Exception on /callbacks/veo/4k/{TOKEN} [POST]", "Exception on /callbacks/veo/4k/*** [POST]"),
        ("POST /callbacks/veo/4k [400] what?", "POST /callbacks/veo/4k [400] what?"),
    ],
)
def test_what_is_secret_is_not_shown_whoever_writes_it(said: str, left: str, as_json: bool) -> None:
    formatter = EventFormatter(as_json=as_json, secrets=SECRETS)
    for shown in (record("%s", said), record("x", error=said)):
        line = formatter.format(shown)
        if as_json:
            assert left in json.loads(line).values()
        else:
            assert left in line.replace("\\'", "'")
        assert "s3cret" not in line
        assert TOKEN not in line


@pytest.mark.parametrize(
    ("log_format", "terminal", "as_json"),
    [("auto", True, False), ("auto", False, True), ("text", False, False), ("json", True, True)],
)
def test_the_form_suits_the_reader(
    monkeypatch: pytest.MonkeyPatch, log_format: Any, terminal: bool, as_json: bool
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logs(log_format)
        log_event("x.y", a=1)
    finally:
        root.handlers[:], root.level = before, level
        logging.captureWarnings(False)
    assert out.getvalue().startswith("{") == as_json
    assert out.getvalue().count("\n") == 1


def test_gunicorn_has_the_same_lines() -> None:
    logs = gunicorn_logs("json", ["planted-webhook-key"])
    handler = logs["handlers"]["stdout"]["()"]()
    line = handler.format(record("Booting planted-webhook-key"))
    assert json.loads(line)["event"] == "Booting ***"
    assert logs["loggers"]["gunicorn.error"]["handlers"] == ["stdout"]
