"""What it costs to have every write on disk before it is answered, and what it costs not to.

    python -m tests.bench.durability

Compares the three values of Redis's `appendfsync` side by side: callbacks recorded a second through the ledger, as the web
process records them, and what a power cut takes that had been answered. Rounds alternate, and the median is shown. Power cuts
are played (tests/support/crash.py), which needs a C compiler. Absolute figures depend on the disk, whose own speed is shown
beside them; what matters is the ratios.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Entry, Route, Trust
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from tests.support.crash import RAW, Mains, Writers, build_shim, can_play
from tests.support.waiting import wait_for

Policy = Literal["always", "everysec", "no"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
#: one: what a callback that comes alone waits; many: what a web process with its threads gets through
THREADS = (1, 16)


@dataclass
class Figures:
    """What was measured of one policy."""

    #: writes a second, by the number of threads, a figure for each round
    rates: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in THREADS})
    #: milliseconds of each write that came alone
    waits: list[float] = field(default_factory=list)
    #: for each power cut: answered writes that were lost, and the age in seconds of the oldest of them
    lost: list[tuple[int, float]] = field(default_factory=list)


def main() -> None:
    """Run the rounds and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=3000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cuts", type=int, default=10, help="power cuts of each kind; none without a C compiler")
    parser.add_argument("--folder", type=Path, help="where Redis keeps its files: the disk that is measured")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    figures = {policy: Figures() for policy in POLICIES}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        sync = _measure_rates(folder, figures, options.rounds, options.writes)
        if can_play():
            shim = build_shim(folder)
            for turn in range(options.cuts):
                for policy in POLICIES:
                    # Not at the same moment of Redis's second each time.
                    moment = 1.0 + turn / options.cuts
                    figures[policy].lost.append(_cut(folder / f"{policy}-{turn}", shim, policy, moment))
    _print(figures, sync)
    if options.json:
        shown = {policy: {"rates": one.rates, "waits": one.waits, "lost": one.lost} for policy, one in figures.items()}
        options.json.write_text(json.dumps({"sync_ms": sync, "policies": shown}) + "\n")


def _measure_sync(path: Path) -> list[float]:
    """Milliseconds that the disk takes to sync an append of a callback's size."""
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(100):
            file.write(b"x" * 1500)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    return times


def _measure_rates(folder: Path, figures: dict[Policy, Figures], rounds: int, writes: int) -> list[float]:
    """Fill in rates and waits. Gives the milliseconds of the disk's own syncs, taken between them."""
    sync = []
    with ExitStack() as stack:
        ports = {policy: free_port() for policy in POLICIES}
        for policy, port in ports.items():
            service = redis_server(folder / policy, port, appendfsync=policy)
            stack.enter_context(running(service, folder / "log"))
        for turn in range(rounds + 1):
            sync += _measure_sync(folder / "probe")
            for policy, port in ports.items():
                for threads in THREADS:
                    with redis.Redis(port=port) as client:
                        client.flushall()
                    rate, waits = _write(port, threads, writes if turn else 200)
                    if turn:  # the first round warms up
                        figures[policy].rates[threads].append(rate)
                        figures[policy].waits += waits if threads == 1 else []
    return sync


def _write(port: int, threads: int, writes: int) -> tuple[float, list[float]]:
    """Record callbacks from several threads. Gives writes a second, and the milliseconds that each took."""
    ledger, waits = RedisLedger(f"redis://127.0.0.1:{port}/0"), []

    def write(thread: int) -> None:
        for number in range(writes // threads):
            task_id = f"bench-{thread}-{number}"
            raw, began = RAW % (task_id, task_id), time.perf_counter()
            ledger.record(task_id, None, Entry(at=1.0, route=Route.GENERATION, trust=Trust.SIGNED, raw=raw))
            waits.append(1000 * (time.perf_counter() - began))

    running_threads = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    for thread in running_threads:
        thread.start()
    for thread in running_threads:
        thread.join()
    return len(waits) / (time.perf_counter() - began), waits


def _cut(folder: Path, shim: Path, policy: Policy, seconds: float) -> tuple[int, float]:
    """Write for some seconds, cut the power, start again. Gives how many answered writes are lost, and since when."""
    port, mains, log = free_port(), Mains(folder, shim), folder.parent / "log"
    service = mains.plug_in(redis_server(folder, port, appendfsync=policy))
    writers = Writers(RedisLedger(f"redis://127.0.0.1:{port}/0"), "cut")
    with running(service, log) as process, writers.running(4):
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began >= seconds)
        at = time.monotonic()
        mains.cut(process)
    with running(service, log), redis.Redis(port=port, decode_responses=True) as client:
        there = set(client.scan_iter("reelkeep:inbox:*", count=5000))
    lost = [answered for task_id, answered in writers.answered if f"reelkeep:inbox:{task_id}" not in there]
    return len(lost), max((at - answered for answered in lost), default=0.0)


def _print(figures: dict[Policy, Figures], sync: list[float]) -> None:
    median = statistics.median
    print(f"one sync of the disk: median {median(sync):.2f} ms, slowest of {len(sync)} {max(sync):.1f} ms\n")
    print(f"{'appendfsync':<12}{'alone, ms p50':>14}{'p99':>8}{'writes/s':>10}{'16 threads':>12}{'spread':>14}", end="")
    print(f"{'power cut: lost':>18}{'most':>8}{'reaching back':>15}")
    for policy, one in figures.items():
        alone, many = one.rates[THREADS[0]], one.rates[THREADS[1]]
        p99 = statistics.quantiles(one.waits, n=100)[98]
        print(f"{policy:<12}{median(one.waits):>14.2f}{p99:>8.2f}{median(alone):>10.0f}{median(many):>12.0f}", end="")
        print(f"{f'{min(many):.0f}-{max(many):.0f}':>14}", end="")
        if one.lost:
            counts, ages = [count for count, _ in one.lost], [age for _, age in one.lost]
            print(f"{median(counts):>18.0f}{max(counts):>8}{max(ages):>13.2f} s")
        else:
            print(f"{'not played':>41}")
    print(f"\n{redis_version()}, python {platform.python_version()}, {os.cpu_count()} cores")


def redis_version() -> str:
    """Of the server that was measured."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name, running(redis_server(Path(name), port), Path(name) / "log"):
        return f"redis {redis.Redis(port=port).info('server')['redis_version']}"  # type: ignore[index]


if __name__ == "__main__":
    main()
