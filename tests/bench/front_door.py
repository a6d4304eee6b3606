"""How many callbacks the front door takes, beside its peers in the same run on the same machine.

    python -m tests.bench.front_door

Reelkeep verifies, records and enqueues each callback; the peers do less. Each runs under gunicorn with the same workers and
threads; rounds alternate, and the median is shown. Absolute figures depend on the machine; the ratios are what to read.
"""

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import psutil
import redis

from app.adapters.signature import sign
from app.embedded.redis_server import redis_server
from app.embedded.service import Service, free_port, running

KEY, CONNECTIONS = "bench-key", 16
TARGETS = {
    "bare Flask no-op": "tests.bench.peers.noop:app",
    "Flask + send_task": "tests.bench.peers.naive:app",
    "Reelkeep": "app.web.wsgi:app",
}


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in TARGETS}
    costs: dict[str, list[float]] = {name: [] for name in TARGETS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis_port = free_port()
        stack.enter_context(running(redis_server(Path(folder) / "redis", redis_port), Path(folder) / "redis.log"))
        servers = {
            name: (
                port := free_port(),
                stack.enter_context(running(_gunicorn(app, port, redis_port), Path(folder) / name)),
            )
            for name, app in TARGETS.items()
        }
        for turn in range(options.rounds + 1):
            for name, (port, process) in servers.items():
                redis.Redis(port=redis_port).flushall()
                rate, cost = _measure(port, process.pid, options.requests if turn else 200)
                if turn:  # the first round warms up
                    rates[name].append(rate)
                    costs[name].append(cost)
    _print(rates, costs, options.json)


def _gunicorn(app: str, port: int, redis_port: int) -> Service:
    env = {
        **os.environ,
        "REELKEEP_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "REELKEEP_WEBHOOK_KEYS": KEY,
        "WEB_CONCURRENCY": "2",
    }
    options = ("--worker-class", "gthread", "--threads", "8", "--no-control-socket", "--bind", f"127.0.0.1:{port}")
    argv = (sys.executable, "-m", "gunicorn", *options, app)
    return Service(app, argv, env, lambda: _answers(port))


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _measure(port: int, pid: int, requests: int) -> tuple[float, float]:
    """Send requests over several connections. Gives requests a second, and CPU milliseconds of the server a request."""
    bodies = [_callback() for _ in range(requests)]
    shares = [bodies[number::CONNECTIONS] for number in range(CONNECTIONS)]
    cpu, began = _cpu_seconds(pid), time.perf_counter()
    threads = [threading.Thread(target=_send, args=(port, share)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return requests / (time.perf_counter() - began), 1000 * (_cpu_seconds(pid) - cpu) / requests


def _callback() -> tuple[bytes, dict[str, str]]:
    task_id, timestamp = uuid.uuid4().hex, str(int(time.time()))
    urls = [f"https://tempfile.aiquickdraw.com/v/{task_id}_{timestamp}.mp4"]
    body = {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": urls, "resolution": "720p"}}}
    headers = {"Content-Type": "application/json", "X-Webhook-Timestamp": timestamp}
    return json.dumps(body).encode(), headers | {"X-Webhook-Signature": sign(KEY, task_id, timestamp)}


def _send(port: int, share: list[tuple[bytes, dict[str, str]]]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for body, headers in share:
        connection.request("POST", "/callbacks/veo", body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"answered {answer.status}: the figures would mean nothing")
    connection.close()


def _cpu_seconds(pid: int) -> float:
    master = psutil.Process(pid)
    times = [process.cpu_times() for process in (master, *master.children())]
    return float(sum(one.user + one.system for one in times))


def _print(rates: dict[str, list[float]], costs: dict[str, list[float]], path: Path | None) -> None:
    noop = statistics.median(costs["bare Flask no-op"])
    print(f"{'':<20}{'callbacks/s':>12}{'spread':>16}{'server CPU ms':>15}{'× no-op':>9}")
    for name, found in rates.items():
        rate, cost = statistics.median(found), statistics.median(costs[name])
        spread = f"{min(found):.0f}-{max(found):.0f}"
        print(f"{name:<20}{rate:>12.0f}{spread:>16}{cost:>15.2f}{cost / noop:>9.2f}")
    packages = ("flask", "gunicorn", "celery", "redis")
    versions = {package: version(package) for package in packages}
    print(
        ", ".join(f"{name} {number}" for name, number in versions.items()), f"python {sys.version.split()[0]}", sep=", "
    )
    if path:
        path.write_text(json.dumps({"rates": rates, "cpu_ms": costs, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
