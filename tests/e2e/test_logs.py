"""The logs of a whole fleet as a machine reads them: every line JSON, every line of work named, no secret anywhere."""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests

from app.adapters.celery_message import ID, ITEM, message_template
from app.adapters.redis_ledger import RedisLedger
from app.domain.work import Step
from tests.support.fleet import TOKEN, VENDOR_KEY, WEBHOOK_KEY, Fleet, running_fleet
from tests.support.waiting import wait_for

OURS = ("web", "worker", "mirror", "beat", "flower")
SECOND_KEY, FLOWER_PASSWORD = "planted/second+key", "planted-flower-password"
#: what a traceback of a message that nobody should have sent shows
STRAY = "planted-stray"
SIGNED = re.compile(r"(?i)(signature|expires|credential)=[0-9a-z]")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    settings = {
        "REELKEEP_LOG_FORMAT": "json",
        "REELKEEP_WEBHOOK_KEYS": f"{WEBHOOK_KEY},{SECOND_KEY}",
        "FLOWER_BASIC_AUTH": f"user:{FLOWER_PASSWORD}",
    }
    with running_fleet(tmp_path_factory.mktemp("fleet"), counts={"flower": 1}, **settings) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def answers(fleet: Fleet) -> list[str]:
    """Everything that was answered while all kinds of work were done, and some that cannot be."""
    said: list[str] = []

    def ask(method: str, path: str, **kwargs: Any) -> requests.Response:
        answer = fleet.call(method, path, **kwargs)
        said.append(f"{answer.headers}{answer.text}")
        return answer

    made = ask("POST", "/generations", json={"prompt": "a cat", "upgrades": ["4k"]}, headers={"Idempotency-Key": "k"})
    assert made.status_code == 202
    kept = [fleet.generate("renewable-link"), fleet.generate("download-fails-twice"), made.json()["id"]]
    kept.append(fleet.generate("4k-uncertain", upgrades=("4k",)))
    lost = fleet.generate("dead-link")
    for record_id in kept:
        fleet.await_state(record_id)
    fleet.await_state(lost, "lost")
    wrong = {"Authorization": "Bearer planted-wrong-token"}
    for path in (
        "/callbacks/veo/planted-wrong-token",
        "/callbacks/veo/4k/planted-wrong-token?token=planted-wrong-token",
    ):
        assert ask("POST", path, json={"code": 200, "data": {"taskId": ""}}).status_code in (400, 401)
    assert ask("GET", "/generations?token=planted-wrong-token", headers=wrong).status_code == 401
    for path in ("/readyz", "/generations?limit=100", f"/generations/{made.json()['id']}", "/nowhere", "/openapi.json"):
        ask("GET", path)
    assert " 400 " in send_broken_line(fleet)  # its sender is told what he sent, which is no secret to him
    assert "/callbacks/veo/***" in fleet.log("web")
    fleet.broker().lpush("reelkeep.quick", make_stray())
    wait_for(lambda: STRAY in fleet.log("worker"))
    return said


def send_broken_line(fleet: Fleet) -> str:
    """A request that gunicorn refuses by itself, and writes into its log."""
    parts = urlsplit(fleet.stack.web_url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.sendall(b"POST /callbacks/veo/planted-wrong-token\r\n\r\n")
        return connection.makefile().read()


def make_stray() -> str:
    """A message with an item that is none."""
    return message_template(Step.SETTLE).replace(ITEM, f"settle/!{STRAY}").replace(ID, "planted-id")


def read(fleet: Fleet, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in fleet.log(name).splitlines()]


@pytest.mark.parametrize("name", OURS)
def test_every_line_of_every_process_is_an_event_in_json(fleet: Fleet, answers: list[str], name: str) -> None:
    lines = read(fleet, name)
    assert lines
    for line in lines:
        assert {"time", "level", "event", "logger"} <= line.keys()
    loggers = {line["logger"].partition(".")[0] for line in lines}
    assert {"web": "gunicorn", "flower": "flower"}.get(name, "celery") in loggers


@pytest.mark.parametrize("name", ["worker", "mirror"])
def test_every_line_of_a_piece_of_work_says_of_what(fleet: Fleet, answers: list[str], name: str) -> None:
    about = ("generation.", "rendition.", "upgrade.", "submission.", "manifest.")
    work = [line for line in read(fleet, name) if line["event"].startswith(about)]
    assert {line["step"] for line in work} == {"worker": {"settle", "submit", "upgrade"}, "mirror": {"mirror"}}[name]
    for line in work:
        assert line.keys() >= {"step", "celery_id", "attempt"}, line
        assert line.keys() & {"task_id", "id"}, line
        assert line["step"] not in ("mirror", "upgrade") or line.keys() >= {"kind", "index"}, line


def test_the_line_about_a_failure_says_of_what(fleet: Fleet, answers: list[str]) -> None:
    [line] = [line for line in read(fleet, "worker") if line["event"].startswith("step.fault")]
    assert line["celery_task"] == "reelkeep.settle"
    assert line["celery_id"]
    assert STRAY in line["exception"]


def test_a_retry_says_which_attempt_it_was(fleet: Fleet, answers: list[str]) -> None:
    attempts: dict[str, list[int]] = {}
    for line in read(fleet, "mirror"):
        if line["event"].startswith("rendition."):
            attempts.setdefault(line["task_id"] + line["kind"], []).append(line["attempt"])
    assert [1, 2, 3] in attempts.values()


def test_no_secret_is_in_any_log_answer_message_or_task(fleet: Fleet, answers: list[str]) -> None:
    ledger = redis.Redis.from_url(fleet.stack.redis_url, decode_responses=True)
    tokens = {key.rpartition(":")[2] for key in ledger.scan_iter("reelkeep:token:*", count=1000)}
    assert len(tokens) >= 2
    env = fleet.stack.env
    secrets = {WEBHOOK_KEY, SECOND_KEY, TOKEN, VENDOR_KEY, FLOWER_PASSWORD, "planted-wrong-token", *tokens}
    secrets |= {env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], hashlib.sha256(TOKEN.encode()).hexdigest()}
    places = {f"{name}.log": fleet.log(name) for name in fleet.stack.supervisor}
    assert len(places) >= 8
    places["answers"] = "".join(answers)
    session = requests.Session()
    session.auth = ("user", FLOWER_PASSWORD)
    for path in ("tasks?limit=10000", "workers?refresh=1"):
        answer = session.get(f"{fleet.stack.flower_url}/api/{path}", timeout=20)
        assert answer.status_code == 200
        places[path] = answer.text
    assert "reelkeep.mirror" in places["tasks?limit=10000"]
    places["messages"] = read_messages(fleet)
    for name, text in places.items():
        assert not [secret for secret in secrets if secret in text], name
        assert not SIGNED.search(text), (name, SIGNED.search(text))


def read_messages(fleet: Fleet) -> str:
    """Messages as they lie in the broker while nobody takes them up."""
    fleet.stack.supervisor.kill("worker", hold=True)
    fleet.stack.supervisor["worker"].process.wait()
    made = fleet.call("POST", "/generations", json={"prompt": "a dog"}, headers={"Idempotency-Key": "k2"})
    assert made.status_code == 202
    tracked = fleet.generate("plain")
    messages = "".join(text.decode() for text in fleet.broker().lrange("reelkeep.quick", 0, -1))
    assert made.json()["id"] in messages
    wait_for(lambda: RedisLedger(fleet.stack.redis_url).read(tracked).pending)
    return messages + "".join(text.decode() for text in fleet.broker().lrange("reelkeep.quick", 0, -1))
