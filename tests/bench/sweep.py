"""What a sweep costs with few and with many generations waiting, side by side.

    python -m tests.bench.sweep

Two Redis servers hold the two crowds, and the sweeps take turns between them. The ratio is what to read; the number of commands
does not depend on the machine at all.
"""

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from app.adapters.redis_ledger import RedisLedger
from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running
from app.pipeline.sweep import sweep
from tests.support.crowd import count_commands, crowd

WARM = 20


def main() -> None:
    """Fill, sweep, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs=2, default=[1_000, 100_000])
    parser.add_argument("--sweeps", type=int, default=300, help="of each")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ledgers = []
        for count in options.waiting:
            port, own = free_port(), Path(folder) / str(count)
            stack.enter_context(running(redis_server(own, port), own / "redis.log"))
            client = redis.Redis(port=port, decode_responses=True)
            crowd(client, count)
            ledgers.append((RedisLedger(f"redis://127.0.0.1:{port}/0"), client))
        times: list[list[float]] = [[], []]
        for turn in range(options.sweeps + WARM):
            for taken, (ledger, client) in zip(times, ledgers, strict=True):
                began = time.perf_counter()
                _sweep(ledger, client)
                if turn >= WARM:
                    taken.append(1000 * (time.perf_counter() - began))
        commands = [len(count_commands(client, lambda: _sweep(ledger, client))) for ledger, client in ledgers]  # noqa: B023
    _print(options.waiting, times, commands, options.json)


def _sweep(ledger: RedisLedger, client: redis.Redis) -> None:
    client.delete("reelkeep:turn:sweep")
    sweep(ledger, 15.0)


def _print(waiting: list[int], times: list[list[float]], commands: list[int], path: Path | None) -> None:
    medians = [statistics.median(taken) for taken in times]
    print(f"{'waiting':>10}{'sweep ms':>10}{'p95 ms':>9}{'× few':>8}{'Redis commands':>16}")
    for count, taken, median, number in zip(waiting, times, medians, commands, strict=True):
        p95 = sorted(taken)[int(0.95 * len(taken))]
        print(f"{count:>10,}{median:>10.2f}{p95:>9.2f}{median / medians[0]:>8.2f}{number:>16}")
    if path:
        figures = {"waiting": waiting, "sweep_ms": medians, "commands": commands, "ratio": medians[1] / medians[0]}
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
