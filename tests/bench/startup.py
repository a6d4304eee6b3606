"""How long each process takes to start, and how much memory it holds.

    python -m tests.bench.startup [--rounds 7] [--callbacks 200]

First fresh interpreters, in turns: what a process imports, beside an interpreter that imports nothing and one that imports the
library that it stands on. CPU time is counted, which others on the machine change little. Then the whole stack, each process of
the Procfile once: its memory when it is ready, and after some callbacks whose videos were all stored. It is the proportional
share (PSS): what forked workers hold together is counted once.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psutil
import requests

from app.cli.stack import NOTHING_SET
from app.domain.states import State
from tests.support.flood import Flooded, make_callback, running_flooded
from tests.support.waiting import wait_for

#: what runs, what it stands on, and how: what `{url}` is the ledger
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "python -c pass": ("", "pass"),
    "flask": ("python -c pass", "import flask"),
    "celery": (
        "python -c pass",
        "from celery import Celery; Celery().amqp",
    ),  # by itself `import celery` loads next to nothing
    "boto3": ("python -c pass", "import boto3"),
    "web": ("flask", "import app.web.gunicorn_conf, app.web.wsgi"),
    "worker, mirror": ("celery", "import workers.tasks; workers.tasks.parts()"),
    "beat, flower": ("celery", "import workers.tasks"),
    "reelkeep --help": ("python -c pass", "from app.cli.main import main; main(['--help'])"),
    "reelkeep show": ("python -c pass", "from app.cli.main import main; main(['show', 'nobody'])"),
}
KINDS = ("web", "worker", "mirror", "beat", "flower")
SETTINGS = {"REELKEEP_ALLOW_UNSIGNED": "1", "REELKEEP_S3_BUCKET": "reels"}
MIB = 1024**2


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="of each program")
    parser.add_argument("--callbacks", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    counts = dict.fromkeys(KINDS, 1)
    with tempfile.TemporaryDirectory() as folder, running_flooded(Path(folder), counts, KNOWING_ONE_IN="1") as running:
        wait_for(lambda: answers(f"{running.stack.flower_url}/healthcheck"))
        fresh = {kind: memory(running, kind) for kind in KINDS}
        starts = time_programs(options.rounds, running.stack.redis_url)
        store_videos(running, options.callbacks)
        used = {kind: memory(running, kind) for kind in KINDS}
    seconds = {name: statistics.median(taken) for name, taken in starts.items()}
    print_starts(starts, seconds)
    print(f"\n{'MiB':<18}{'ready':>8}{f'{options.callbacks} stored':>12}{'processes':>11}")
    for kind in KINDS:
        print(f"{kind:<18}{fresh[kind][0]:>8.0f}{used[kind][0]:>12.0f}{used[kind][1]:>11}")
    versions = {name: version(name) for name in ("boto3", "celery", "flask", "flower", "gunicorn", "pydantic", "redis")}
    versions["python"] = sys.version.split()[0]
    print("\n" + ", ".join(f"{name} {number}" for name, number in versions.items()))
    if options.json:
        figures = {"cpu_seconds": starts, "ready_mib": fresh, "used_mib": used, "versions": versions}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def time_programs(rounds: int, redis_url: str) -> dict[str, list[float]]:
    """CPU seconds of each start of each program. The first round, which may find no compiled files, does not count."""
    env = {**os.environ, **NOTHING_SET, **SETTINGS, "REELKEEP_REDIS_URL": redis_url}
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for turn in range(rounds + 1):
        for name, (_, program) in PROGRAMS.items():
            seconds = run(program, env)
            if turn:
                taken[name].append(seconds)
    return taken


def run(program: str, env: Mapping[str, str]) -> float:
    """Run a program in an interpreter of its own. Gives its CPU seconds."""
    with open(os.devnull, "w") as nowhere:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", program],
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), stream) for stream in (1, 2)],
        )
    _, _, usage = os.wait4(pid, 0)
    return usage.ru_utime + usage.ru_stime


def answers(url: str) -> bool:
    """Whether somebody is there."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def memory(running: Flooded, kind: str) -> tuple[float, int]:
    """MiB of a process of the Procfile with those that it has made, and how many processes they are."""
    first = psutil.Process(running.stack.supervisor[kind].pid)
    family = [first, *first.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in family) / MIB, len(family)


def store_videos(running: Flooded, count: int) -> None:
    """Send callbacks and wait until their videos are stored."""
    client = running.client()
    for _ in range(count):
        assert running.post(*make_callback(uuid.uuid4().hex)) == 200
    wait_for(lambda: client.zcard(f"reelkeep:state:{State.COMPLETE}") == count, limit=300)


def print_starts(starts: Mapping[str, list[float]], seconds: Mapping[str, float]) -> None:
    """The first table."""
    print(f"{'CPU s until it has started':<28}{'median':>8}{'spread':>14}{'× peer':>8}  peer")
    for name, taken in starts.items():
        peer = PROGRAMS[name][0]
        ratio = f"{seconds[name] / seconds[peer]:>8.2f}" if peer else f"{'':>8}"
        print(f"{name:<28}{seconds[name]:>8.3f}{f'{min(taken):.3f}–{max(taken):.3f}':>14}{ratio}  {peer}")


if __name__ == "__main__":
    main()
