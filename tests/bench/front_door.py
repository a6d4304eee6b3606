"""How many callbacks the front door takes, and how soon, beside its peers in the same run on the same machine.

    python -m tests.bench.front_door

Reelkeep verifies, records, counts and enqueues each callback, and logs a line; the peers do less. Each runs under gunicorn with
two workers: Reelkeep as it is deployed, the peers with eight threads each. Rounds alternate and the median is shown; then no-op
and Reelkeep are asked half as many a second as Reelkeep can take, for how long answers take. Absolute figures depend on the
machine; the ratios are what to read.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import redis

from app.adapters.redis_ledger import RedisLedger
from app.adapters.signature import sign
from app.embedded.redis_server import redis_server
from app.embedded.service import Service, free_port, running
from tests.bench.load import Load, prepare, send
from tests.support.course import complete

KEY, CONNECTIONS = "bench-key", 16
NOOP, NAIVE, USUAL, REELKEEP, REPEATS = (
    "bare Flask no-op",
    "send_task",
    "send_task, as usual",
    "Reelkeep",
    "Reelkeep, repeats",
)
APPS = {
    NOOP: "tests.bench.peers.noop:app",
    NAIVE: "tests.bench.peers.naive:app",
    USUAL: "tests.bench.peers.usual:app",
    REELKEEP: "app.web.wsgi:app",
}


@dataclass
class Found:
    """What was measured of one way, a figure for each round."""

    #: callbacks a second
    rates: list[float] = field(default_factory=list)
    #: CPU milliseconds for each callback: of the server, and of Redis
    server_ms: list[float] = field(default_factory=list)
    redis_ms: list[float] = field(default_factory=list)


def main() -> None:
    """Run the rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1500, help="in each round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    found = {name: Found() for name in (*APPS, REPEATS)}
    waits: dict[str, list[Load]] = {NOOP: [], REELKEEP: []}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = _Bench(Path(folder), stack)
        settled = bench.settle(options.requests)
        for turn in range(options.rounds + 1):
            # The first round warms up. Each goes the other way round: what comes after what must not matter.
            for name in list(found)[:: -1 if turn % 2 else 1]:
                requests = settled if name == REPEATS else _callbacks(options.requests if turn else 300)
                bench.measure(name, requests, found[name] if turn else Found())
        half = statistics.median(found[REELKEEP].rates) / 2
        for _ in range(3):
            for name, loads in waits.items():
                loads.append(bench.send(name, _callbacks(options.requests), half))
    _print(found, waits, half)
    if options.json:
        figures = {name: vars(one) for name, one in found.items()}
        at_half = {
            name: [[load.percentile(50), load.percentile(99)] for load in loads] for name, loads in waits.items()
        }
        written = {"rounds": figures, "half_rate": half, "waits_p50_p99": at_half, "versions": _versions()}
        options.json.write_text(json.dumps(written, indent=1) + "\n")


class _Bench:
    """A Redis, and a server for each way."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        port = free_port()
        stack.enter_context(running(redis_server(folder / "redis", port), folder / "redis.log"))
        self._url = f"redis://127.0.0.1:{port}/0"
        self._redis = redis.Redis(port=port)
        self._redis_pid = int(self._redis.info()["process_id"])
        self._servers: dict[str, tuple[int, int]] = {}
        for name, app in APPS.items():
            port = free_port()
            process = stack.enter_context(running(_gunicorn(app, port, self._url), folder / f"{app}.log"))
            self._servers[name] = port, process.pid
        self._settled: list[tuple[bytes, bytes]] = []

    def settle(self, count: int) -> list[bytes]:
        """Have so many generations completed. Gives the callback of each, to be brought once more."""
        ids = [uuid.uuid4().hex for _ in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(complete, RedisLedger(self._url)), ids))
        keys = self._redis.keys("reelkeep:gen:*")
        texts = self._redis.mget(keys)
        self._settled = list(zip(keys, texts, strict=True))
        return [_callback(task_id) for task_id in ids]

    def send(self, name: str, requests: list[bytes], rate: float | None = None) -> Load:
        return send(self._server(name)[0], requests, CONNECTIONS, rate)

    def _server(self, name: str) -> tuple[int, int]:
        return self._servers[REELKEEP if name == REPEATS else name]

    def measure(self, name: str, requests: list[bytes], found: Found) -> None:
        self._redis.flushall()
        if name == REPEATS:
            self._redis.mset(dict(self._settled))
        pid = self._server(name)[1]
        before = _cpu_ms(pid), _cpu_ms(self._redis_pid)
        found.rates.append(self.send(name, requests).rate)
        after = _cpu_ms(pid), _cpu_ms(self._redis_pid)
        for costs, one, other in zip((found.server_ms, found.redis_ms), before, after, strict=True):
            costs.append((other - one) / len(requests))


def _gunicorn(app: str, port: int, redis_url: str) -> Service:
    env = {**os.environ, "REELKEEP_REDIS_URL": redis_url, "REELKEEP_WEBHOOK_KEYS": KEY}
    deployed = ("--config", "python:app.web.gunicorn_conf")
    usual = ("--worker-class", "gthread", "--threads", "8", "--no-control-socket")
    options = (*(deployed if app == APPS[REELKEEP] else usual), "--workers", "2", "--bind", f"127.0.0.1:{port}")
    return Service(app, (sys.executable, "-m", "gunicorn", *options, app), env, lambda: _answers(port))


def _answers(port: int) -> bool:
    try:
        send(port, [_callback(uuid.uuid4().hex)], 1)
    except OSError:
        return False
    return True


def _callbacks(count: int) -> list[bytes]:
    return [_callback(uuid.uuid4().hex) for _ in range(count)]


def _callback(task_id: str) -> bytes:
    timestamp = str(int(time.time()))
    urls = [f"https://tempfile.aiquickdraw.com/v/{task_id}_{timestamp}.mp4"]
    body = {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": urls, "resolution": "720p"}}}
    signature = {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": sign(KEY, task_id, timestamp)}
    return prepare("/callbacks/veo", json.dumps(body).encode(), {"Content-Type": "application/json", **signature})


def _cpu_ms(pid: int) -> float:
    first = psutil.Process(pid)
    times = [process.cpu_times() for process in (first, *first.children())]
    return 1000 * float(sum(one.user + one.system for one in times))


def _print(found: dict[str, Found], waits: dict[str, list[Load]], half: float) -> None:
    rate = {name: statistics.median(one.rates) for name, one in found.items()}
    head = ("callbacks/s", "spread", "× no-op", "× send_task", "× as usual", "server ms", "Redis ms")
    print(f"{'':<22}" + "".join(f"{title:>13}" for title in head))
    for name, one in found.items():
        low, *_, high = statistics.quantiles(one.rates, n=4) if len(one.rates) > 1 else one.rates * 2
        ratios = "".join(f"{rate[name] / rate[peer]:>13.2f}" for peer in (NOOP, NAIVE, USUAL))
        costs = "".join(f"{statistics.median(ms):>13.2f}" for ms in (one.server_ms, one.redis_ms))
        print(f"{name:<22}{rate[name]:>13.0f}{f'{low:.0f}-{high:.0f}':>13}{ratios}{costs}")
    pairs = [other / one for one, other in zip(found[REELKEEP].rates, found[REPEATS].rates, strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    print(f"{REPEATS} / new ones, round by round: {middle:.2f} (half of them: {low:.2f} to {high:.2f})")
    print(f"\nat {half:.0f} callbacks a second:")
    for name, loads in waits.items():
        p50, p99 = (1000 * statistics.median(load.percentile(share) for load in loads) for share in (50, 99))
        print(f"{name:<22} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")
    print(", ".join(f"{name} {number}" for name, number in _versions().items()))


def _versions() -> dict[str, str]:
    packages = ("flask", "gunicorn", "celery", "redis")
    return {**{package: version(package) for package in packages}, "python": sys.version.split()[0]}


if __name__ == "__main__":
    main()
