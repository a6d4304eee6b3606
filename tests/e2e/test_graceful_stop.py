"""A process that is told to stop ends what can be ended, hands the rest over, and is gone before its platform kills it."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from urllib.parse import urlsplit

import pytest

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import BUCKET
from app.domain.policy import Policy
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from app.pipeline.track import track
from tests.support.fleet import TOKEN, Fleet, running_fleet
from tests.support.held import held_vendor
from tests.support.procfile import yard
from tests.support.waiting import wait_for

#: seconds from SIGTERM to SIGKILL on Heroku, in Kubernetes and in our docker-compose.yml
GRACE = 30.0
#: the vendor answers too late for anybody who stops meanwhile
HELD = {"name": "held-order", "order_1080p": {"hold": 25}}


class Leaving:
    """A process that is told to stop, and how it does."""

    def __init__(self, name: str, process: Popen[bytes]) -> None:
        self.name = name
        self.took = float("inf")
        self._process = process
        self._began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self._watch = threading.Thread(target=self._wait, daemon=True)
        self._watch.start()

    def _wait(self) -> None:
        self._process.wait()
        self.took = time.monotonic() - self._began

    def assert_good(self) -> None:
        self._watch.join(GRACE + 10)
        assert (self.name, self._process.poll()) == (self.name, 0)
        assert self.took < GRACE, self.name


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One of each process, so that what one hands over waits for its successor."""
    with running_fleet(tmp_path_factory.mktemp("stopping")) as fleet:
        fleet.vendor.call("POST", "/_simulator/scenarios", json=HELD).raise_for_status()
        yield fleet


@pytest.fixture(scope="module", autouse=True)
def before_a_silent_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Leaving]]:
    """One of each process, told to stop while Redis says nothing. Begun first and looked at last, for it takes a while."""
    folder, port = tmp_path_factory.mktemp("silent"), free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with running(redis_server(folder, port), folder / "redis.log") as server, held_vendor() as (vendor, vendor_url):
        env = {
            "REELKEEP_REDIS_URL": url,
            "REELKEEP_S3_BUCKET": BUCKET,
            "REELKEEP_KIE_API_KEY": "planted-vendor-key",
            "REELKEEP_KIE_BASE_URL": vendor_url,
            "REELKEEP_ALLOW_UNSIGNED": "1",
            "REELKEEP_SWEEP_EVERY": "1",
            "PORT": str(free_port()),
        }
        with yard(folder, env) as made:
            processes = [made.start(kind) for kind in ("web", "worker", "mirror", "beat")]
            wait_for(lambda: RedisLedger(url).stats().get("sweeps"))
            wait_for(lambda: processes[0].said("Booting worker") >= 2)
            vendor.close()
            track("under-way", (), {}, RedisLedger(url), Policy(first_poll_after=0))
            wait_for(lambda: vendor.asked["under-way"])
            server.send_signal(signal.SIGSTOP)
            vendor.open()  # the worker has an answer, and nowhere to write it down
            try:
                yield [Leaving(process.kind, process.process) for process in processes]
            finally:
                server.send_signal(signal.SIGCONT)


def stop(fleet: Fleet, *names: str) -> list[Leaving]:
    """Tell processes to stop; they are not started again."""
    supervisor = fleet.stack.supervisor
    for name in names:
        supervisor[name].held = True
    return [Leaving(name, supervisor[name].process) for name in names]


def release(fleet: Fleet, *names: str) -> None:
    """Have processes started again."""
    for name in names:
        fleet.stack.supervisor.release(name)


@contextmanager
def silent_store(fleet: Fleet) -> Iterator[None]:
    """An S3 endpoint that takes connections and says nothing."""
    process = fleet.stack.supervisor["s3"].process
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def await_storing(fleet: Fleet, task_id: str) -> None:
    """Wait until a file has come whole from the vendor, so that the store is what is waited for."""

    def came() -> bool:
        books = fleet.vendor.books()
        files = {path: row for path, row in books["files"].items() if row["taskId"] == task_id}
        return any(books["fetches"].get(path, {}).get("bytes", 0) >= row["bytes"] for path, row in files.items())

    wait_for(came)


def test_what_is_being_stored_is_stored_and_not_fetched_again(fleet: Fleet) -> None:
    with silent_store(fleet):
        task_id = fleet.generate()
        await_storing(fleet, task_id)
        [leaving] = stop(fleet, "mirror")
    leaving.assert_good()
    release(fleet, "mirror")
    [rendition] = fleet.await_state(task_id)["renditions"]
    assert (rendition["attempts"], fleet.fetches(task_id)) == (1, 1)
    fleet.assert_stored(task_id, "result-0.mp4")


def test_a_request_under_way_is_answered(fleet: Fleet) -> None:
    body = json.dumps({"upgrades": []}).encode()
    parts = urlsplit(fleet.stack.web_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=GRACE) as connection:
        head = (
            f"PUT /generations/late HTTP/1.1\r\nHost: web\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\n"
        )
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")  # it has begun with it, and waits for the rest
        [leaving] = stop(fleet, "web")
        wait_for(lambda: fleet.log("web").count("Handling signal: term"))
        connection.sendall(body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.load(answer)["taskId"]) == (201, "late")
    leaving.assert_good()
    release(fleet, "web")
    wait_for(fleet.stack.is_ready)


def test_downloads_orders_and_a_silent_store_hold_nobody_up_and_nothing_is_lost_or_bought_twice(fleet: Fleet) -> None:
    done = fleet.generate()
    fleet.await_state(done)
    ordered = fleet.generate("held-order", upgrades=("1080p",))
    wait_for(lambda: any(row["taskId"] == ordered for row in fleet.vendor.books()["purchases"]))
    dripping = fleet.generate("dripping-download")
    wait_for(lambda: fleet.fetches(dripping) == 1)
    with silent_store(fleet):
        storing = fleet.generate()
        await_storing(fleet, storing)
        for leaving in stop(fleet, "worker", "mirror", "beat"):
            leaving.assert_good()
        assert fleet.log("mirror").count("worker.cut_off handed_over=1") == 1
    release(fleet, "worker", "mirror", "beat")
    for task_id in (dripping, storing):
        [rendition] = fleet.await_state(task_id)["renditions"]
        assert (rendition["attempts"], fleet.fetches(task_id)) == (1, 2), "an interruption is no attempt"
        fleet.assert_stored(task_id, "result-0.mp4")
    fleet.await_state(ordered)
    fleet.assert_stored(ordered, "result-0.mp4", "1080p-0.mp4")
    assert [row["taskId"] for row in fleet.vendor.books()["purchases"]] == [ordered]
    assert fleet.fetches(done) == 1


def test_a_silent_redis_holds_nobody_up(before_a_silent_redis: list[Leaving]) -> None:
    for leaving in before_a_silent_redis:
        leaving.assert_good()
