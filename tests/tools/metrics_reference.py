"""Makes the table of docs/metrics.md from what `/metrics` shows.

python -m tests.tools.metrics_reference            # print the table
python -m tests.tools.metrics_reference --write    # put it into docs/metrics.md
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from prometheus_client import Metric

from app.domain.figures import Figures, Waiting
from app.domain.health import Health
from app.domain.ledger import Ledger
from app.domain.states import State
from app.domain.work import Lane
from app.settings import Settings
from app.web.metrics import FleetCollector

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
HEAD = "| metric | type | labels | says |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(HEAD) + r"(\|.*\n)*")


class _Nothing:
    """A ledger with nothing in it."""

    def figures(self) -> Figures:
        """As those of a new one."""
        health = Health(0.0, None, None, "", 0.0, 0.0, {})
        waiting = dict.fromkeys(Lane, Waiting(0, 0.0, 0, 0, 0.0))
        return Figures(dict.fromkeys(State, 0), 0, 0, {}, {}, waiting, 0, health, None)


def read_families() -> list[Metric]:
    """All that is shown, in the order of showing."""
    settings = Settings(credits_per_day=1.0, upgrade_credits_per_day=1.0, credits_warn_below=1.0)
    return list(FleetCollector(cast(Ledger, _Nothing()), settings).collect())


def render() -> str:
    """The table."""
    return HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    ends: dict[str, str] = {"counter": "_total", "info": "_info"}
    for family in read_families():
        kind: Any = {"info": "gauge"}.get(family.type, family.type)
        labels: dict[str, list[str]] = {}
        for sample in family.samples:
            for label, value in sample.labels.items():
                labels.setdefault(label, []).append(value)
        shown = [f"`{label}`{_choice(label, values)}" for label, values in labels.items()]
        name = f"{family.name}{ends.get(family.type, '')}"
        yield f"| `{name}` | {kind} | {'; '.join(shown) or '–'} | {family.documentation} |\n"


def _choice(label: str, values: list[str]) -> str:
    fixed = [] if label in ("version", "python", "le") else list(dict.fromkeys(values))
    return f": {', '.join(fixed)}" if fixed else ""


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put it into docs/metrics.md")
    if parser.parse_args().write:
        PAGE.write_text(_TABLE.sub(lambda _: render(), PAGE.read_text()))
    else:
        print(render(), end="")


if __name__ == "__main__":
    main()
