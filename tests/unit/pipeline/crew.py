"""Workers that can be stopped, killed or cut off at every call that leaves the process, and run in any order meanwhile."""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from app.domain.errors import LedgerUnavailable
from tests.unit.pipeline.fakes import Died

T = TypeVar("T")


class Fate(StrEnum):
    """What happens at a call."""

    #: the worker stands still before it, until somebody lets it go on
    PAUSE = "pause"
    DIE_BEFORE = "die before it"
    DIE_AFTER = "die after it"
    #: the other side is away: nothing was done, or it was done and the answer is lost
    AWAY_BEFORE = "away before it"
    AWAY_AFTER = "away after it"


class Away(Exception):
    """The other side did not answer. What that means is the business of whoever is called."""


class Worker:
    """One step, run in a thread that stops before each call. At any time one thread runs and all others stand still."""

    def __init__(self, crew: "Crew", item: str, step: Callable[[], None]) -> None:
        self.item = item
        self.done = False
        self._crew, self._step = crew, step
        self._fate: Fate | None = None
        self._error: BaseException | None = None
        self._calls_left: int | None = 0
        self._go, self._halted = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, calls: int | None, fate: Fate) -> bool:
        """Let it make so many calls, and have the next one take its fate; after being cut off it runs to its end.

        Gives whether it met its fate. What went wrong in it by itself is raised here.

        :param calls: None: all until the next one to the vendor
        """
        self._calls_left, self._fate = calls, fate
        self._crew.active = self
        self._go.release()
        self._halted.acquire()
        self._crew.active = None
        if self.done:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return self._fate is None or not self.done

    def call(self, effect: Callable[[], T], *, to_vendor: bool) -> T:
        """A call that leaves the process."""
        while self._is_next(to_vendor) and self._fate is Fate.PAUSE:
            self._halted.release()
            self._go.acquire()
        if self._fate is None or not self._is_next(to_vendor):
            if self._calls_left:
                self._calls_left -= 1
            return effect()
        fate, self._fate = self._fate, None
        if fate in (Fate.DIE_BEFORE, Fate.AWAY_BEFORE):
            raise Died if fate is Fate.DIE_BEFORE else Away
        effect()
        raise Died if fate is Fate.DIE_AFTER else Away

    def _is_next(self, to_vendor: bool) -> bool:
        """Whether it is this call that takes the fate."""
        return to_vendor if self._calls_left is None else self._calls_left == 0

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._step()
        except (Died, LedgerUnavailable):
            pass  # as for Celery: the claim lapses
        except BaseException as error:
            self._error = error
        self.done = True
        self._halted.release()


class Crew:
    """Knows who is running. Calls made by nobody of the crew go straight through."""

    def __init__(self) -> None:
        self.active: Worker | None = None

    def call(self, effect: Callable[[], T], *, to_vendor: bool = False) -> T:
        """A call that leaves the process of whoever is running."""
        return self.active.call(effect, to_vendor=to_vendor) if self.active is not None else effect()
