"""Group commit: what several threads want written at the same time is written by one call."""

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _Ticket(Generic[T, R]):
    """What one thread wants written, and what has become of it: either of the last two, once it was tried."""

    __slots__ = ("error", "result", "what")

    def __init__(self, what: T) -> None:
        self.what = what
        self.result: R | None = None
        self.error: Exception | None = None


class GroupCommit(Generic[T, R]):
    """Writes one group at a time. Whoever comes meanwhile waits, and the first of those takes all the others along.

    Nobody waits for a group to fill: a thread that is alone writes at once.
    """

    def __init__(self, write_all: Callable[[Sequence[T]], Sequence[R]]) -> None:
        """:param write_all: writes several, and gives the result of each; what it raises is raised to all of them"""
        self._write_all = write_all
        self._turn = threading.Lock()
        self._waiting: deque[_Ticket[T, R]] = deque()

    def write(self, what: T) -> R:
        """Have it written, and give its result."""
        ticket: _Ticket[T, R] = _Ticket(what)
        self._waiting.append(ticket)
        with self._turn:
            if ticket.result is None and ticket.error is None:
                time.sleep(0)  # whoever is ready to run comes along; nobody is waited for
                # Its own is still there: whatever is taken out is answered before the turn ends.
                self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        if ticket.error is not None:
            raise copy.copy(ticket.error) from ticket.error
        assert ticket.result is not None
        return ticket.result

    def _write(self, group: Sequence[_Ticket[T, R]]) -> None:
        try:
            results = self._write_all([ticket.what for ticket in group])
        except Exception as error:
            for ticket in group:
                ticket.error = error
        else:
            for ticket, result in zip(group, results, strict=True):
                ticket.result = result
