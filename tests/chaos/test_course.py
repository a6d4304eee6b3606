"""A short course on every run; `make chaos` runs a longer one."""

from pathlib import Path

from tests.chaos.course import run_course


def test_every_video_arrives_once_whatever_is_killed(tmp_path: Path) -> None:
    report = run_course(tmp_path, generations=60, seed=7)
    assert report.good, str(report)
    assert sum(report.troubles.values()) >= 8, str(report)
