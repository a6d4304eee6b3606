"""Callbacks at ten times what the workers manage: what is answered, what it takes in memory, and who has to wait.

    python -m tests.bench.overload --seconds 120 --times 10

The whole stack runs on a Redis that syncs every write; a vendor that knows every id answers at once. First it is seen how many
verdicts a second the workers come to; then callbacks for ids that nobody knows arrive at a multiple of that, from a bounded
number of connections. All of it shares this machine: the absolute figures are the machine's, and the flood slows the workers too.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis

from app.domain.states import State
from app.domain.work import Lane
from tests.support.flood import (
    Answers,
    Flooded,
    find_unknown,
    find_unsettled,
    flood,
    free_memory,
    leave_room,
    make_callback,
    running_flooded,
)
from tests.support.waiting import wait_for

MEBIBYTE = 2**20
PROCESSES = ("redis", "web", "worker", "mirror", "beat")
WAITING_OVER = (State.FAILED, State.MIRRORING, State.COMPLETE, State.LOST)


@dataclass
class Watch:
    """Memory, queues and verdicts over time, and how long those who wait for something have to."""

    running: Flooded
    begun: float = field(default_factory=time.monotonic)
    samples: list[dict[str, float]] = field(default_factory=list)
    #: seconds that a tracked generation's PUT took, and from its callback to its verdict
    puts: list[float] = field(default_factory=list)
    verdicts: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._threads = [threading.Thread(target=self._sample), threading.Thread(target=self._probe)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def look(self) -> dict[str, float]:
        """One sample."""
        client, supervisor = self.running.client(), self.running.stack.supervisor
        memory: Any = client.info("memory")
        return {
            "at": time.monotonic() - self.begun,
            "redis_used": memory["used_memory"],
            "settled": count_settled(client),
            **{f"queue_{lane}": float(client.llen(lane.queue)) for lane in Lane},  # type: ignore[arg-type]
            **{f"rss_{name}": float(_rss(supervisor[name].pid)) for name in PROCESSES},
        }

    def _sample(self) -> None:
        while not self._stop.wait(1.0):
            self.samples.append(self.look())

    def _probe(self) -> None:
        client = self.running.client()
        while not self._stop.wait(2.0):
            task_id, began = uuid.uuid4().hex, time.monotonic()
            if self.running.call("PUT", f"/generations/{task_id}", json={}).status_code != 201:
                continue  # refused under a full memory; what callbacks are answered is counted elsewhere
            self.puts.append(time.monotonic() - began)
            body, headers = make_callback(task_id)
            began = time.monotonic()
            if self.running.post(body, headers) != 200:
                continue
            while find_unsettled(client, [task_id]) and not self._stop.is_set():
                time.sleep(0.02)
            self.verdicts.append(time.monotonic() - began)


def main() -> None:
    """Run it all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of overload")
    parser.add_argument("--times", type=float, default=10, help="what the workers manage")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--drain", type=float, default=60, help="seconds for which the backlog's end is waited for")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_flooded(Path(folder), {}, WEB_CONCURRENCY="2") as running:
        figures = _run(running, options.seconds, options.times, options.connections, options.drain)
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _run(running: Flooded, seconds: float, times: float, connections: int, drain: float) -> dict[str, Any]:
    client = running.client()
    managed = _measure_workers(running)
    with Watch(running) as watch:
        before = watch.look()
        answers = flood(running.port, rate=times * managed, seconds=seconds, connections=connections)
        after = watch.look()
        during = list(watch.samples)
        unknown = find_unknown(client, answers.recorded)
        probes = {"puts": list(watch.puts), "verdicts": list(watch.verdicts)}
        full = _fill(running)
        began, left = time.monotonic(), len(find_unsettled(client, answers.recorded))
        backlog = left
        while left and time.monotonic() - began < drain:
            time.sleep(1.0)
            left = len(find_unsettled(client, answers.recorded))
        drained = {"backlog": backlog, "left": left, "seconds": time.monotonic() - began}
        end = watch.look()
    unknown += find_unknown(client, answers.recorded)
    return {
        "workers_manage": managed,
        "asked_for": times * managed,
        "sent": len(answers.delays) / seconds,
        "seconds": seconds,
        "answers": _tell(answers),
        "unknown_though_answered_200": len(unknown),
        "redis_bytes_a_callback": (after["redis_used"] - before["redis_used"]) / max(1, len(answers.recorded)),
        "settled_a_second_in_overload": (after["settled"] - before["settled"]) / seconds,
        "before": before,
        "samples": during,
        "probes": probes,
        "full": full,
        "drain": drained,
        "end": end,
    }


def _measure_workers(running: Flooded) -> float:
    """How many verdicts a second the workers come to while nothing else is asked of the machine."""
    client = running.client()
    answers = flood(running.port, rate=5000, seconds=3)
    begun, at = count_settled(client), time.monotonic()
    wait_for(lambda: len(find_unsettled(client, answers.recorded)) < len(answers.recorded) / 5, 300)
    rate = (count_settled(client) - begun) / (time.monotonic() - at)
    wait_for(lambda: not find_unsettled(client, answers.recorded), 300)
    return rate


def _fill(running: Flooded) -> dict[str, Any]:
    """With no memory left for anything new: what is answered then."""
    client = running.client()
    leave_room(client, MEBIBYTE)
    try:
        answers = flood(running.port, rate=500, seconds=5)
        return _tell(answers) | {"unknown": len(find_unknown(client, answers.recorded))}
    finally:
        free_memory(client)


def count_settled(client: redis.Redis) -> int:
    """Generations with a verdict."""
    return sum(int(client.zcard(f"reelkeep:state:{state}")) for state in WAITING_OVER)  # type: ignore[arg-type]


def _rss(pid: int) -> int:
    found = psutil.Process(pid)
    return sum(int(process.memory_info().rss) for process in (found, *found.children(recursive=True)))


def _tell(answers: Answers) -> dict[str, Any]:
    delays = sorted(answers.delays)
    return {
        "statuses": dict(answers.statuses),
        "honest": answers.honest,
        **{f"p{share}_ms": 1000 * delays[min(len(delays) - 1, len(delays) * share // 100)] for share in (50, 99)},
        "max_ms": 1000 * delays[-1],
    }


def _print(figures: dict[str, Any]) -> None:
    manage, sent = figures["workers_manage"], figures["sent"]
    print(
        f"the workers manage {manage:.0f} verdicts/s; for {figures['seconds']:g} s callbacks came at {sent:.0f}/s, ",
        end="",
    )
    print(f"{sent / manage:.1f} times that ({figures['asked_for']:.0f}/s were to be sent)")
    for name, told in (("overload", figures["answers"]), ("memory full", figures["full"])):
        counts = ", ".join(f"{number:,} × {status}" for status, number in sorted(told["statuses"].items()))
        print(
            f"{name:<12} {counts}; p50 {told['p50_ms']:.0f} ms, p99 {told['p99_ms']:.0f} ms, max {told['max_ms']:.0f} ms"
        )
    print(
        f"answered 200 and unknown to the ledger: {figures['unknown_though_answered_200'] + figures['full']['unknown']}"
    )
    print(f"Redis: {figures['redis_bytes_a_callback']:,.0f} bytes a recorded callback")
    during = figures["settled_a_second_in_overload"]
    print(
        f"verdicts during the overload: {during:.0f}/s, so that callbacks came at {sent / max(during, 1):.0f} times that"
    )
    for name, taken in figures["probes"].items():
        if taken:
            print(f"tracked, {name}: median {statistics.median(taken):.2f} s, most {max(taken):.2f} s, of {len(taken)}")
    drained = figures["drain"]
    rate = (drained["backlog"] - drained["left"]) / drained["seconds"]
    print(
        f"afterwards: {drained['backlog']:,} waited; {drained['left']:,} after {drained['seconds']:.0f} s ({rate:.0f}/s)\n"
    )
    _print_samples([figures["before"], *figures["samples"], figures["end"]])


def _print_samples(samples: list[dict[str, float]]) -> None:
    rows = [samples[0], *samples[1 : -1 : max(1, len(samples) // 12)], samples[-1]]
    names = ["redis_used", *(f"rss_{name}" for name in PROCESSES)]
    print(
        f"{'at s':>6}{'queued':>9}{'mirror':>8}{'verdicts':>10}" + "".join(f"{name:>12}" for name in names) + "   (MiB)"
    )
    for row in rows:
        sizes = "".join(f"{row[name] / MEBIBYTE:>12.1f}" for name in names)
        counts = f"{row['queue_quick']:>9,.0f}{row['queue_mirror']:>8,.0f}{row['settled']:>10,.0f}"
        print(f"{row['at']:>6.0f}{counts}{sizes}")


if __name__ == "__main__":
    main()
