"""Keeps processes running: starts them, starts them again when they end, stops them in order."""

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.embedded.service import Service, start_process, stop_process, wait_until_ready

#: seconds between two looks, and before a process that ended is started again
LOOK_EVERY, RESTART_AFTER = 0.1, 0.5


@dataclass
class Child:
    """A supervised process."""

    service: Service
    log: Path
    process: subprocess.Popen[bytes]
    restarts: int = 0
    #: it shall stay down
    held: bool = False
    ended_at: float | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Of the present process."""
        return self.process.pid


class Supervisor:
    """A handful of processes with restart-always. Use `supervising()`."""

    def __init__(self, logs: Path) -> None:
        """:param logs: folder for one log a process"""
        self._logs = logs
        self._children: dict[str, Child] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_children, name="supervisor", daemon=True)

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def start(self, name: str, service: Service, limit: float = 60.0) -> Child:
        """Start a process and wait until it is ready.

        :param limit: seconds
        :raises EmbeddedFailed: it ended or was not ready in time
        """
        log = self._logs / f"{name}.log"
        child = Child(service, log, start_process(service, log))
        self._children[name] = child
        wait_until_ready(service, child.process, log, limit)
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
        """Stop all, the last started first: workers before the servers that they need."""
        self._closing.set()
        self._watch.join()
        for child in reversed(self._children.values()):
            stop_process(child.process)

    def _watch_children(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            for child in list(self._children.values()):
                with self._lock:
                    self._revive(child)

    def _revive(self, child: Child) -> None:
        if child.process.poll() is None or child.held:
            child.ended_at = None
            return
        now = time.monotonic()
        child.ended_at = child.ended_at or now
        if now - child.ended_at >= RESTART_AFTER and not self._closing.is_set():
            child.process, child.ended_at = start_process(child.service, child.log), None
            child.restarts += 1


@contextmanager
def supervising(logs: Path) -> Iterator[Supervisor]:
    """A supervisor for the length of a block; everything is stopped at its end."""
    supervisor = Supervisor(logs)
    supervisor.open()
    try:
        yield supervisor
    finally:
        supervisor.close()
