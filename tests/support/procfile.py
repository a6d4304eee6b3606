"""The Procfile's processes, started one at a time by a test that means to break something around them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.cli.stack import NOTHING_SET, read_procfile
from app.embedded.service import Service, start_process
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Process:
    """A process of the Procfile."""

    kind: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def node(self) -> str:
        """What Celery calls it."""
        return f"{self.kind}-{self.process.pid}@{socket.gethostname()}"

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def said(self, words: str) -> int:
        """How often its log has these words."""
        return self.log.read_text(errors="replace").count(words)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)


class Yard:
    """Starts processes, and ends those that are left."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        self._folder = folder
        self._env = {**os.environ, **NOTHING_SET, "PATH": path, "PYTHONUNBUFFERED": "1", **env}
        self._processes: list[Process] = []

    def start(self, kind: str, **env: str) -> Process:
        """Start a process, and wait until it works. :param env: further settings"""
        log = self._folder / f"{kind}-{len(self._processes)}.log"
        argv = ("/bin/sh", "-c", f"exec {read_procfile()[kind]}")
        service = Service(kind, argv, self._env | env, ready=lambda: True)
        process = Process(kind, start_process(service, log), log)
        self._processes.append(process)
        if kind in ("worker", "mirror"):
            wait_for(lambda: process.said(" ready.") or not process.lives)
            assert process.lives, log.read_text()
        return process

    def close(self) -> None:
        for left in self._processes:
            left.kill()


@contextmanager
def yard(folder: Path, env: Mapping[str, str]) -> Iterator[Yard]:
    """A yard for the length of a block."""
    made = Yard(folder, env)
    try:
        yield made
    finally:
        made.close()
