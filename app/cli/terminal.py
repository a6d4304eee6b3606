"""What the commands share: how errors are shown, and how a command that stays is told to stop."""

import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from rich.table import Table
from rich.text import Text

from app.domain.errors import ReelkeepError

P = ParamSpec("P")
#: exit status: it did not work, or was not found. A wrong command line is click's own 2, a wrong setting 78
EXIT_FAILED = 1


def shows_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Show our errors in words on stderr, with exit status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ReelkeepError as error:
            print(f"reelkeep: {error}", file=sys.stderr)
            sys.exit(EXIT_FAILED)

    return run


def stop_signal() -> threading.Event:
    """An event that is set by Ctrl-C, SIGTERM, or the end of the terminal."""
    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda *_: stop.set())
    return stop


def tell_end(name: str, status: int, log: Path) -> None:
    """Say that a process ended by itself."""
    print(f"{name} ended with status {status} and is started again; its log: {log}", file=sys.stderr, flush=True)


def add_plain_row(table: Table, *cells: str) -> None:
    """Add a row that shows texts as they are: the vendor's words may hold what rich takes for markup, or steer a terminal."""
    table.add_row(*(Text("".join(letter if letter.isprintable() else " " for letter in cell)) for cell in cells))
