"""Keeps processes running: starts them, starts them again when they end, stops them in order."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded.service import Service, start_process, stop_process, wait_until_ready

#: seconds between two looks
LOOK_EVERY = 0.1
#: seconds before a process that ended is started again; doubled, up to the most, each time that it ended soon after a start
RESTART_AFTER, MOST_RESTART_AFTER, SOON = 0.5, 10.0, 10.0
#: seconds that a process has for stopping: a worker hands its downloads over
STOP_LIMIT = 30.0

#: told of a process that ended and is to be started again: its name, its exit status and its log
OnEnd = Callable[[str, int, Path], None]


@dataclass
class Child:
    """A supervised process."""

    service: Service
    log: Path
    process: subprocess.Popen[bytes]
    restarts: int = 0
    #: it shall stay down
    held: bool = False
    #: others need it until they have ended
    needed: bool = False
    started_at: float = field(default_factory=time.monotonic)
    #: when it may be started again; None: it runs
    again_at: float | None = None
    pause: float = RESTART_AFTER

    @property
    def pid(self) -> int:
        """Of the present process."""
        return self.process.pid


class Supervisor:
    """A handful of processes with restart-always. Use `supervising()`."""

    def __init__(self, logs: Path, on_end: OnEnd | None = None) -> None:
        """:param logs: folder for one log a process"""
        self._logs = logs
        self._on_end = on_end
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_children, name="supervisor", daemon=True)

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def start(self, name: str, service: Service, limit: float = 60.0, *, needed: bool = False) -> Child:
        """Start a process and wait until it is ready.

        :param limit: seconds
        :param needed: it is stopped only when all that are not have ended
        :raises EmbeddedFailed: it ended or was not ready in time
        """
        log = self._logs / f"{name}.log"
        child = Child(service, log, start_process(service, log), held=True, needed=needed)
        self._children[name] = child
        wait_until_ready(service, child.process, log, limit)
        child.held = False  # from now on it is started again if it ends
        return child

    def kill(self, name: str, signum: int = signal.SIGKILL, *, hold: bool = False) -> int:
        """Send a signal to a process. Gives its pid. :param hold: do not start it again until `release`"""
        child = self._children[name]
        with self._lock:
            child.held = hold
            pid = child.pid
            child.process.send_signal(signum)
        return pid

    def release(self, name: str) -> None:
        """Let a held process be started again."""
        self._children[name].held = False

    def open(self) -> None:
        """Begin to watch."""
        self._watch.start()

    def close(self) -> None:
        """Stop all at once, and then the servers that they needed."""
        self._closing.set()
        self._watch.join()
        for needed in (False, True):
            processes = [child.process for child in self._children.values() if child.needed is needed]
            stop_process(*processes, limit=STOP_LIMIT)

    def _watch_children(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            for name, child in list(self._children.items()):
                with self._lock:
                    self._revive(name, child)

    def _revive(self, name: str, child: Child) -> None:
        status = child.process.poll()
        if status is None or child.held:
            return
        now = time.monotonic()
        if child.again_at is None:
            soon = now - child.started_at < SOON
            child.pause = min(child.pause * 2, MOST_RESTART_AFTER) if soon and child.restarts else RESTART_AFTER
            child.again_at = now + child.pause
            if self._on_end is not None:
                self._on_end(name, status, child.log)
        elif now >= child.again_at:
            child.process = start_process(child.service, child.log)
            child.started_at, child.again_at = now, None
            child.restarts += 1


@contextmanager
def supervising(logs: Path, on_end: OnEnd | None = None) -> Iterator[Supervisor]:
    """A supervisor for the length of a block; everything is stopped at its end."""
    supervisor = Supervisor(logs, on_end)
    supervisor.open()
    try:
        yield supervisor
    finally:
        supervisor.close()
