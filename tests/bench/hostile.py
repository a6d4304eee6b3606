"""What a downloader adds to the library below it: hostile URLs, names and servers, met by each.

    python -m tests.bench.hostile [--only urls,redirects,names,servers] [--json FILE] [CLIENT …]

In a network namespace of its own, where every address is this machine: the clients run as they are, by the system's resolver and
on the real ports, and whatever they connect to is counted, wherever it was meant to be. Needs Linux with `unshare` and `ip`;
Other libraries are compared where they are installed. A client is given a second, and cut off a second after that.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import requests

from app.adapters.download_policy import DownloadPolicy, is_public
from app.adapters.downloader import Downloader
from tests.support.hostile_answers import CAP, TRAPS, VIDEO, leads
from tests.support.hostile_urls import ADDRESSES, URLS
from tests.support.hostile_world import TRUSTED, WRONG, World

#: the listed host, and where all unknown names lead
LISTED, UNLISTED = "93.184.215.14", "93.184.216.99"
DEADLINE = 1.0
#: seconds after the deadline at which a client is cut off, and counted as late
GRACE = 1.0
#: seconds to reach an address, and without a byte
TIMEOUT = 0.5
#: bytes that a client without a cap is let to write, and bytes of memory that each may have
MOST_WRITTEN, MOST_MEMORY = 64 * 1024**2, 1024**3
SETUP = """
set -e
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo 2>/dev/null || true
echo 'nameserver 127.0.0.1' >"$1/resolv.conf"
echo 'hosts: files dns' >"$1/nsswitch.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"""


@dataclass
class Count:
    """What one client did."""

    client: str
    cases: int = 0
    #: cases with a connection to a private, loopback or otherwise special address
    inwards: int = 0
    #: cases with a connection to a public address, or a port, that is not listed
    unlisted: int = 0
    #: cases that were not over a second after the deadline
    late: int = 0
    #: cases in which something was kept that should not be
    wrong: int = 0
    #: cases that are harmless, in which the video was not kept
    missed: int = 0
    out_of_memory: int = 0
    #: seconds
    slowest: float = 0.0
    #: MiB at the most
    memory: int = 0
    #: the names of the cases behind the counts
    names: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, case: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        self.names.setdefault(kind, []).append(case)


@dataclass(frozen=True)
class Case:
    name: str
    url: str
    #: the video is to be had
    harmless: bool = False


# The clients. Each gives the SHA-256 of what it kept, or raises.


def _stream(get: Callable[..., Any], url: str) -> str:
    """As the manual of `requests` has it, with time-outs."""
    digest, size = hashlib.sha256(), 0
    with get(url, stream=True, timeout=(TIMEOUT, TIMEOUT), verify=TRUSTED) as response:
        response.raise_for_status()
        for chunk in response.iter_content(65536):
            digest.update(chunk)
            size += len(chunk)
            if size > MOST_WRITTEN:
                return "endless"
    return digest.hexdigest()


def fetch_with_requests(url: str) -> str:
    return _stream(requests.get, url)


def fetch_with_requests_hardened(url: str) -> str:
    hardened: Any = importlib.import_module("requests_hardened")
    config = hardened.Config(
        ip_filter_enable=True,
        ip_filter_allow_loopback_ips=False,
        never_redirect=False,
        default_timeout=(TIMEOUT, TIMEOUT),
    )
    with hardened.Manager(config).get_session() as session:
        return _stream(session.get, url)


def fetch_with_reelkeep(url: str) -> str:
    policy = DownloadPolicy(
        hosts=("*.films.example",),
        insecure=False,
        max_bytes=CAP,
        deadline=DEADLINE,
        min_rate=1000,
        connect_timeout=TIMEOUT,
        read_timeout=TIMEOUT,
        ca_file=TRUSTED,
    )
    with Downloader(policy, Event()).fetch(url) as download:
        return download.sha256


def fetch_with_microsoft_antissrf(url: str) -> str:
    antissrf: Any = importlib.import_module("AntiSSRF")
    policy = antissrf.AntiSSRFPolicy(antissrf.PolicyConfigOptions.EXTERNAL_ONLY_LATEST)
    return _stream(policy.get_antissrf_session().get, url)


def fetch_with_ssrfguard(url: str) -> str:
    guard: Any = importlib.import_module("ssrfguard")
    guarded: Any = importlib.import_module("ssrfguard.requests")
    policy = guard.Policy(
        allowed_schemes=frozenset({"https"}),
        allowed_ports=frozenset({443}),
        allowed_hosts=frozenset({"*.films.example"}),
        max_redirects=3,
    )
    with guarded.Session(policy=policy) as session:
        return _stream(session.get, url)


CLIENTS = {
    "requests": fetch_with_requests,
    "requests-hardened": fetch_with_requests_hardened,
    "microsoft-antissrf": fetch_with_microsoft_antissrf,
    "ssrfguard": fetch_with_ssrfguard,
    "reelkeep": fetch_with_reelkeep,
}


def be_client(name: str) -> None:
    """Fetch what is asked for on standard input, line by line."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    for line in sys.stdin:
        started = time.monotonic()
        try:
            outcome = {"kept": CLIENTS[name](json.loads(line))}
        except MemoryError:
            outcome = {"error": "MemoryError"}
        except Exception as error:
            outcome = {"error": f"{type(error).__name__}: {error}"[:300]}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({**outcome, "seconds": time.monotonic() - started, "memory": peak}), flush=True)


# The cases


def cases(world: World, only: set[str]) -> Iterator[Case]:
    if "urls" in only:
        for name, (url, _) in URLS.items():
            yield Case(f"url: {name}", url.format(port=world.port))
    if "redirects" in only:
        for number, (name, (url, _)) in enumerate(URLS.items()):
            world.answer(f"to/{number}", leads(url))
            yield Case(f"redirect: {name}", world.url(f"to/{number}"))
    if "names" in only:
        for number, (name, addresses) in enumerate(ADDRESSES.items()):
            world.names.rounds[f"n{number}.films.example"] = [[a.format(internet=LISTED) for a in addresses]]
            yield Case(f"name: {name}", world.url("good", f"n{number}.films.example"))
        for number, turn in enumerate(("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1")):
            host = f"turning{number}.films.example"
            world.names.rounds[host] = [[LISTED], [turn]]
            world.answer(f"turn{number}", leads(f"https://{host}:{{port}}/good"))
            yield Case(f"name: turns to {turn}", world.url(f"turn{number}", host))
        world.names.rounds["dead.films.example"] = [["93.184.215.15", LISTED]]
        world.names.rounds["unheard.films.example"] = [None]
        yield Case("name: its name server is silent", world.url("good", "unheard.films.example"))
    if "servers" in only:
        for name in WRONG:
            yield Case(f"certificate: {name}", world.url("good", f"{name}.films.example"))
        for name, trap in TRAPS.items():
            yield Case(f"server: {name}", world.url(quote(name)), harmless=trap.error is None)


def judge(client: str, world: World, only: set[str], command: list[str]) -> Count:
    count = Count(client)
    video = hashlib.sha256(VIDEO).hexdigest()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for case in cases(world, only):
            world.names.asked.clear()
            before = Counter(world.trespasses())
            process.stdin.write(json.dumps(case.url) + "\n")
            if not select.select([process.stdout], [], [], DEADLINE + GRACE)[0]:
                count.note("late", case.name)
                while not select.select([process.stdout], [], [], 0.2)[0]:
                    world.host.hang_up()
            outcome = json.loads(process.stdout.readline())
            count.cases += 1
            seen = list(Counter(world.trespasses()) - before)
            if not all(map(is_public, seen)):
                count.note("inwards", case.name)
            elif seen:
                count.note("unlisted", case.name)
            kept = outcome.get("kept")
            if kept is not None and (kept != video or not case.harmless):
                count.note("wrong", case.name)
            elif kept is None and case.harmless:
                count.note("missed", f"{case.name}: {outcome['error']}")
            if outcome.get("error") == "MemoryError":
                count.note("out_of_memory", case.name)
            count.slowest = max(count.slowest, outcome["seconds"])
            count.memory = max(count.memory, outcome["memory"])
        process.stdin.close()
    return count


ROWS = {
    "cases": "hostile URLs, names and servers",
    "inwards": "led to a private, loopback or special address",
    "unlisted": "led to another public host, or another port",
    "late": f"not over a second after the deadline ({DEADLINE:g} s)",
    "wrong": "kept what is not the video, or from where nobody may go",
    "out_of_memory": "out of memory (1 GiB)",
    "missed": "harmless, and the video not kept",
    "slowest": "slowest (s)",
    "memory": "memory at most (MiB)",
}


def table(counts: list[Count]) -> str:
    lines = ["| | " + " | ".join(count.client for count in counts) + " |", "|---|" + "---|" * len(counts)]
    for key, title in ROWS.items():
        values = (getattr(count, key) for count in counts)
        lines.append(
            f"| {title} | " + " | ".join(f"{value:.1f}" if key == "slowest" else str(value) for value in values) + " |"
        )
    return "\n".join(lines)


def namespace() -> list[str] | None:
    """What a folder and a command are put behind to run in a network namespace of its own; None if that cannot be."""
    for rights in (["unshare", "--net", "--mount"], ["unshare", "--user", "--map-root-user", "--net", "--mount"]):
        prefix = [*rights, "sh", "-c", SETUP, "sh"]
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError):
            if subprocess.run([*prefix, folder, "true"], capture_output=True, check=False).returncode == 0:
                return prefix
    return None


def compare(clients: list[str], only: set[str]) -> list[Count]:
    """Inside the namespace."""
    answers = {name: trap.answer for name, trap in TRAPS.items()}
    counts = []
    for client in clients:
        with World(
            answers, LISTED, ("0.0.0.0", "::"), 443, (80, 22, 6379), ("127.0.0.1", 53), elsewhere=UNLISTED
        ) as world:
            count = judge(client, world, only, [sys.executable, "-m", "tests.bench.hostile", "--be", client])
        if client != "reelkeep":
            count.client += f" {version(client)}"
        counts.append(count)
    return counts


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=", ".join(CLIENTS))
    parser.add_argument("--only", default="urls,redirects,names,servers", help="groups of cases")
    parser.add_argument("--json", type=Path, help="a file for the counts, and the cases behind them")
    parser.add_argument("--be", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        be_client(options.be)
        return
    clients = options.clients or [name for name in CLIENTS if name == "reelkeep" or _is_installed(name)]
    if not options.inside:
        prefix = namespace()
        if prefix is None:
            print("no network namespace can be made here: it takes Linux, and unshare(1) and ip(8)")
            return
        with tempfile.TemporaryDirectory() as folder:
            again = [sys.executable, "-m", "tests.bench.hostile", "--inside", *sys.argv[1:]]
            sys.exit(subprocess.run([*prefix, folder, *again], check=False).returncode)
    counts = compare(clients, set(options.only.split(",")))
    print(table(counts))
    if options.json:
        options.json.write_text(json.dumps([asdict(count) for count in counts], indent=2))


if __name__ == "__main__":
    main()
