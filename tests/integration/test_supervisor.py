"""The supervisor with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.supervisor import Supervisor, supervising
from app.embedded.service import EmbeddedFailed, Service
from tests.support.waiting import wait_for

ENDS: list[tuple[str, int]] = []


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    ENDS.clear()
    with supervising(tmp_path, lambda name, status, log: ENDS.append((name, status))) as supervisor:
        yield supervisor


def sleeper(code: str = "import time; time.sleep(600)") -> Service:
    return Service("sleeper", (sys.executable, "-c", code), dict(os.environ), lambda: True)


def test_a_process_that_ends_is_started_again_and_told_of(supervisor: Supervisor) -> None:
    supervisor.start("one", sleeper())
    pid = supervisor.kill("one")
    wait_for(lambda: supervisor["one"].restarts == 1)
    assert supervisor["one"].pid != pid
    assert ENDS == [("one", -signal.SIGKILL)]


def test_a_process_that_keeps_ending_is_started_again_ever_more_slowly(supervisor: Supervisor) -> None:
    supervisor.start("one", sleeper())
    supervisor["one"].service = sleeper("raise SystemExit(3)")
    supervisor.kill("one")
    pauses = []
    for restarts in range(1, 4):
        wait_for(lambda restarts=restarts: supervisor["one"].restarts >= restarts)  # type: ignore[misc]
        pauses.append(supervisor["one"].pause)
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]


def test_a_process_that_is_held_stays_down_until_it_is_released(supervisor: Supervisor) -> None:
    supervisor.start("one", sleeper())
    supervisor.start("two", sleeper())
    supervisor.kill("one", hold=True)
    supervisor.kill("two")
    wait_for(lambda: supervisor["two"].restarts == 1)
    assert supervisor["one"].restarts == 0
    supervisor.release("one")
    wait_for(lambda: supervisor["one"].restarts == 1)


def test_a_process_that_does_not_start_is_shown_with_its_last_words(supervisor: Supervisor) -> None:
    service = Service("broken", (sys.executable, "-c", "raise SystemExit('no such luck')"), dict(os.environ), bool)
    with pytest.raises(EmbeddedFailed, match="no such luck"):
        supervisor.start("broken", service)


def test_everything_is_stopped_at_the_end(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        children = [supervisor.start(name, sleeper()).process for name in ("one", "two")]
        assert [child.poll() for child in children] == [None, None]
    assert [child.poll() for child in children] == [-signal.SIGTERM, -signal.SIGTERM]


def test_all_are_stopped_at_once_and_what_they_need_after_them(tmp_path: Path) -> None:
    """Each waits, when it is told to stop, until the other has been told too, and that what they need is still there."""
    code = """
import pathlib, signal, sys, time
folder, name, other = pathlib.Path(sys.argv[1]), *sys.argv[2:]
def stop(*_):
    (folder / name).touch()
    while not (folder / other).exists():
        time.sleep(0.01)
    sys.exit((folder / "server").exists())
signal.signal(signal.SIGTERM, stop)
(folder / f"{name} is ready").touch()
signal.pause()
"""

    def start(name: str, other: str, *, needed: bool = False) -> subprocess.Popen[bytes]:
        argv = (sys.executable, "-c", code, str(tmp_path), name, other)
        service = Service(name, argv, dict(os.environ), (tmp_path / f"{name} is ready").exists)
        return supervisor.start(name, service, needed=needed).process

    with supervising(tmp_path / "logs") as supervisor:
        start("server", "server", needed=True)
        users = [start("one", "two"), start("two", "one")]
    assert [user.poll() for user in users] == [0, 0]
    assert (tmp_path / "server").exists()
