"""What a generation takes of Redis, and what a look at it costs with ten thousand and with a million of them, side by side.

    python -m tests.bench.scale

Two Redis servers hold the two crowds, all complete, each generation with its callback, its timeline and a label, and a gunicorn
with one worker stands before each. The same request goes to one and to the other in turn; the ratio is what to read. The names of
as many that have left for the bucket (REELKEEP_KEEP_DAYS), which is all that remains of them, are measured by themselves.
"""

import argparse
import http.client
import json
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from app.adapters.redis_ledger import RedisLedger
from app.domain.states import State
from app.embedded.service import Service, free_port, running
from tests.support import course
from tests.support.copies import copy, name_of, roomy_redis

MODEL, TOKEN = "f" * 32, "bench-token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WARM = 10
#: bytes of a complete generation; how many times as long a look may take with many
MOST_BYTES, MOST_RATIO = 1536, 1.5


@dataclass(frozen=True)
class Crowd:
    """So many generations, and who shows them."""

    count: int
    version: str
    client: Any
    url: str
    #: bytes of Redis each
    bytes: float
    connection: http.client.HTTPConnection
    cookie: str

    def looks(self) -> dict[str, str]:
        """Paths by what they show."""
        listed = f"reelkeep:state:{State.COMPLETE}"
        [(middle, at)] = self.client.zrange(listed, self.count // 2, self.count // 2, withscores=True)
        return {
            "a list by state, its first page": f"/generations?state={State.COMPLETE}",
            "a page from its middle": f"/generations?state={State.COMPLETE}&cursor={at!r}~{middle}",
            "one generation": f"/generations/{middle}",
            "the metrics": "/metrics",
            "the first screen": "/",
            "its list": "/ui/generations",
            "its list of a label and a state": f"/ui/generations?label=project%3Dspring&state={State.COMPLETE}",
            "its list of a time": "/ui/generations?since=2020-01-01T00:00",
            "its search for what nothing holds": "/ui/generations?text=nowhere",
            "its page of one generation": f"/ui/generations/{middle}",
        }

    def look(self, path: str) -> float:
        """Ask for it. Gives milliseconds."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Cookie": self.cookie}
        began = time.perf_counter()
        status, _, _ = _ask(self.connection, "GET", path, headers=headers)
        taken = 1000 * (time.perf_counter() - began)
        if status != 200:
            raise SystemExit(f"{path} was answered {status}: the figures would mean nothing")
        return taken


def main() -> None:
    """Fill, ask, and print the tables. Status 0 if all is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, nargs=2, default=[10_000, 1_000_000])
    parser.add_argument("--looks", type=int, default=150, help="of each sort, at each crowd")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        few, many = (gather(count, Path(folder) / str(count), stack) for count in options.generations)
        times = _compare(few, many, options.looks)
        names = {count: _measure_names(Path(folder) / f"names-{count}", count) for count in options.generations}
    sys.exit(not _print([few, many], times, names, options.json))


def gather(count: int, folder: Path, stack: ExitStack, processes: int = 1) -> Crowd:
    """Start a Redis with so many generations, and a web server before it."""
    client, url = stack.enter_context(roomy_redis(folder))
    ledger, before = RedisLedger(url), _used(client)
    course.complete(ledger, MODEL, {"project": "spring"})
    copy(client, MODEL, count - 1)
    each = (_used(client) - before) / count
    port = free_port()
    stack.enter_context(running(_gunicorn(port, url, processes), folder / "web.log"))
    connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)))
    version = client.info("server")["redis_version"]  # type: ignore[index]  # no coroutine
    return Crowd(count, version, client, url, each, connection, _log_in(connection))


def _used(client: Any) -> int:
    return int(client.info("memory")["used_memory"])


def _gunicorn(port: int, redis_url: str, processes: int) -> Service:
    given = {"REDIS_URL": redis_url, "ALLOW_UNSIGNED": "1", "API_TOKENS": TOKEN}
    env = {
        **os.environ,
        "WEB_CONCURRENCY": str(processes),
        **{f"REELKEEP_{name}": value for name, value in given.items()},
    }
    options = ("--config", "python:app.web.gunicorn_conf", "--bind", f"127.0.0.1:{port}")
    argv = (sys.executable, "-m", "gunicorn", *options, "app.web.wsgi:app")

    def answers() -> bool:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            try:
                return _ask(connection, "GET", "/healthz")[0] == 200
            except OSError:
                return False

    return Service("web", argv, env, answers)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, str, str]:
    """Gives the status, the text, and the cookie that was set."""
    connection.request(method, path, body, headers or {})
    try:
        answer = connection.getresponse()
    except http.client.RemoteDisconnected:  # nobody had asked for a while: as a browser does, ask again
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, text, (answer.getheader("Set-Cookie") or "").partition(";")[0]


def _log_in(connection: http.client.HTTPConnection) -> str:
    _, page, visitor = _ask(connection, "GET", "/login")
    csrf = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert csrf is not None
    form = urlencode({"csrf": csrf[1], "token": TOKEN})
    status, _, cookie = _ask(connection, "POST", "/login", form, {"Cookie": visitor, **FORM})
    assert status == 303
    return cookie


def _compare(few: Crowd, many: Crowd, looks: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds with few and with many, look by look. Sorts of looks take turns, for a machine has good and bad minutes."""
    times: dict[str, list[tuple[float, float]]] = {what: [] for what in few.looks()}
    paths = few.looks(), many.looks()
    for turn in range(looks + WARM):
        for what, taken in times.items():
            pair = few.look(paths[0][what]), many.look(paths[1][what])
            if turn >= WARM:
                taken.append(pair)
    return times


def _measure_names(folder: Path, count: int) -> float:
    """What the names of so many that have left take, in bytes each: as `archive.lua` keeps them."""
    with roomy_redis(folder) as (client, _):
        before = _used(client)
        keep = client.register_script(
            "for _, name in ipairs(ARGV) do "
            "redis.call('HSET', 'reelkeep:archived:' .. string.sub(redis.sha1hex(name), 1, 4), name, '') end"
        )
        for first in range(0, count, 1000):
            keep(args=[name_of(number) for number in range(first, min(first + 1000, count))])
        return (_used(client) - before) / count


def _print(
    crowds: list[Crowd], times: dict[str, list[tuple[float, float]]], names: dict[int, float], path: Path | None
) -> bool:
    """Gives whether all is within bounds."""
    print(f"{'generations':>12}{'bytes each':>12}{'once archived':>15}   (at most {MOST_BYTES} bytes)")
    for crowd in crowds:
        print(f"{crowd.count:>12,}{crowd.bytes:>12.0f}{names[crowd.count]:>15.0f}")
    ratios = {}
    few, many = (f"{crowd.count:,}" for crowd in crowds)
    print(f"\n{'milliseconds for':<34}{few:>10}{many:>12}{'ratio':>8}   half of all pairs (at most {MOST_RATIO})")
    for what, pairs in times.items():
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        # Of looks that came one right after the other, so that what else the machine does weighs on both.
        sorted_ratios = sorted(with_many / with_few for with_few, with_many in pairs)
        low, ratio, high = (sorted_ratios[int(share * len(pairs))] for share in (0.25, 0.5, 0.75))
        ratios[what] = {"ms": medians, "ratio": ratio, "ratio_quartiles": [low, high]}
        print(f"{what:<34}{medians[0]:>10.2f}{medians[1]:>12.2f}{ratio:>8.2f}   {low:.2f} to {high:.2f}")
    if path:
        memory = {crowd.count: {"bytes": crowd.bytes, "archived_bytes": names[crowd.count]} for crowd in crowds}
        path.write_text(json.dumps({"memory": memory, "looks": ratios, "redis": crowds[0].version}, indent=1) + "\n")
    bounded = all(found["ratio"] <= MOST_RATIO for found in ratios.values())  # type: ignore[operator]
    return bounded and all(crowd.bytes <= MOST_BYTES for crowd in crowds)


if __name__ == "__main__":
    main()
