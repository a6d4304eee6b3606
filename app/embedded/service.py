"""Run a server as a child process for as long as a block of code lasts."""

import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import ReelkeepError

#: seconds to wait for a server to answer: an append-only file of some size takes a while to load
START_LIMIT = 60.0
#: seconds to leave a server after SIGTERM before SIGKILL
STOP_LIMIT = 10.0
#: seconds between two looks at a server that is starting
LOOK_EVERY = 0.05
#: how many lines of a server's log an error shows
LOG_LINES = 15


class EmbeddedFailed(ReelkeepError):
    """An embedded server is not installed or did not start."""


@dataclass(frozen=True)
class Service:
    """How to start a server, and how to see that it is up."""

    #: what to call it in messages
    name: str
    #: the command line, the program first
    argv: tuple[str, ...]
    #: the whole environment of the process
    env: Mapping[str, str]
    #: whether it answers; must come back within a second or two and not raise
    ready: Callable[[], bool]


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now. Another process may still take it first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    service: Service, log: Path, *, start_limit: float = START_LIMIT, stop_limit: float = STOP_LIMIT
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a service, wait until it is ready, and stop it when the block ends.

    :param log: file that its output is appended to
    :param start_limit: seconds to wait until it is ready
    :param stop_limit: seconds from SIGTERM to SIGKILL
    :return: the process, so that a test can kill it
    :raises EmbeddedFailed: it ended or was not ready in time (the message holds its last words), or another is up there
    """
    if service.ready():  # a stranger's answer must not pass for ours while ours is still failing to take the port
        raise EmbeddedFailed(f"{service.name}: another one answers at its address already")
    process = start_process(service, log)
    try:
        wait_until_ready(service, process, log, start_limit)
        yield process
    finally:
        stop_process(process, limit=stop_limit)


def start_process(service: Service, log: Path) -> subprocess.Popen[bytes]:
    """Start a service's process. Its output is appended to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        # A session of its own: Ctrl-C in the terminal must stop the workers before the servers they need.
        return subprocess.Popen(
            service.argv,
            env=dict(service.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(service: Service, process: subprocess.Popen[bytes], log: Path, limit: float) -> None:
    """Wait until a service answers. :raises EmbeddedFailed: it ended or was not ready in time"""
    deadline = time.monotonic() + limit
    while True:
        answers = service.ready()
        # Asked after the answer: whoever answered, it was not a process that has ended.
        if process.poll() is not None:
            raise EmbeddedFailed(f"{service.name} ended with status {process.returncode}:\n{_last_lines(log)}")
        if answers:
            return
        if time.monotonic() > deadline:
            raise EmbeddedFailed(f"{service.name} was not ready within {limit:g} s:\n{_last_lines(log)}")
        time.sleep(LOOK_EVERY)


def stop_process(*processes: subprocess.Popen[bytes], limit: float = STOP_LIMIT) -> None:
    """Stop processes, all at once, with SIGTERM, with SIGKILL if that does not help within some seconds.

    Each is told once: a second signal would hit a process on its way out, whose handlers are gone already.
    """
    for process in processes:
        process.terminate()  # does nothing if the process has been waited for: no other process can be hit
    for process in processes:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_lines(log: Path) -> str:
    with log.open(encoding="utf-8", errors="replace") as lines:
        return "".join(deque(lines, maxlen=LOG_LINES)).rstrip() or "(it said nothing)"
