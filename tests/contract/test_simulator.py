"""The simulator as its users meet it: over HTTP, with callbacks to a real receiver."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner

from app.simulator.client import SimulatorClient
from app.simulator.command import simulator as command
from app.simulator.deliveries import Courier, Delivery, sign
from app.simulator.scenarios import BUILT_IN
from app.simulator.server import Options, Simulator

KEY = "test-webhook-key"
#: A generation takes 0.2 s at this speed, a 4K 0.7 s.
SPEED = 600.0


@dataclass
class Call:
    """A callback as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Receiver:
    """A real HTTP server that keeps each callback and answers the statuses it is told, then 200."""

    def __init__(self, statuses: list[int]) -> None:
        self.calls: Queue[Call] = Queue()
        self.release = threading.Event()
        self.release.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.calls.put(Call(self.path, dict(self.headers), json.loads(raw)))
                receiver.release.wait(10)
                self.send_response(statuses.pop(0) if statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/callbacks/veo/secret-token?x=1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def next(self) -> Call:
        return self.calls.get(timeout=10)

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Bench:
    """A running simulator, a client of it and a receiver for its callbacks."""

    client: SimulatorClient
    statuses: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = Receiver(self.statuses)

    def generated(self, scenario: str = "plain", **fields: Any) -> str:
        """A generation that has its verdict."""
        made = self.client.generate(f"scenario={scenario} a cat", **fields)
        self.until(lambda: self.details(made)["successFlag"] != 0)
        return made

    def details(self, task_id: str) -> dict[str, Any]:
        params = {"taskId": task_id}
        data: dict[str, Any] = self.get("/api/v1/veo/record-info", params=params)["data"]
        return data

    def get(self, path: str, **kwargs: Any) -> dict[str, Any]:
        body: dict[str, Any] = self.client.call("GET", path, **kwargs).json()
        return body

    def post(self, path: str, body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.call("POST", path, json=body).json()
        return answer

    def file(self, scenario: str = "plain") -> str:
        """The URL of a result of such a generation."""
        url: str = self.details(self.generated(scenario))["response"]["resultUrls"][0]
        return url

    def until(self, condition: Callable[[], object]) -> None:
        deadline, pause = time.monotonic() + 10, threading.Event()
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            pause.wait(0.01)

    def deliveries(self, task_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.books()["generations"][task_id]["deliveries"]
        return found


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(Options(speed=SPEED, webhook_key=KEY, rate_limit=0)) as running:
        yield running


@pytest.fixture
def bench(running: Simulator) -> Iterator[Bench]:
    bench = Bench(SimulatorClient(running.url))
    yield bench
    bench.receiver.close()


def fetch(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10)


def boxes(video: bytes) -> list[str]:
    """The names of the top boxes; they must fill the file exactly."""
    names, at = [], 0
    while at < len(video):
        size, name = struct.unpack_from(">I4s", video, at)
        names.append(name.decode())
        at += size
    assert len(video) == at
    return names


# ---------------------------------------------------------------------- the API's answers


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        (
            "GET",
            "/api/v1/veo/record-info?taskId=apicity-test-nonexistent-veo-task-id-do-not-record-real",
            None,
            "Record not found for taskId: apicity-test-nonexistent-veo-task-id-do-not-record-real",
        ),
        (
            "GET",
            "/api/v1/veo/get-1080p-video?taskId=apicity-test-veo-1080p-not-found&index=0",
            None,
            "Record does not exist",
        ),
        (
            "POST",
            "/api/v1/veo/get-4k-video",
            {"taskId": "apicity-test-veo-4k-not-found", "index": 0},
            "Record does not exist",
        ),
        (
            "POST",
            "/api/v1/common/download-url",
            {"url": "https://cdn.kie.ai/files/sample-test-file.mp4"},
            "url is wrong",
        ),
    ],
)
def test_unknown_things_are_answered_as_recorded(
    bench: Bench, method: str, path: str, body: Any, expected: str
) -> None:
    response = bench.client.call(method, path, json=body)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert {"code": 422, "msg": expected, "data": None} == response.json()


def test_the_balance_is_a_float_as_recorded(bench: Bench) -> None:
    answer = bench.get("/api/v1/chat/credit")
    assert (answer["code"], answer["msg"]) == (200, "success")
    assert isinstance(answer["data"], float)


def test_a_submit_answers_as_recorded(bench: Bench) -> None:
    answer = bench.post("/api/v1/veo/generate", {"prompt": "a cat"})
    assert {"code": 200, "msg": "success", "data": {"taskId": answer["data"]["taskId"]}} == answer
    assert re.fullmatch(r"[0-9a-f]{32}", answer["data"]["taskId"])


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "sim-key"}])
def test_a_bad_key_is_answered_401_without_data(running: Simulator, headers: dict[str, str]) -> None:
    response = requests.get(f"{running.url}/api/v1/chat/credit", headers=headers, timeout=10)
    assert 401 == response.status_code == response.json()["code"]
    assert "data" not in response.json()


def test_a_body_that_is_no_json_object_is_refused(bench: Bench) -> None:
    for data in ("prompt=cat", "[1]"):
        assert bench.client.call("POST", "/api/v1/veo/generate", data=data).json()["code"] == 422


def test_unknown_endpoints_answer_in_the_envelope(bench: Bench) -> None:
    assert bench.get("/api/v1/veo/nothing")["code"] == 404
    assert bench.get("/api/v1/veo/generate")["code"] == 405


def test_too_many_submits_are_answered_http_429() -> None:
    with Simulator(Options()) as running:
        client = SimulatorClient(running.url)
        answers = [client.call("POST", "/api/v1/veo/generate", json={"prompt": "cat"}).status_code for _ in range(21)]
    assert answers == [200] * 20 + [429]


def test_an_answer_is_held_back_after_the_order_was_taken(bench: Bench) -> None:
    bench.post("/_simulator/scenarios", {"name": "held", "submit": {"hold": 60}})
    impatient = SimulatorClient(bench.client.base_url, timeout=0.2)
    with pytest.raises(requests.Timeout):
        impatient.generate("scenario=held once")
    prompts = [known["prompt"] for known in bench.client.books()["generations"].values()]
    assert prompts.count("scenario=held once") == 1


# ---------------------------------------------------------------------- callbacks


def test_the_signature_is_the_documented_one() -> None:
    signature = sign(KEY, "2b1b13eca3e8b8bbd5a88610d29dfd51", 1769670760)
    assert signature == "VldPXhS8qX3KpadU9xMEuyc0rlsxkrW8VtP4wBaPovU="


def test_a_callback_arrives_signed_at_the_very_url(bench: Bench) -> None:
    made = bench.client.generate("a cat", bench.receiver.url)
    call = bench.receiver.next()
    parts = urlsplit(bench.receiver.url)
    assert f"{parts.path}?{parts.query}" == call.path
    timestamp = int(call.headers["X-Webhook-Timestamp"])
    assert abs(time.time() - timestamp) < 5
    assert sign(KEY, made, timestamp) == call.headers["X-Webhook-Signature"]
    assert bench.details(made)["response"]["resultUrls"] == call.body["data"]["info"]["resultUrls"]
    bench.until(lambda: bench.deliveries(made))
    (delivery,) = bench.deliveries(made)
    assert (bench.receiver.url, 200, 200) == (delivery["url"], delivery["code"], delivery["status"])


def test_without_a_key_callbacks_are_unsigned(bench: Bench) -> None:
    with Simulator(Options(speed=SPEED)) as running:
        SimulatorClient(running.url).generate("a cat", bench.receiver.url)
        assert not [name for name in bench.receiver.next().headers if "webhook" in name.lower()]


def test_three_strikes_and_only_200_counts(bench: Bench) -> None:
    bench.statuses.extend([500, 201, 302, 200])
    made = bench.client.generate("a cat", bench.receiver.url)
    bench.until(lambda: len(bench.deliveries(made)) == 3)
    after = bench.client.generate("another cat", bench.receiver.url)
    bench.until(lambda: bench.deliveries(after))
    assert [delivery["status"] for delivery in bench.deliveries(made)] == [500, 201, 302]


def test_a_failed_delivery_is_sent_again_until_it_arrives(bench: Bench) -> None:
    bench.statuses.extend([503, 200])
    made = bench.client.generate("scenario=reordered-callbacks a cat", bench.receiver.url)
    bench.until(lambda: len(bench.deliveries(made)) == 3)
    told = [(delivery["code"], delivery["status"]) for delivery in bench.deliveries(made)]
    assert told == [(500, 503), (500, 200), (200, 200)]


def test_a_receiver_that_is_gone_is_a_strike(bench: Bench) -> None:
    bench.receiver.close()
    made = bench.client.generate("a cat", bench.receiver.url)
    bench.until(lambda: len(bench.deliveries(made)) == 3)
    assert [delivery["error"] for delivery in bench.deliveries(made)] == ["ConnectionError"] * 3


def test_a_slow_answer_is_a_strike(bench: Bench) -> None:
    bench.receiver.release.clear()
    courier = Courier(time.time, retry_after=0, webhook_key=None, answer_limit=0.1)
    record: list[dict[str, Any]] = []
    courier.send(Delivery("t", bench.receiver.url, {"code": 200}, due=0, record=record))
    courier.start()
    bench.until(lambda: len(record) == 3)
    courier.stop()
    assert [attempt["error"] for attempt in record] == ["ReadTimeout"] * 3


def test_4k_is_announced_under_its_new_id(bench: Bench) -> None:
    base = bench.generated()
    order = {"taskId": base, "index": 0, "callBackUrl": bench.receiver.url + "&4k"}
    new = bench.post("/api/v1/veo/get-4k-video", order)["data"]["taskId"]
    call = bench.receiver.next()
    assert call.path.endswith("&4k")
    assert new == call.body["data"]["taskId"] != base
    bench.until(lambda: bench.client.books()["purchases"][-1]["deliveries"])


def test_a_callback_is_sent_once_more_on_request(bench: Bench) -> None:
    made = bench.generated("no-callback", callback_url=bench.receiver.url)
    assert bench.post("/_simulator/deliver", {"taskId": made}) == {"sent": True}
    assert made == bench.receiver.next().body["data"]["taskId"]
    assert bench.post("/_simulator/deliver", {"taskId": "unknown"}) == {"sent": False}


# ---------------------------------------------------------------------- files


def test_every_file_is_sound_and_unlike_any_other(bench: Bench) -> None:
    one, other = fetch(bench.file()), fetch(bench.file())
    assert one.content != other.content
    assert boxes(one.content) == ["ftyp", "moov", "free", "mdat", "free"]
    assert one.headers["Content-Type"] == "video/mp4"
    assert str(len(one.content)) == one.headers["Content-Length"]
    assert one.headers["ETag"] != other.headers["ETag"]
    assert one.headers["Accept-Ranges"] == "bytes"


def test_the_picture_beside_a_4k_is_a_jpeg(bench: Bench) -> None:
    order = {"taskId": bench.generated("4k-already-made"), "index": 0}
    made = bench.post("/api/v1/veo/get-4k-video", order)["data"]
    picture = fetch(made["imageUrls"][0])
    assert picture.headers["Content-Type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8\xff\xfe")
    assert picture.content.endswith(b"\xff\xd9")
    assert boxes(fetch(made["resultUrls"][0]).content)


def test_ranges_resume_a_download(bench: Bench) -> None:
    url = bench.file()
    whole = fetch(url)
    part = fetch(url, Range="bytes=1000-1999")
    assert (206, whole.content[1000:2000]) == (part.status_code, part.content)
    assert f"bytes 1000-1999/{len(whole.content)}" == part.headers["Content-Range"]
    rest = fetch(url, Range="bytes=1000-", **{"If-Range": whole.headers["ETag"]})
    assert (206, whole.content[1000:]) == (rest.status_code, rest.content)
    changed = fetch(url, Range="bytes=1000-", **{"If-Range": '"another"'})
    assert (200, whole.content) == (changed.status_code, changed.content)
    assert fetch(url, Range="bytes=999999999-").status_code == 416
    assert fetch(url, **{"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_a_head_is_neither_counted_nor_faulty(bench: Bench) -> None:
    url = bench.file("download-fails-twice")
    response = requests.head(url, timeout=10)
    assert response.status_code == 200
    assert int(response.headers["Content-Length"]) > 100_000
    assert fetch(url).status_code == 500


def test_a_truncated_file_breaks_its_promise_then_comes_whole(bench: Bench) -> None:
    url = bench.file("truncated-download")
    for _ in range(2):
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            fetch(url)
    assert boxes(fetch(url).content)


def test_a_short_file_keeps_its_promise_and_is_no_video(bench: Bench) -> None:
    url = bench.file("short-download")
    short = fetch(url)
    assert str(len(short.content)) == short.headers["Content-Length"]
    whole = fetch(url).content
    assert len(whole) // 2 == len(short.content)
    with pytest.raises((AssertionError, struct.error)):
        boxes(short.content)
    assert boxes(whole)


def test_a_reset_breaks_the_connection(bench: Bench) -> None:
    url = bench.file("reset-download")
    with pytest.raises(requests.RequestException, match="reset by peer"):
        fetch(url)
    assert boxes(fetch(url).content)


def test_a_stall_sends_half_and_then_nothing(bench: Bench) -> None:
    url = bench.file("stalled-download")
    with pytest.raises(requests.ConnectionError, match="timed out"):
        requests.get(url, timeout=0.3)
    assert boxes(fetch(url).content)


def test_a_web_page_comes_with_status_200(bench: Bench) -> None:
    url = bench.file("html-download")
    page = fetch(url)
    assert page.status_code == 200
    assert page.text.startswith("<!DOCTYPE html>")
    assert boxes(fetch(url).content)


def test_a_dead_link_is_renewed_by_download_url(bench: Bench) -> None:
    url = bench.file("renewable-link")
    assert fetch(url).status_code == 404
    fresh = bench.post("/api/v1/common/download-url", {"url": url})["data"]
    assert boxes(fetch(fresh).content)


def test_file_urls_bear_the_public_url() -> None:
    with Simulator(Options(speed=SPEED, public_url="http://vendor.example:9/")) as running:
        bench = Bench(SimulatorClient(running.url))
        assert bench.file().startswith("http://vendor.example:9/v/")
        bench.receiver.close()


# ---------------------------------------------------------------------- the books


def test_simultaneous_orders_are_one_purchase(bench: Bench) -> None:
    base = bench.generated()
    before = bench.client.books()["creditsLeft"]
    order = {"taskId": base, "index": 0}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.post("/api/v1/veo/get-4k-video", order), range(8)))
    assert Counter(answer["code"] for answer in answers) == {200: 1, 422: 7}
    books = bench.client.books()
    bought = [purchase for purchase in books["purchases"] if purchase["taskId"] == base]
    assert [(each["kind"], each["index"], each["credits"]) for each in bought] == [("4k", 0, 120)]
    assert before - books["creditsLeft"] == 120
    assert {"taskId": base, "index": 0, "kind": "4k", "count": 8} in books["asked"]


def test_the_books_know_every_file_by_our_words(bench: Bench) -> None:
    made = bench.generated("portrait")
    books = bench.client.books()
    known = books["generations"][made]
    assert (known["scenario"], known["outcome"], known["parent"]) == ("portrait", "success", None)
    for kind, urls in (("result", known["resultUrls"]), ("origin", known["originUrls"])):
        path = urlsplit(urls[0]).path
        listed = books["files"][path]
        content = fetch(urls[0]).content
        assert (made, kind, 0) == (listed["taskId"], listed["kind"], listed["index"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (listed["bytes"], listed["sha256"])


def test_fetches_and_questions_are_counted_audits_are_not(bench: Bench) -> None:
    made = bench.generated("html-download")
    url = bench.details(made)["response"]["resultUrls"][0]
    path = urlsplit(url).path
    truth = bench.client.true_bytes(path)
    fetch(url)
    assert truth == fetch(url).content
    books = bench.client.books()
    assert {"count": 2, "bytes": len(truth)} == books["fetches"][path]
    assert books["details"][made] >= 2
    assert books["requests"]["POST /api/v1/veo/generate"] >= 1


def test_a_scenario_is_added_at_run_time(bench: Bench) -> None:
    added = bench.post("/_simulator/scenarios", {"name": "twins", "results": 2, "file_faults": [500]})
    assert added == {"name": "twins"}
    assert len(bench.details(bench.generated("twins"))["response"]["resultUrls"]) == 2
    for wrong in ({"results": 2}, {"name": "x", "colour": 1}, {"name": "x", "file_faults": ["no"]}):
        assert "error" in bench.post("/_simulator/scenarios", wrong)


def test_health_needs_no_key(running: Simulator) -> None:
    assert fetch(f"{running.url}/_simulator/health").json() == {"status": "ok"}


# ---------------------------------------------------------------------- the command


def test_help_teaches_every_scenario() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    assert [name for name in BUILT_IN if f"  {name} " not in text] == []


def test_a_wrong_scenario_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text('{"x": {"results": 0}}')
    result = CliRunner().invoke(command, ["--scenarios", str(file)])
    assert result.exit_code == 2
    assert "x.results" in result.output


def test_the_program_tells_its_address_keeps_its_keys_and_ends_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "scenarios.json"
    file.write_text('{"twins": {"results": 2}}')
    arguments = ["--speed", str(SPEED), "--api-key", "the-key", "--webhook-key", "the-hook"]
    program = subprocess.Popen(
        [sys.executable, "-m", "app.simulator", *arguments, "--scenarios", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line.startswith("simulator listening on http://127.0.0.1:")
    bench = Bench(SimulatorClient(line.split()[-1], "the-key"))
    url = bench.file("twins")
    fresh = bench.post("/api/v1/common/download-url", {"url": url})["data"]
    assert fetch(fresh).status_code == 200
    bench.client.generate("a cat", bench.receiver.url)
    bench.receiver.next()
    bench.receiver.close()
    program.send_signal(signal.SIGTERM)
    _, log = program.communicate(timeout=10)
    assert program.returncode == 0
    assert "generation.created" in log
    for secret in ("the-key", "the-hook", "secret-token", "X-Amz-Signature", "Traceback"):
        assert secret not in log


def test_the_simulator_imports_nothing_else_of_the_application() -> None:
    script = (
        "import sys, app.simulator.command, app.simulator.client\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('app', 'workers')"
        " and n != 'app' and not n.startswith('app.simulator')])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
