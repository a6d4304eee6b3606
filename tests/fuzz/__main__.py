"""Holds the API's own document against the running server, with far more requests than the test sends.

python -m tests.fuzz --examples 500 --seed 3
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.run import fuzz


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=300, help="at most so many for each operation")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelkeep-fuzz-") as folder:
        found = fuzz(Path(folder), options.examples, options.seed)
    print(found.told)
    print(found.faults, file=sys.stderr)
    sys.exit(0 if found.good else 1)


if __name__ == "__main__":
    main()
