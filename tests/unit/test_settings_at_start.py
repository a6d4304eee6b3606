"""A wrong or missing setting stops each process at once: one line on stderr, no traceback, status 78."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-W", "error::ResourceWarning", "-c"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "python:app.web.gunicorn_conf", "app.web.wsgi:app"]
CELERY = [sys.executable, "-m", "celery", "--app", "workers.app"]
LOAD = "from app.settings import load_or_exit; load_or_exit({})"


def _run(command: list[str], cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REELKEEP_")}
    environment |= {"PYTHONPATH": str(ROOT)} | {f"REELKEEP_{name}": value for name, value in settings.items()}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_good_settings_let_a_process_start_silently(tmp_path: Path) -> None:
    done = _run([*PYTHON, LOAD.format("'bucket', 'callbacks'")], tmp_path, S3_BUCKET="b", WEBHOOK_KEYS="k")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wrong_setting_stops_a_process(tmp_path: Path) -> None:
    done = _run([*PYTHON, LOAD.format("")], tmp_path, POLL_INTERVAL="400")
    line = "reelkeep: REELKEEP_POLL_INTERVAL must not be above REELKEEP_POLL_INTERVAL_MAX\n"
    assert (done.returncode, done.stdout, done.stderr) == (78, "", line)


@pytest.mark.parametrize(("need", "name"), [("bucket", "S3_BUCKET"), ("callbacks", "WEBHOOK_KEYS")])
def test_a_missing_setting_stops_the_process_that_needs_it(tmp_path: Path, need: str, name: str) -> None:
    done = _run([*PYTHON, LOAD.format(repr(need))], tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)
    assert done.stderr.startswith(f"reelkeep: REELKEEP_{name}: missing")


def test_importing_the_settings_reads_nothing(tmp_path: Path) -> None:
    done = _run([*PYTHON, "import app.settings"], tmp_path, LEASE="soon")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "settings", "named"),
    [
        (GUNICORN, {"LEASE": "soon", "WEBHOOK_KEYS": "k"}, "REELKEEP_LEASE: "),
        (GUNICORN, {}, "REELKEEP_WEBHOOK_KEYS: "),
        ([*CELERY, "worker"], {"LEASE": "soon", "S3_BUCKET": "b"}, "REELKEEP_LEASE: "),
        ([*CELERY, "beat"], {}, "REELKEEP_S3_BUCKET: "),
        ([*CELERY, "report"], {"UPGRADES": "8k"}, "REELKEEP_UPGRADES: "),
    ],
    ids=["web-wrong", "web-missing", "worker-wrong", "beat-missing", "report-wrong"],
)
def test_each_process_stops_with_one_line(
    tmp_path: Path, command: list[str], settings: dict[str, str], named: str
) -> None:
    done = _run(command, tmp_path, **settings)
    assert done.returncode == 78
    assert done.stderr.startswith(f"reelkeep: {named}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
