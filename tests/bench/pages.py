"""How long the dashboard's pages take with very many generations.

    python -m tests.bench.pages

A Redis server holds the crowd; the pages are asked of the web process's application, without a network
between. A million takes some 80 s to put in, and 700 MB.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import redis

from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from app.web.dashboard.sessions import COOKIE, Sessions
from tests.integration.desk import TOKEN, front_door
from tests.support.crowd import crowd

#: all of the crowd have this upgrade and this label
LISTS = ("kind:4k", "label:shop=a")
LIST = "/ui/generations"
PAGES = {
    "first screen": "/",
    "list": LIST,
    "list of a state": f"{LIST}?state=waiting",
    "list by upgrade": f"{LIST}?kind=4k",
    "list by label and state": f"{LIST}?label=shop%3Da&state=waiting",
    "list by time": f"{LIST}?since=2020-01-01T00:00",
    "text that nothing holds": f"{LIST}?text=nowhere",
    "one generation": f"{LIST}/crowd-0000001",
}


def main() -> None:
    """Fill, ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=30, help="that each page is asked for")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port, own = free_port(), Path(folder)
        with running(redis_server(own, port), own / "redis.log"):
            url = f"redis://127.0.0.1:{port}/0"
            with redis.Redis.from_url(url, socket_timeout=300) as client:
                client.config_set("maxmemory", 0)
                crowd(client, options.generations)
                for name in LISTS:
                    client.zunionstore(f"reelkeep:{name}", ["reelkeep:tracked"])
                client.hset("reelkeep:health", "lists_version", "1")
            taken = _ask(url, options.times)
    _print(taken, options.json)


def _ask(url: str, times: int) -> dict[str, list[float]]:
    """Milliseconds of each page, each time."""
    visitor = front_door(url).test_client()
    visitor.set_cookie(COOKIE, Sessions([TOKEN]).begin(TOKEN).cookie)
    taken: dict[str, list[float]] = {name: [] for name in PAGES}
    for turn in range(times + 1):
        for name, path in PAGES.items():
            began = time.perf_counter()
            answer = visitor.get(path)
            if answer.status_code != 200:
                raise SystemExit(f"{path}: status {answer.status_code}")
            if turn:  # the first loads templates and scripts
                taken[name].append(1000 * (time.perf_counter() - began))
    return taken


def _print(taken: dict[str, list[float]], path: Path | None) -> None:
    print(f"{'page':<26}{'median ms':>10}{'slowest ms':>12}")
    for name, each in taken.items():
        print(f"{name:<26}{statistics.median(each):>10.1f}{max(each):>12.1f}")
    if path:
        figures = {
            name: {"median_ms": statistics.median(each), "slowest_ms": max(each)} for name, each in taken.items()
        }
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
