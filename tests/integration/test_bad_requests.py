"""What nobody should send to the user's routes: each is answered by a problem that names what is wrong, and changes nothing."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.embedded.service import free_port, running
from tests.integration.web import TASK, TOKEN, Web, web_service

PROBLEM = "application/problem+json"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def served(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("web") / "web.log"
    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port, REELKEEP_KIE_API_KEY="sim-key"), log):
        yield f"http://127.0.0.1:{port}"
    assert "Traceback" not in log.read_text()


@pytest.fixture
def web(served: str, redis_url: str) -> Web:
    return Web(served, redis.Redis.from_url(redis_url), RedisLedger(redis_url))


def send(
    web: Web, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any], Any]:
    """A request whose path is sent as it stands."""
    connection = http.client.HTTPConnection(web.url.removeprefix("http://"), timeout=20)
    connection.request(method, path, body, {**BEARER, **headers})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.headers["Content-Type"] == PROBLEM, (path, text)
    problem = json.loads(text)
    assert (problem["type"], problem["status"]) == ("about:blank", answer.status)
    assert problem["title"]
    assert problem["detail"]
    return answer.status, problem, answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/generations/", 404),
        ("GET", f"/generations//{TASK}", 404),
        ("GET", f"/generations/{TASK}/", 404),
        ("GET", f"/generations/{TASK}%2Fretry", 405),
        ("GET", f"/generations/{TASK}/nothing", 404),
        ("DELETE", "/generations", 405),
        ("PATCH", f"/generations/{TASK}", 405),
        ("GET", f"/generations/{TASK}/retry", 405),
        ("POST", "/account", 405),
        ("TRACE", "/healthz", 405),
        ("POST", "/openapi.json", 405),
        ("BREW", "/generations", 405),
    ],
)
def test_what_is_no_route_is_refused_as_a_problem(web: Web, method: str, path: str, status: int) -> None:
    answered, _, headers = send(web, method, path)
    assert answered == status
    assert (headers["Allow"] is not None) is (status == 405)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/generations/{}"), ("PUT", "/generations/{}"), ("POST", "/generations/{}/retry")]
    + [("POST", f"/generations/{{}}/{what}") for what in ("upgrades", "extensions")],
)
@pytest.mark.parametrize(
    "record_id",
    [
        "a%00b",
        "%00",
        "%ED%A0%80",
        "%FF",
        "a" * 129,
        "%E2%80%AE",
        "a.b",
        ".",
        "%20",
        "sub_%00",
        "<b>",
        "a;b",
        "%0A",
        "*",
    ],
)
def test_an_id_that_cannot_be_one_is_named(web: Web, method: str, path: str, record_id: str) -> None:
    body = b'{"kind":"4k"}' if path.endswith("upgrades") else b'{"prompt":"x"}' if path.endswith("extensions") else None
    status, problem, _ = send(web, method, path.format(record_id), body)
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == ["id"]
    assert web.contents() == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=odd", "state"),
        ("state=", "state"),
        ("state=Complete", "state"),
        ("state=waiting&state=complete", "state"),
        ("state=waiting&state=waiting", "state"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=", "limit"),
        ("limit=1e2", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=5.0", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 3000, "limit"),
        ("limit=%D9%A5", "limit"),  # a digit, but an Arabic one
        ("limit[]=5", "limit[]"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=nan~t1", "cursor"),
        ("cursor=1e400~t1", "cursor"),
        ("cursor=1~../t1", "cursor"),
        ("cursor=1~" + "a" * 129, "cursor"),
        ("cursor=1%00~a", "cursor"),
        ("page=2", "page"),
        ("%00=1", "\x00"),
        ("%FF=1", "%FF"),
        ("Limit=5", "Limit"),
    ],
)
def test_a_query_that_cannot_be_meant_is_named(web: Web, query: str, field: str) -> None:
    status, problem, _ = send(web, "GET", f"/generations?{query}")
    assert status == 400
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")


def test_all_faults_of_a_query_are_told_at_once(web: Web) -> None:
    _, problem, _ = send(web, "GET", "/generations?state=odd&limit=0&page=1")
    assert {error["field"] for error in problem["errors"]} == {"state", "limit", "page"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/generations/{TASK}"),
        ("PUT", f"/generations/{TASK}"),
        ("POST", "/generations"),
        ("POST", f"/generations/{TASK}/retry"),
        ("GET", "/account"),
    ],
)
def test_a_query_where_none_is_read_is_refused(web: Web, method: str, path: str) -> None:
    status, problem, _ = send(web, method, f"{path}?upgrades=4k")
    assert (status, problem["errors"]) == (400, [{"field": "upgrades", "message": "there is no such field"}])
    assert web.contents() == {}


BODIES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"{", "body"),
    "a list": (b"[]", "body"),
    "null": (b"null", "body"),
    "broken UTF-8": (b'{"labels":{"a":"\xff"}}', "body"),
    "UTF-16": ('{"labels":{}}'.encode("utf-16"), "body"),
    "a lone surrogate": (rb'{"labels":{"a":"\ud800"}}', "body"),
    "nested too deeply": (b'{"labels":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
    "NaN": (b'{"labels":{"a":NaN}}', "labels.a"),
    "a label's name too long": (json.dumps({"labels": {"a" * 65: "b"}}).encode(), "labels"),
    "a label too long": (json.dumps({"labels": {"a": "b" * 257}}).encode(), "labels.a"),
    "labels a list": (b'{"labels":["a"]}', "labels"),
    "a label a number": (b'{"labels":{"a":1}}', "labels.a"),
    "a huge number": (b'{"upgrades":[1' + b"0" * 4000 + b"]}", "upgrades.0"),
    "no such upgrade": (b'{"upgrades":["4K"]}', "upgrades.0"),
    "upgrades null": (b'{"upgrades":null}', "upgrades"),
    "too many upgrades": (b'{"upgrades":["4k","4k","4k"]}', "upgrades"),
    "a field too many": (b'{"upgrade":["4k"]}', "upgrade"),
    "a submission of nobody's": (b'{"submission":"sub_1"}', "submission"),
    "a submission with a line end": (b'{"submission":"sub_' + b"0" * 32 + b'\\n"}', "submission"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_meant_is_named(web: Web, name: str) -> None:
    body, field = BODIES[name]
    status, problem, _ = send(web, "PUT", f"/generations/{TASK}", body, **{"Content-Type": "application/json"})
    assert status == 400
    assert problem["errors"][0]["field"].startswith(field), problem
    assert web.contents() == {}


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_a_labels_name_that_cannot_be_one_is_told_without_it(web: Web, name: str) -> None:
    body = json.dumps({"labels": {name: "b"}}).encode()
    _, problem, _ = send(web, "PUT", f"/generations/{TASK}", body, **{"Content-Type": "application/json"})
    wanted = "must have at most 64 characters" if name else "must not be empty"
    assert problem["errors"] == [{"field": "labels", "message": f"a name {wanted}"}]


def test_a_cursor_of_somebody_elses_is_told_so(web: Web) -> None:
    _, problem, _ = send(web, "GET", "/generations?cursor=x")
    assert problem["detail"] == "cursor: is no cursor of ours"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "kind"),
        (b'{"kind":"8k"}', "kind"),
        (b'{"kind":"4k","index":-1}', "index"),
        (b'{"kind":"4k","index":32}', "index"),
        (b'{"kind":"4k","index":0.5}', "index"),
        (b'{"kind":"4k","index":1e400}', "index"),
        (b'{"kind":"4k","index":true}', "index"),
        (b'{"kind":"4k","index":"0"}', "index"),
        (b'{"kind":"4k","index":' + b"9" * 4000 + b"}", "index"),
    ],
)
def test_an_upgrade_that_cannot_be_meant_is_named(web: Web, body: bytes, field: str) -> None:
    status, problem, _ = send(web, "POST", f"/generations/{TASK}/upgrades", body)
    assert (status, [error["field"] for error in problem["errors"]]) == (400, [field])


def test_a_body_where_none_is_read_is_refused(web: Web) -> None:
    status, problem, _ = send(web, "POST", f"/generations/{TASK}/retry", b'{"kind":"4k"}')
    assert (status, problem["errors"]) == (400, [{"field": "kind", "message": "there is no such field"}])


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", "\xff"],
)
def test_a_body_that_is_not_said_to_be_json_is_refused(web: Web, content_type: str) -> None:
    given = {"Content-Type": content_type}
    assert send(web, "PUT", f"/generations/{TASK}", b"{}", **given)[0] == 415
    assert send(web, "POST", "/generations", b'{"prompt":"a cat"}', **given)[0] == 415
    assert web.contents() == {}


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", None])
def test_a_body_that_is_json_is_taken(web: Web, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert web.call("PUT", f"/generations/{TASK}", data=b'{"labels":{}}', headers=headers).status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "ü", "a\tb"])
def test_a_key_that_cannot_be_one_is_named(web: Web, key: str) -> None:
    status, problem, _ = send(web, "POST", "/generations", b'{"prompt":"x"}', **{"Idempotency-Key": key})
    assert (status, [error["field"] for error in problem["errors"]]) == (400, ["Idempotency-Key"])
    assert web.contents() == {}


def test_a_body_that_is_too_large_is_refused_with_its_length_and_without(web: Web) -> None:
    at_the_limit = b'{"labels":{}}'.ljust(1024 * 1024)

    def put_in_chunks(body: bytes) -> int:
        chunks = (body[at : at + 65536] for at in range(0, len(body), 65536))
        return requests.put(f"{web.url}/generations/{TASK}", data=chunks, headers=BEARER, timeout=20).status_code

    status, problem, _ = send(web, "PUT", f"/generations/{TASK}", at_the_limit + b" ")
    assert (status, problem["detail"]) == (413, "the body is over 1 MiB")
    assert put_in_chunks(at_the_limit + b" ") == 413
    assert web.contents() == {}
    assert put_in_chunks(at_the_limit) == 201


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /generations?cursor=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /generations HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /generations HTTP/1.1\r\nHost: x\r\nBad\x00Name: 1\r\n\r\n", 400),
        (b"<script>alert(1)</script>\r\n\r\n", 400),
        (b"PUT /generations/t1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\n\r\n", 501),
    ],
)
def test_what_is_no_http_is_answered_by_a_problem_too(web: Web, text: bytes, status: int) -> None:
    host, port = web.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(text)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert json.loads(body)["status"] == status


def test_a_page_does_not_shift_when_others_come_in_or_leave(web: Web) -> None:
    for number in range(6):
        web.call("PUT", f"/generations/task-{number}")
    first = web.call("GET", "/generations?limit=2&state=waiting").json()
    web.call("PUT", "/generations/newer")
    last = web.ledger.read(first["generations"][-1]["taskId"]).record
    assert last is not None
    web.redis.zrem("reelkeep:state:waiting", last.task_id)  # it has left the state that is listed
    rest = web.call("GET", "/generations", params={"limit": 50, "state": "waiting", "cursor": first["cursor"]}).json()
    shown = [shown["taskId"] for shown in (*first["generations"], *rest["generations"])]
    assert shown == [f"task-{number}" for number in reversed(range(6))]
