"""What a sweep costs with few and with a million generations waiting, of which as many are due, side by side.

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
from app.domain.policy import Policy
from app.domain.work import Item, Lane, Step
from app.pipeline.sweep import sweep
from app.pipeline.track import track
from tests.support.copies import copy, name_of, roomy_redis
from tests.support.crowd import count_commands

WARM = 20
MODEL = "f" * 32
#: a vendor that nobody asks for a day
PATIENT = Policy(first_poll_after=86400.0)
#: how many times as long a sweep may take with many
MOST = 1.5


def main() -> None:
    """Fill, sweep, and print the table. Status 0 if the ratio is within bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs=2, default=[1_000, 1_000_000])
    parser.add_argument("--due", type=int, default=100, help="of them, at each sweep")
    parser.add_argument("--sweeps", type=int, default=300, help="of each")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        ledgers = []
        for count in options.waiting:
            client, url = stack.enter_context(roomy_redis(Path(folder) / str(count)))
            ledger = RedisLedger(url)
            track(MODEL, [], {}, ledger, PATIENT)
            copy(client, MODEL, count - 1)
            ledgers.append((ledger, client))
        times: list[list[float]] = [[], []]
        for turn in range(options.sweeps + WARM):
            for taken, (ledger, client) in zip(times, ledgers, strict=True):
                later = _hurry(client, options.due)
                began = time.perf_counter()
                tick = sweep(ledger, 15.0)
                if turn >= WARM:
                    taken.append(1000 * (time.perf_counter() - began))
                assert tick is not None
                assert tick.due == options.due
                _put_back(client, later)
        commands = [_count(ledger, client, options.due) for ledger, client in ledgers]
    ratio = _print(options.waiting, options.due, times, commands, options.json)
    raise SystemExit(ratio > MOST)


def _hurry(client: redis.Redis, count: int) -> dict[str, float]:
    """Have some be due. Gives when they would have been."""
    due = f"reelkeep:due:{Lane.QUICK}"
    client.delete("reelkeep:turn:sweep")
    items = [str(Item(Step.SETTLE, name_of(number))) for number in range(count)]
    later = dict(zip(items, client.zmscore(due, items), strict=True))  # type: ignore[arg-type]  # no coroutine
    client.zadd(due, dict.fromkeys(items, 1.0))
    return later


def _put_back(client: redis.Redis, later: dict[str, float]) -> None:
    """As if nobody had enqueued them."""
    client.delete(Lane.QUICK.queue, f"reelkeep:sent:{Lane.QUICK}", f"reelkeep:urgent:{Lane.QUICK}")
    client.zadd(f"reelkeep:due:{Lane.QUICK}", later)


def _count(ledger: RedisLedger, client: redis.Redis, due: int) -> int:
    later = _hurry(client, due)
    commands = count_commands(client, lambda: sweep(ledger, 15.0))
    _put_back(client, later)
    return len(commands)


def _print(waiting: list[int], due: int, times: list[list[float]], commands: list[int], path: Path | None) -> float:
    medians = [statistics.median(taken) for taken in times]
    # Of sweeps that came one right after the other, so that what else the machine does weighs on both.
    pairs = sorted(many / few for few, many in zip(*times, strict=True))
    low, ratio, high = (pairs[int(share * len(pairs))] for share in (0.25, 0.5, 0.75))
    print(f"{'waiting':>10}{'due':>6}{'sweep ms':>10}{'p95 ms':>9}{'Redis commands':>16}")
    for count, taken, median, number in zip(waiting, times, medians, commands, strict=True):
        p95 = sorted(taken)[int(0.95 * len(taken))]
        print(f"{count:>10,}{due:>6}{median:>10.2f}{p95:>9.2f}{number:>16}")
    print(f"many / few: {ratio:.2f} (half of all pairs: {low:.2f} to {high:.2f}; at most {MOST})")
    if path:
        figures = {"waiting": waiting, "due": due, "sweep_ms": medians, "commands": commands, "ratio": ratio}
        path.write_text(json.dumps({**figures, "ratio_quartiles": [low, high]}, indent=1) + "\n")
    return ratio


if __name__ == "__main__":
    main()
