"""What a run did, and the table of what must hold."""

import math
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

#: cases that a row shows
EXAMPLES = 5
PARTS = ("celery", "kombu", "redis", "flask", "gunicorn", "boto3")


@dataclass(frozen=True)
class Row:
    """One thing that must hold."""

    what: str
    value: str
    must: str
    holds: bool
    #: it depends on how busy the machine is
    timed: bool = False
    #: cases of what is wrong
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A whole run."""

    rows: list[Row]
    #: what was done, and what came of it, in words
    facts: dict[str, str]

    @property
    def red(self) -> list[Row]:
        """What does not hold."""
        return [row for row in self.rows if not row.holds]

    @property
    def good(self) -> bool:
        """All of it holds."""
        return not self.red

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"good": self.good, "rows": [asdict(row) for row in self.rows], "facts": self.facts}

    def show(self, console: Console, *, facts: bool = True) -> None:
        """Print the tables."""
        table = Table("must hold", "is", "must be", "", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in self.rows:
            table.add_row(row.what, row.value, row.must, "ok" if row.holds else "[bold red]RED")
        if facts:
            shown = Table(box=None, show_header=False, pad_edge=False)
            for name, value in self.facts.items():
                shown.add_row(name, value)
            console.print(shown)
        console.print(table)
        for row in self.red:
            for example in row.examples[:EXAMPLES]:
                console.print(f"  {row.what}: {example}", markup=False, soft_wrap=True)


def none_of(what: str, cases: Sequence[str]) -> Row:
    """A row for what there must be none of."""
    return Row(what, str(len(cases)), "0", not cases, examples=list(cases))


def within(
    what: str, waits: Sequence[tuple[float, object]], limit: float, left: Sequence[object], *, share: float = 0.99
) -> Row:
    """A row for waits of which this share must have been over by a limit, and none of which may be left.

    :param waits: seconds, and what waited
    """
    seconds = [waited for waited, _ in waits]
    late = [f"{thing} waited {waited:.1f} s" for waited, thing in waits if waited > limit]
    shown = f"{show_spread(seconds)}, {len(left)} left" if left else show_spread(seconds)
    holds = not left and (not seconds or percentile(seconds, share) <= limit)
    name = "max" if share == 1 else f"p{share * 100:g}"
    return Row(
        what,
        shown,
        f"{name} ≤ {limit:g} s, none left",
        holds,
        timed=not left,
        examples=[*dict.fromkeys(map(str, left)), *late],
    )


def show_spread(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and maximum."""
    if not seconds:
        return "none seen"
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return f"p50 {p50:.1f} s, p99 {p99:.1f} s, max {max(seconds):.1f} s of {len(seconds)}"


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def show_counts(counts: Mapping[str, int]) -> str:
    """`name 3, other 4`."""
    return ", ".join(f"{name} {count}" for name, count in sorted(Counter(counts).items())) or "none"


def describe_machine() -> str:
    """Cores, system, and the versions that matter."""
    parts = ", ".join(f"{name} {version(name)}" for name in PARTS)
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {parts}"
    )
