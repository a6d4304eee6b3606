"""The front door as it is deployed: gunicorn, a real redis-server, HTTP from outside."""

import json
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Trust
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from app.web.callbacks import LONGEST_SILENCE
from tests.integration.web import KEYS, TASK, TOKEN, Web, signed, success, web_service
from tests.support.waiting import wait_for

#: the contract: a callback that cannot be recorded is answered within so many seconds
FAST = 3.0


@pytest.fixture(scope="module")
def served(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("web") / "web.log"
    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port), log):
        yield f"http://127.0.0.1:{port}"
    assert "Traceback" not in log.read_text()


@pytest.fixture
def web(served: str, redis_url: str) -> Web:
    return Web(served, redis.Redis.from_url(redis_url), RedisLedger(redis_url))


# --- callbacks -------------------------------------------------------------------------------------------------------


def test_a_signed_callback_is_recorded_and_answered_as_the_vendor_wants(web: Web) -> None:
    answer = web.callback(success())
    assert (answer.status_code, answer.content) == (200, b'{"code":200,"msg":"success"}')
    [pending] = web.ledger.read(TASK).pending
    assert pending.entry.trust is Trust.SIGNED
    assert json.loads(pending.entry.raw) == success()


def test_every_key_is_accepted_while_keys_are_rotated(web: Web) -> None:
    assert [web.callback(success(), key=key).status_code for key in KEYS] == [200, 200]


def test_a_repeat_is_answered_200(web: Web) -> None:
    assert [web.callback(success()).status_code for _ in range(3)] == [200, 200, 200]


def test_a_stale_signature_is_recorded_as_a_reason_to_ask(web: Web) -> None:
    answer = web.post("/callbacks/veo", json.dumps(success()), signed(TASK, at=time.time() - 3600))
    assert answer.status_code == 200
    assert [pending.entry.trust for pending in web.ledger.read(TASK).pending] == [Trust.STALE]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Timestamp": "1769670760"},
        {"X-Webhook-Signature": "VldPXhS8qX3KpadU9xMEuyc0rlsxkrW8VtP4wBaPovU="},
        signed(TASK, key="wrong-key"),
        signed("another-task"),
        {**signed(TASK), "X-Webhook-Timestamp": "yesterday"},
        {**signed(TASK), "X-Webhook-Timestamp": "9" * 4000},
        {**signed(TASK), "X-Webhook-Timestamp": "-1"},
        {**signed(TASK), "X-Webhook-Signature": "Ünïcode".encode("latin-1")},
        {**signed(TASK), "X-Webhook-Signature": b"\xff\xfe\xfd"},
        {**signed(TASK), "X-Webhook-Signature": ""},
    ],
)
def test_a_callback_without_a_good_signature_changes_nothing(web: Web, headers: dict[str, Any]) -> None:
    before = web.contents()
    answer = web.post("/callbacks/veo", json.dumps(success()), headers)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert web.contents() == before


def test_repeated_signature_headers_are_no_signature(web: Web) -> None:
    good = signed(TASK)
    body = json.dumps(success()).encode()
    lines = [f"{name}: {value}" for name, value in good.items() for _ in range(2)]
    head = ["POST /callbacks/veo HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close", *lines]
    host, port = web.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        status = connection.makefile("rb").readline()
    assert b" 401 " in status
    assert web.ledger.read(TASK).pending == []


def test_a_signature_does_not_open_a_token_that_nobody_was_given(web: Web) -> None:
    before = web.contents()
    for path in ("/callbacks/veo/guess", "/callbacks/veo/4k/guess"):
        assert web.callback(success(), path).status_code == 401
    assert web.post("/callbacks/veo/4k/guess", '{"code":500,"data":null}').status_code == 401
    assert web.contents() == before


BAD_BODIES = {
    "empty": b"",
    "not json": b"code=200",
    "no object": b"[1,2,3]",
    "a number": b"200",
    "no id": b'{"code":200,"msg":"ok","data":{}}',
    "null data": b'{"code":500,"msg":"internal","data":null}',
    "ids disagree": b'{"taskId":"a","data":{"taskId":"b"}}',
    "path in the id": b'{"data":{"taskId":"../../etc/passwd"}}',
    "id too long": json.dumps({"data": {"taskId": "a" * 129}}).encode(),
    "id a number": b'{"data":{"taskId":123}}',
    "id a list": b'{"data":{"taskId":["a"]}}',
    "data a list": b'{"code":200,"data":[{"taskId":"a"}]}',
    "deep nesting": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "huge number": b'{"code":' + b"9" * 10_000 + b',"data":{}}',
    "broken utf-8": b'{"data":{"taskId":"\xff\xfe"}}',
    "nul in the id": b'{"data":{"taskId":"a\\u0000b"}}',
    "surrogate in the id": b'{"data":{"taskId":"\\ud800"}}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_without_a_usable_id_is_refused_and_changes_nothing(web: Web, name: str) -> None:
    before = web.contents()
    answer = web.post("/callbacks/veo", BAD_BODIES[name], signed("a"))
    assert answer.status_code == 400
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (400, "Bad Request")
    assert problem["detail"]
    assert web.contents() == before


def test_odd_values_beside_a_good_id_are_recorded(web: Web) -> None:
    body = r'{"code":{"a":1},"msg":"\ud800\u0000","data":{"taskId":"TASK","info":7,"creditsConsumed":1e999}}'
    assert web.post("/callbacks/veo", body.replace("TASK", TASK), signed(TASK)).status_code == 200
    assert len(web.ledger.read(TASK).pending) == 1


def test_a_body_over_one_mebibyte_is_refused(web: Web) -> None:
    at_the_limit = json.dumps(success()).encode().ljust(1024 * 1024)
    assert web.post("/callbacks/veo", at_the_limit, signed(TASK)).status_code == 200
    answer = web.post("/callbacks/veo", at_the_limit + b" ", signed(TASK))
    assert answer.status_code == 413
    assert answer.json()["status"] == 413
    chunks = (at_the_limit, b" ")  # without a length
    assert (
        requests.post(f"{web.url}/callbacks/veo", data=iter(chunks), headers=signed(TASK), timeout=20).status_code
        == 413
    )
    assert len(web.ledger.read(TASK).pending) == 1


def test_clients_that_dawdle_hold_up_nobody_and_are_given_up(web: Web) -> None:
    host, port = web.url.removeprefix("http://").split(":")
    head = b"POST /callbacks/veo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
    began = time.monotonic()
    with ExitStack() as stack:
        lingering = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(300)]
        for place, connection in enumerate(lingering):
            connection.sendall((head, head[:20], b"")[place % 3])
        answer = requests.post(f"{web.url}/callbacks/veo", json=success(), headers=signed(TASK), timeout=60)
        assert answer.status_code == 200
        poll = select.poll()
        for connection in lingering:
            poll.register(connection, select.POLLIN)
        given_up = poll.poll(0)
        if time.monotonic() - began < LONGEST_SILENCE:
            assert not given_up, "it had to wait until some were given up"
        assert b" 400 " in lingering[0].makefile("rb").readline()
        assert [connection.recv(100) for connection in lingering[1:3]] == [b"", b""]


def test_other_methods_and_routes_are_refused_as_problems(web: Web) -> None:
    for method, path, status in [("GET", "/callbacks/veo", 405), ("POST", "/callbacks/other", 404)]:
        answer = requests.request(method, web.url + path, timeout=10)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_unsigned_callbacks_are_taken_where_the_settings_allow_them(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    env = {"REELKEEP_WEBHOOK_KEYS": "", "REELKEEP_ALLOW_UNSIGNED": "1"}
    with running(web_service(redis_url, port, **env), tmp_path / "web.log"):
        answer = requests.post(f"http://127.0.0.1:{port}/callbacks/veo", json=success(), timeout=10)
    assert answer.status_code == 200
    assert [pending.entry.trust for pending in RedisLedger(redis_url).read(TASK).pending] == [Trust.UNSIGNED]


# --- trouble with Redis ----------------------------------------------------------------------------------------------


def test_a_callback_is_answered_503_fast_when_redis_is_down_or_silent_and_200_when_it_is_back(tmp_path: Path) -> None:
    redis_port, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/callbacks/veo"

    def deliver() -> tuple[int, float, str | None]:
        began = time.monotonic()
        answer = requests.post(url, json=success(), headers=signed(TASK), timeout=20)
        return answer.status_code, time.monotonic() - began, answer.headers.get("Retry-After")

    server = redis_server(tmp_path / "redis", redis_port, appendfsync="always")
    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port), tmp_path / "web.log"):
        status, seconds, retry = deliver()
        assert (status, retry) == (503, "5"), "Redis is down"
        assert seconds < FAST
        with running(server, tmp_path / "redis.log") as process:
            wait_for(lambda: deliver()[0] == 200)
            process.send_signal(signal.SIGSTOP)
            try:
                slowest = 0.0
                for _ in range(12):
                    status, seconds, retry = deliver()
                    assert (status, retry) == (503, "5"), "Redis accepts connections and says nothing"
                    slowest = max(slowest, seconds)
                assert slowest < FAST
            finally:
                process.send_signal(signal.SIGCONT)
            wait_for(lambda: deliver()[0] == 200)


def test_what_is_refused_is_counted_for_the_whole_fleet_and_fills_no_room(tmp_path: Path) -> None:
    """On a Redis of its own: what other tests have had refused is still on its way."""
    redis_port, port = free_port(), free_port()
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    with (
        running(redis_server(tmp_path / "redis", redis_port), tmp_path / "redis.log"),
        running(web_service(redis_url, port), tmp_path / "web.log"),
    ):
        web = Web(f"http://127.0.0.1:{port}", redis.Redis.from_url(redis_url), RedisLedger(redis_url))
        web.callback(success())
        keys, contents = web.redis.keys("*"), web.contents()
        statuses: Counter[int] = Counter()
        for number in range(30):
            stranger = {"code": 200, "data": {"taskId": f"stranger-{number}"}}
            statuses[web.callback(stranger, key="wrong-key").status_code] += 1
            statuses[web.callback(success(), f"/callbacks/veo/guess-{number}").status_code] += 1
            statuses[web.post("/callbacks/veo", b"no json").status_code] += 1
        statuses[web.post("/callbacks/veo", b"x" * (1024 * 1024 + 1)).status_code] += 1
        assert statuses == {400: 30, 401: 60, 413: 1}

        def shown() -> dict[int, float]:
            text = requests.get(f"{web.url}/metrics", timeout=10).text
            rows = re.findall(r'^reelkeep_callbacks_refused_total{status="(\d+)"} (.+)$', text, re.MULTILINE)
            return {int(status): float(value) for status, value in rows}

        wait_for(lambda: shown() == statuses)
        assert sorted(web.redis.keys("*")) == sorted(keys)  # type: ignore[arg-type]
        assert web.contents() == contents


def test_a_refused_callback_waits_for_no_redis(tmp_path: Path) -> None:
    redis_port, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"

    def refuse(times: int) -> None:
        with requests.Session() as session:
            for _ in range(times):
                wrong = session.post(f"{url}/callbacks/veo", json=success(), headers=signed(TASK, "wrong"), timeout=20)
                assert wrong.status_code == 401
                assert session.post(f"{url}/callbacks/veo", data=b"", timeout=20).status_code == 400

    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port), tmp_path / "web.log"):
        refuse(50)
        with running(redis_server(tmp_path / "redis", redis_port), tmp_path / "redis.log") as process:
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            refuse(50)
            assert time.monotonic() - began < FAST, "less for all of them than one would wait"
            process.send_signal(signal.SIGCONT)
            client = redis.Redis(port=redis_port, decode_responses=True)
            counted = {"refused:401": "100", "refused:400": "100"}
            wait_for(lambda: client.hgetall("reelkeep:stats") == counted)
    assert "Traceback" not in (tmp_path / "web.log").read_text()


# --- the user's routes -----------------------------------------------------------------------------------------------


def test_a_generation_is_tracked_once(web: Web) -> None:
    first = web.call("PUT", f"/generations/{TASK}", json={"upgrades": ["4k"], "labels": {"shot": "7"}})
    assert first.status_code == 201
    shown = first.json()
    assert (shown["taskId"], shown["state"], shown["labels"]) == (TASK, "waiting", {"shot": "7"})
    again = web.call("PUT", f"/generations/{TASK}", json={"upgrades": ["1080p", "4k"]})
    assert again.status_code == 200
    assert again.json()["upgrades"] == ["4k", "1080p"]
    assert web.call("PUT", f"/generations/{TASK}").status_code == 200, "a body is not needed"
    assert web.call("GET", f"/generations/{TASK}").json()["labels"] == {"shot": "7"}


def test_a_callback_for_an_id_never_tracked_is_shown_as_a_generation(web: Web) -> None:
    assert web.call("GET", f"/generations/{TASK}").status_code == 404
    web.callback(success())
    assert web.call("GET", f"/generations/{TASK}").json()["state"] == "waiting"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        "Bearer ünï".encode("latin-1"),
    ],
)
def test_the_users_routes_need_a_token(web: Web, authorization: Any) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in [("GET", "/generations"), ("GET", f"/generations/{TASK}"), ("PUT", f"/generations/{TASK}")]:
        answer = requests.request(method, web.url + path, headers=headers, timeout=10)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["status"] == 401
    assert web.contents() == {}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"upgrades": ["8k"]}, "upgrades"),
        ({"upgrades": "4k"}, "upgrades"),
        ({"labels": {"a": 1}}, "labels"),
        ({"labels": {"a" * 65: "x"}}, "labels"),
        ({"labels": {str(number): "x" for number in range(33)}}, "labels"),
        ({"unknown": 1}, "unknown"),
        ([], "body"),
    ],
)
def test_a_wrong_body_is_named_and_changes_nothing(web: Web, body: Any, named: str) -> None:
    answer = web.call("PUT", f"/generations/{TASK}", json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(named)
    assert web.contents() == {}


@pytest.mark.parametrize("task_id", ["a" * 129, "a.b", "a%20b", "%2e%2e", "ü"])
def test_an_id_that_cannot_be_the_vendors_is_refused(web: Web, task_id: str) -> None:
    assert web.call("PUT", f"/generations/{task_id}").status_code == 400
    assert web.contents() == {}


def test_generations_are_listed_with_a_cursor(web: Web) -> None:
    for number in range(5):
        web.call("PUT", f"/generations/task-{number}")
    first = web.call("GET", "/generations?limit=3").json()
    assert [shown["taskId"] for shown in first["generations"]] == ["task-4", "task-3", "task-2"]
    rest = web.call("GET", "/generations", params={"limit": 3, "cursor": first["cursor"]}).json()
    assert [shown["taskId"] for shown in rest["generations"]] == ["task-1", "task-0"]
    assert rest["cursor"] is None
    assert web.call("GET", "/generations?state=complete").json() == {"generations": [], "cursor": None}


@pytest.mark.parametrize(
    "query", ["state=odd", "limit=0", "limit=501", "limit=x", "limit=-1", "limit=9999999", "cursor=x"]
)
def test_a_wrong_query_is_named(web: Web, query: str) -> None:
    answer = web.call("GET", f"/generations?{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(query.partition("=")[0])


def test_without_a_vendor_key_nothing_is_submitted(web: Web) -> None:
    web.call("PUT", f"/generations/{TASK}")
    before = web.contents()
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/generations", {"prompt": "a cat"}),
        (f"/generations/{TASK}/extensions", {"prompt": "a cat"}),
        (f"/generations/{TASK}/upgrades", {"kind": "4k"}),
    ]
    for path, body in calls:
        answer = web.call("POST", path, json=body)
        assert (answer.status_code, answer.json()["status"]) == (503, 503)
        assert "REELKEEP_KIE_API_KEY" in answer.json()["detail"]
    assert web.contents() == before


def test_an_unknown_generation_cannot_be_tried_again(web: Web) -> None:
    assert web.call("POST", f"/generations/{TASK}/retry").status_code == 404


# --- health ----------------------------------------------------------------------------------------------------------


def test_readiness_says_what_is_missing(web: Web) -> None:
    assert requests.get(f"{web.url}/healthz", timeout=10).json() == {"status": "alive"}
    answer = requests.get(f"{web.url}/readyz", timeout=10)
    assert answer.status_code == 503
    assert answer.json()["checks"]["sweep"] == "no sweep has run yet: are beat and worker up?"
    web.ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": "no such bucket"})
    checks = requests.get(f"{web.url}/readyz", timeout=10).json()["checks"]
    assert checks == {"redis": "ok", "sweep": "ok", "bucket": "no such bucket", "work": "ok"}
    web.ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": ""})
    assert requests.get(f"{web.url}/readyz", timeout=10).status_code == 200
    web.ledger.note_health({"sweep_at": "1.0"})
    assert "last sweep" in requests.get(f"{web.url}/readyz", timeout=10).json()["checks"]["sweep"]


def test_readiness_goes_red_when_work_stays_undone(web: Web) -> None:
    web.ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": ""})
    web.redis.zadd("reelkeep:due:mirror", {"mirror/x/result/0": time.time() - 300})
    answer = requests.get(f"{web.url}/readyz", timeout=10)
    assert answer.status_code == 503
    assert "has been due" in answer.json()["checks"]["work"]


def test_the_web_process_loads_neither_boto3_nor_celery() -> None:
    code = (
        "import sys; from app.settings import Settings; from app.web.application import create_app;"
        "create_app(Settings(allow_unsigned=True));"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'boto3', 'botocore', 'celery', 'kombu'}))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
