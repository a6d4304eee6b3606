"""What a process does not need it does not load: seen in fresh interpreters."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
S3, CLIENTS = {"boto3", "botocore"}, {"requests", "urllib3"}
CELERY, WEB = {"celery", "kombu"}, {"flask", "werkzeug", "gunicorn"}
RUN = "from app.cli.main import main; main({}, standalone_mode=False)"


def packages_after(program: str) -> set[str]:
    """The packages that are loaded when a program has ended."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("REELKEEP_")}
    env = {**settings, "PYTHONPATH": str(ROOT), "REELKEEP_ALLOW_UNSIGNED": "1", "REELKEEP_S3_BUCKET": "reels"}
    tell = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    run = subprocess.run(
        [sys.executable, "-c", f"{tell}\n{program}"], env=env, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return {name.partition(".")[0] for name in run.stderr.split()}


@pytest.mark.parametrize(
    ("program", "needed", "unneeded"),
    [
        ("import app.web.gunicorn_conf, app.web.wsgi", {"flask", "redis"}, S3 | CELERY | CLIENTS),
        # What beat and Flower load; workers load the rest when they make their parts.
        ("import workers.app, workers.tasks", {"celery"}, S3 | CLIENTS | WEB),
        ("import workers.app; workers.app.parts()", {"celery", "boto3", "requests"}, WEB),
        (RUN.format(["--help"]), {"click"}, S3 | CELERY | CLIENTS | WEB | {"pydantic", "redis", "rich"}),
        (RUN.format(["show", "--help"]), {"redis"}, S3 | CELERY | CLIENTS | WEB),
        (RUN.format(["up", "--help"]), {"requests"}, S3 | CELERY | WEB),
    ],
    ids=["web", "celery", "worker", "help", "show", "up"],
)
def test_a_process_loads_what_it_needs(program: str, needed: set[str], unneeded: set[str]) -> None:
    loaded = packages_after(program)
    assert needed <= loaded
    assert loaded & unneeded == set()


def test_completing_a_commands_name_loads_none() -> None:
    complete = (
        "import os; os.environ.update(_REELKEEP_COMPLETE='bash_complete', COMP_WORDS='reelkeep ', COMP_CWORD='1')"
    )
    assert (
        packages_after(
            f"{complete}\nfrom app.cli.main import main\ntry: main(prog_name='reelkeep')\nexcept SystemExit: pass"
        )
        & (S3 | CELERY | CLIENTS | WEB | {"pydantic", "redis", "rich"})
        == set()
    )
