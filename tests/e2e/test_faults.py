"""Things are broken while work is under way; every video still arrives, once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import BUCKET
from app.embedded.service import free_port
from tests.support.fleet import TIMES, Fleet, running_fleet
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One of each process, so that killing it leaves nobody to do its work until it is back."""
    with running_fleet(tmp_path_factory.mktemp("fragile")) as fleet:
        yield fleet


def test_an_emptied_broker_is_made_up_for(fragile: Fleet) -> None:
    for name in ("worker", "mirror"):  # so that all of it is in the queue
        fragile.stack.supervisor.kill(name, signal.SIGKILL, hold=True)
    ids = [fragile.generate("plain", upgrades=("1080p",)) for _ in range(20)]
    wait_for(lambda: all(fragile.show(task_id)["state"] for task_id in ids))
    wait_for(lambda: fragile.broker().llen("reelkeep.quick") >= len(ids))
    fragile.broker().flushdb()
    for name in ("worker", "mirror"):
        fragile.stack.supervisor.release(name)
    for task_id in ids[:10]:
        fragile.await_state(task_id)
    fragile.broker().flushdb()  # and again half-way
    for task_id in ids:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4", "1080p-0.mp4")
    bought = [row["taskId"] for row in fragile.vendor.books()["purchases"]]
    assert sorted(bought) == sorted(ids)


def test_a_mirror_killed_in_the_middle_of_a_download_is_made_up_for(fragile: Fleet) -> None:
    task_id = fragile.generate("stalled-download")  # half the file, then silence
    wait_for(lambda: fragile.fetches(task_id) == 1)
    fragile.stack.supervisor.kill("mirror")
    shown = fragile.await_state(task_id)
    assert shown["renditions"][0]["attempts"] == 2
    assert fragile.fetches(task_id) == 2
    fragile.assert_stored(task_id, "result-0.mp4")


def test_a_mirror_told_to_stop_hands_its_download_over(fragile: Fleet) -> None:
    task_id = fragile.generate("stalled-download")
    wait_for(lambda: fragile.fetches(task_id) == 1)
    restarts = fragile.stack.supervisor["mirror"].restarts
    fragile.stack.supervisor.kill("mirror", signal.SIGTERM)
    wait_for(lambda: fragile.stack.supervisor["mirror"].restarts > restarts)
    shown = fragile.await_state(task_id)
    assert shown["renditions"][0]["attempts"] == 1, "being interrupted by a deployment is no attempt"
    fragile.assert_stored(task_id, "result-0.mp4")


def test_a_killed_worker_is_made_up_for(fragile: Fleet) -> None:
    ids = [fragile.generate("plain", upgrades=("4k",)) for _ in range(10)]
    for _ in range(3):
        pid = fragile.stack.supervisor.kill("worker")
        wait_for(lambda pid=pid: fragile.stack.supervisor["worker"].pid != pid)  # type: ignore[misc]
    for task_id in ids:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4", "4k-0.mp4", "4k-0.jpg")
    bought = [row["taskId"] for row in fragile.vendor.books()["purchases"] if row["taskId"] in ids]
    assert sorted(bought) == sorted(ids)


def test_a_killed_redis_is_made_up_for_and_workers_outlive_it(fragile: Fleet) -> None:
    supervisor = fragile.stack.supervisor
    before = {name: supervisor[name].restarts for name in ("worker", "mirror", "beat")}
    ids = []
    for _ in range(3):
        ids += [fragile.generate() for _ in range(5)]
        pid = supervisor.kill("redis")
        wait_for(lambda pid=pid: supervisor["redis"].pid != pid)  # type: ignore[misc]
        wait_for(lambda: fragile.call("GET", "/generations?limit=1").status_code == 200)
    for task_id in ids:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4")
    assert {name: supervisor[name].restarts for name in before} == before


def test_a_web_process_killed_over_and_over_loses_no_generation(fragile: Fleet) -> None:
    ids = [fragile.vendor.generate("scenario=plain a cat", fragile.callback_url) for _ in range(10)]
    for _ in range(3):
        pid = fragile.stack.supervisor.kill("web")
        wait_for(lambda pid=pid: fragile.stack.supervisor["web"].pid != pid)  # type: ignore[misc]
        wait_for(fragile.stack.is_ready)
    for task_id in ids:
        fragile.call("PUT", f"/generations/{task_id}")
    for task_id in ids:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4")


def test_an_s3_endpoint_that_is_away_for_a_while_delays_and_loses_nothing(fragile: Fleet) -> None:
    fragile.stack.supervisor.kill("s3", hold=True)
    ids = [fragile.generate() for _ in range(5)]
    wait_for(lambda: all(fragile.show(task_id)["renditions"] for task_id in ids))
    wait_for(lambda: all(fragile.show(task_id)["renditions"][0]["error"] for task_id in ids))
    assert {fragile.show(task_id)["state"] for task_id in ids} == {"mirroring"}
    fragile.stack.supervisor.release("s3")
    for task_id in ids:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4")


def test_an_s3_endpoint_that_says_nothing_does_not_stop_the_quick_work(fragile: Fleet) -> None:
    s3 = fragile.stack.supervisor["s3"].process
    s3.send_signal(signal.SIGSTOP)
    try:
        stuck = [fragile.generate() for _ in range(5)]
        wait_for(lambda: all(fragile.show(task_id)["renditions"] for task_id in stuck))
        ledger = RedisLedger(fragile.stack.redis_url)
        sweeps = ledger.stats()["sweeps"]
        wait_for(lambda: ledger.stats()["sweeps"] >= sweeps + 20, limit=60)  # longer than the bucket is waited for
        late = fragile.generate("failed-400")
        fragile.await_state(late, "failed", limit=20)
        assert not fragile.stack.is_ready()
    finally:
        s3.send_signal(signal.SIGCONT)
    for task_id in stuck:
        fragile.await_state(task_id)
        fragile.assert_stored(task_id, "result-0.mp4")


def test_a_generation_that_cannot_be_read_is_seen_and_stops_no_other(fragile: Fleet) -> None:
    wait_for(fragile.stack.is_ready)
    client = redis.Redis.from_url(fragile.stack.redis_url)
    broken = fragile.generate("no-callback")
    text = client.get(f"reelkeep:gen:{broken}")
    client.set(f"reelkeep:gen:{broken}", "{")
    assert fragile.vendor.call("POST", "/_simulator/deliver", json={"taskId": broken}).status_code in (200, 404)

    def seen() -> str:
        answer = requests.get(f"{fragile.stack.web_url}/readyz", timeout=10)
        return str(answer.json()["checks"]["work"]) if answer.status_code == 503 else ""

    assert f"settle/{broken}" in wait_for(seen)
    fragile.await_state(fragile.generate())
    assert isinstance(text, bytes)
    client.set(f"reelkeep:gen:{broken}", text)
    fragile.await_state(broken)
    wait_for(fragile.stack.is_ready)


def test_without_a_vendor_key_callbacks_are_believed(tmp_path: Path) -> None:
    with running_fleet(tmp_path, REELKEEP_KIE_API_KEY="") as fleet:
        good, bad = fleet.generate("odd-body-json-string"), fleet.generate("failed-422")
        both = fleet.generate("reordered-callbacks")
        assert fleet.await_state(good)["verdictFrom"] == "callback"
        assert fleet.await_state(bad, "failed")["code"] == 422
        fleet.await_state(both)
        for task_id in (good, both):
            fleet.assert_stored(task_id, "result-0.mp4")


def test_up_keeps_its_data_across_restarts(tmp_path: Path) -> None:
    """`reelkeep up` twice on one folder: what was tracked is known, what was stored is there."""
    port, flower_port = free_port(), free_port()
    url, kept = f"http://127.0.0.1:{port}", tmp_path / "data" / "env"
    env = {**os.environ, **TIMES, "REELKEEP_ALLOW_UNSIGNED": "1", "REELKEEP_API_TOKENS": "token"}
    argv = [sys.executable, "-m", "app.cli", "up", "--data", str(tmp_path / "data")]
    argv += ["--port", str(port), "--flower-port", str(flower_port), "--redis-port", str(free_port())]

    def is_ready() -> bool:
        try:
            return requests.get(f"{url}/readyz", timeout=3).ok
        except requests.RequestException:
            return False

    def run_and(act: str) -> int:
        kept.unlink(missing_ok=True)
        process = subprocess.Popen(argv, env=env, cwd=tmp_path)
        try:
            wait_for(is_ready)
            headers = {"Authorization": "Bearer token"}
            answer = requests.request(act, f"{url}/generations/kept", headers=headers, timeout=10)
            wait_for(kept.exists)
            assert kept.stat().st_mode & 0o077 == 0, "it holds secrets"
            beside = f"set -a; . {kept}; exec {sys.executable} -m app.cli rebuild"  # needs Redis and bucket
            assert subprocess.run(["/bin/sh", "-c", beside], cwd=tmp_path, timeout=60).returncode == 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            return answer.status_code
        finally:
            process.kill()
            process.wait()

    assert run_and("PUT") == 201
    assert run_and("GET") == 200
    assert (tmp_path / "data" / "s3" / BUCKET).is_dir()
    assert not is_ready()
