"""A mirror process before a thousand downloads: which come first, and whether manifests wait behind them."""

import http.server
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import NOTHING_SET, Plan, Stack, running_stack
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from tests.support.waiting import wait_for

#: how much waits, threads of the one mirror process, seconds that a file takes to come
WAITING, THREADS, SLOW = 1000, 4, 0.1
HOUR = 3600.0


class Origin(http.server.ThreadingHTTPServer):
    """Where the files are: each takes its time. Notes what was asked for, in order."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), OriginHandler)
        self.content = content
        self.fetched: list[str] = []
        self.closing = threading.Event()

    def url(self, task_id: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{task_id}.mp4"


class OriginHandler(http.server.BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        self.server.fetched.append(Path(self.path).stem)
        self.server.closing.wait(SLOW)
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def slow_origin(content: bytes) -> Iterator[Origin]:
    with Origin(content) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def succeed(ledger: RedisLedger, origin: Origin, task_id: str, age: float) -> None:
    """The vendor says that a generation has succeeded, and that it was made so many seconds ago."""

    def transition(draft: Draft) -> None:
        draft.generation = Generation.track(task_id, draft.now, Policy())
        urls = Urls(result=(origin.url(task_id),))
        draft.generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=urls, made_at=draft.now - age), "poll", draft.now)

    ledger.change(task_id, transition)


@contextmanager
def mirror_alone(folder: Path) -> Iterator[Stack]:
    """Redis, the S3 endpoint, and one mirror process that is not running yet."""
    env = {
        **NOTHING_SET,
        "REELKEEP_WEBHOOK_KEYS": "key",
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "MIRROR_CONCURRENCY": str(THREADS),
    }
    with running_stack(Plan(folder, env=env, counts={"mirror": 1})) as stack:
        stack.supervisor.kill("mirror", hold=True)
        yield stack


def test_before_a_backlog_the_nearest_end_comes_first_and_no_manifest_waits(tmp_path: Path, media: Path) -> None:
    ages = {f"task-{number:04}": number * HOUR / 4 for number in range(WAITING)}
    shuffled = random.Random(5).sample(sorted(ages), WAITING)
    content = (media / "result-720p.mp4").read_bytes()
    with slow_origin(content) as origin, mirror_alone(tmp_path) as stack:
        ledger = RedisLedger(stack.redis_url)
        for task_id in shuffled:
            succeed(ledger, origin, task_id, ages[task_id])
        stack.supervisor.release("mirror")
        wait_for(lambda: ledger.count()[State.COMPLETE] >= 100)
        begun = len(origin.fetched)
        succeed(ledger, origin, "late", 13 * 24 * HOUR)
        wait_for(lambda: ledger.read("late").generation.state is State.COMPLETE)  # type: ignore[union-attr]
        fetched = list(origin.fetched)
        done = _complete(stack, ledger)

    assert fetched.index("late") - begun <= 2 * THREADS, "it overtook the backlog"
    oldest = sorted(ages, reverse=True)
    # Those that were under way at the same time may have come in any order.
    assert set(fetched[:100]) <= set(oldest[: 100 + THREADS])
    # How many downloads ended between a generation's own and its manifest.
    stored = sorted(at for at, _ in done)
    passed = [sum(own < at < complete for at in stored) for own, complete in done]
    assert len(done) >= 100
    assert max(passed) <= 4 * THREADS


def _complete(stack: Stack, ledger: RedisLedger) -> list[tuple[float, float]]:
    """When the renditions of the complete generations were stored, and when their manifests were written."""
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        names = client.zrange(f"reelkeep:state:{State.COMPLETE}", 0, -1)
    found = [ledger.read(name).generation for name in names]  # type: ignore[union-attr]
    return [(one.renditions[0].stored_at or 0.0, one.complete_at or 0.0) for one in found if one is not None]
