"""How long callbacks wait while others have the dashboard compute: searches that find nothing, and exports, without a pause.

    python -m tests.bench.busy

gunicorn runs as it is deployed, before a Redis with so many generations. Two clients ask for the same thing over and over, and
callbacks come at a steady pace over 16 connections. Rounds alternate; the first way, with nobody else there, is the peer.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.bench import scale
from tests.bench.load import Load, prepare, send

CLIENTS = 2
WAYS = {"nobody else": "", "searches": "/ui/generations?text=nowhere", "exports": "/ui/generations.csv"}


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=20_000)
    parser.add_argument("--callbacks", type=int, default=1000, help="in each round")
    parser.add_argument("--rate", type=int, default=150, help="callbacks a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    loads: dict[str, list[Load]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        crowd = scale.gather(options.generations, Path(folder) / "crowd", stack, processes=2)
        for _ in range(options.rounds):
            for way, path in WAYS.items():
                with _asking(crowd, path):
                    loads[way].append(_bring(crowd, options.callbacks, options.rate))
    waits = {way: [_wait(found, share) for share in (50, 99)] for way, found in loads.items()}
    print(f"{options.rate} callbacks a second, {options.generations:,} generations, {CLIENTS} clients beside them")
    print(f"{'':<14}{'p50 ms':>9}{'p99 ms':>9}")
    for way, (half, most) in waits.items():
        print(f"{way:<14}{half:>9.1f}{most:>9.1f}")
    if options.json:
        options.json.write_text(json.dumps({"waits_p50_p99": waits}, indent=1) + "\n")


def _bring(crowd: scale.Crowd, count: int, rate: int) -> Load:
    bodies = [json.dumps({"code": 200, "msg": "", "data": {"taskId": uuid.uuid4().hex}}).encode() for _ in range(count)]
    headers = {"Content-Type": "application/json"}
    return send(crowd.connection.port, [prepare("/callbacks/veo", body, headers) for body in bodies], 16, rate)


@contextmanager
def _asking(crowd: scale.Crowd, path: str) -> Iterator[None]:
    """Clients ask for it and read it, again and again."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            with closing(http.client.HTTPConnection("127.0.0.1", crowd.connection.port, timeout=60)) as connection:
                connection.request("GET", path, headers={"Cookie": crowd.cookie})
                answer = connection.getresponse()
                while not ended.is_set() and answer.read(65536):
                    pass

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS if path else 0)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        ended.set()
        for client in clients:
            client.join()


def _wait(loads: list[Load], share: int) -> float:
    return 1000 * statistics.median(load.percentile(share) for load in loads)


if __name__ == "__main__":
    main()
