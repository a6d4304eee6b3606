"""How close submissions keep to the vendor's limit: never more than 20 creations in any 10 s, and hardly slower than that allows.

    python -m tests.bench.pace --generations 200

Four real worker processes submit through the simulator, whose own limit is on. The times are those of the simulator's books.
"""

import argparse
import json
import math
import sys
import tempfile
from bisect import bisect_left
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.fleet import Fleet, running_fleet
from tests.support.waiting import wait_for

#: the vendor's limit: so many in so many seconds
LIMIT, WINDOW = 20, 10.0
WORKERS = 4


@dataclass(frozen=True)
class Pace:
    """What the simulator saw."""

    generations: int
    #: most creations in any window
    worst: int
    #: requests that were refused with 429
    refused: int
    #: seconds from the first to the last creation, and the least that the limit allows
    span: float
    floor: float

    @property
    def ratio(self) -> float:
        """How much longer it took than it had to."""
        return self.span / self.floor

    def __str__(self) -> str:
        rows = {
            f"generations, by {WORKERS} workers": self.generations,
            f"most creations in any {WINDOW:g} s": f"{self.worst} (limit {LIMIT})",
            "refused with 429": self.refused,
            "seconds from first to last": f"{self.span:.1f} (the limit's own floor {self.floor:g})",
            "ratio to the floor": f"{self.ratio:.3f}",
        }
        return "\n".join(f"{name:<34}{value}" for name, value in rows.items())


def measure_pace(folder: Path, generations: int) -> Pace:
    """Have a fleet of its own submit so many generations."""
    limit = f"{LIMIT}/{WINDOW:g}s"
    counts = {"worker": WORKERS}
    with running_fleet(folder, counts=counts, rate_limit=LIMIT, REELKEEP_PROVIDER_RATE=limit) as fleet:
        for number in range(generations):
            answer = fleet.call("POST", "/generations", json={"prompt": f"cat {number}"})
            assert answer.status_code == 202, answer.text
        floor = (math.ceil(generations / LIMIT) - 1) * WINDOW
        wait_for(lambda: len(fleet.vendor.books()["generations"]) == generations, 60 + 3 * floor, every=0.5)
        return _read(fleet, generations, floor)


def _read(fleet: Fleet, generations: int, floor: float) -> Pace:
    books = fleet.vendor.books()
    times = sorted(books["creations"])
    worst = max(bisect_left(times, at + WINDOW) - place for place, at in enumerate(times))
    return Pace(generations, worst, books["rateLimited"], times[-1] - times[0], floor)


def main() -> None:
    """Measure, and print a table. Status 0 if the limit was kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pace = measure_pace(Path(folder), options.generations)
    print(pace)
    if options.json:
        options.json.write_text(json.dumps(asdict(pace), indent=1) + "\n")
    sys.exit(0 if pace.worst <= LIMIT else 1)


if __name__ == "__main__":
    main()
