"""Proves that nothing is lost: a real stack is fed while everything around it is broken, then every id is audited.

    python -m tests.chaos --generations 1000 --seed 3 --json run.json
    python -m tests.chaos --prove        the same, small, with one safeguard removed at a time: the table must turn red

Status 0 only if all that must hold does; with --prove, only if each removal is noticed.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.chaos.course import run_course
from tests.chaos.ground import Form
from tests.chaos.report import Report
from tests.chaos.sabotage.safeguards import SAFEGUARDS
from tests.chaos.scale import scale_for

SMALL = 200


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=SMALL)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", choices=("veo", "jobs"), default="veo", help="of the vendor's API")
    parser.add_argument("--without", choices=sorted(SAFEGUARDS), default="", help="leave one safeguard out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as JSON")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep all data and logs there, an empty folder")
    parser.add_argument("--prove", action="store_true", help="leave out each safeguard in turn")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of all that has to be stopped
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    if options.prove:
        sys.exit(_prove(console, options.generations, options.seed))
    report = _run(options.generations, options.seed, options.form, options.without, options.keep)
    report.show(console)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n")
    sys.exit(0 if report.good else 1)


def _prove(console: Console, generations: int, seed: int) -> int:
    unnoticed = []
    for name, safeguard in SAFEGUARDS.items():
        report = _run(generations, seed, safeguard.form, name)
        run = f"seed {seed}, {generations} generations, form {safeguard.form}"
        console.print(f"\nwithout {name} ({safeguard.about}), {run}:")
        # What is late only says that the machine is busy.
        red = replace(report, rows=[row for row in report.red if not row.timed])
        red.show(console, facts=False)
        if safeguard.reddens not in [row.what for row in red.rows]:
            unnoticed.append(name)
    for name in unnoticed:
        console.print(f"NOT NOTICED: {name}")
    return 1 if unnoticed else 0


def _run(generations: int, seed: int, form: Form, without: str, keep: Path | None = None) -> Report:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="reelkeep-chaos-") as folder:
        return run_course(keep or Path(folder), scale_for(generations), seed, form, without, say)


if __name__ == "__main__":
    main()
