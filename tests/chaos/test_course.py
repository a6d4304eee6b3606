"""A small run, every time the tests are run; `make chaos` makes a large one, `make chaos-proof` shows that it can fail."""

from pathlib import Path

from rich.console import Console

from tests.chaos.course import run_course
from tests.chaos.scale import scale_for


def test_nothing_is_lost_whatever_is_broken(tmp_path: Path) -> None:
    report = run_course(tmp_path, scale_for(200), seed=1)
    report.show(Console(width=140))
    # How long things wait depends on how busy the machine is: that they do not wait for ever is not a matter of time.
    red = {row.what: row.examples[:3] for row in report.red if not row.timed}
    assert red == {}
