"""What a request must pass before anything new is made of it: its scenario's faults, and the rate limit (veo-api §1)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from app.simulator import answers
from app.simulator.answers import Answer
from app.simulator.scenarios import PostFaults

#: The vendor's window for new generation requests, in real seconds (veo-api §1).
RATE_WINDOW = 10.0


@dataclass
class Gate:
    """Counts what comes and what is made. Callers hold the simulator's lock."""

    clock: Callable[[], float]
    #: New things per RATE_WINDOW; 0: no limit.
    limit: int
    #: When something new was made (generations, extensions, orders), in epoch seconds.
    creations: list[float] = field(default_factory=list)
    #: How many requests were refused with 429.
    rate_limited: int = 0
    _received: Counter[Hashable] = field(default_factory=Counter)
    _carried_out: Counter[Hashable] = field(default_factory=Counter)

    def refuse(self, key: Hashable, faults: PostFaults) -> Answer | None:
        """Why nothing is made of this request; None: it may go on. Refused requests do not count for the limit."""
        self._received[key] += 1
        place = self._received[key]
        if place <= faults.refuse_429 or self._too_many():
            self.rate_limited += 1
            return answers.RATE_LIMITED
        if faults.refuse_code is None:
            return None
        over = faults.refuse_first is not None and place > faults.refuse_429 + faults.refuse_first
        return None if over else answers.REFUSALS[faults.refuse_code]

    def note_creation(self) -> float:
        """Something new is made now; this moment."""
        now = self.clock()
        self.creations.append(now)
        return now

    def answer(self, key: Hashable, faults: PostFaults, answer: Answer) -> Answer:
        """The answer to a request that was carried out: the first one's may get lost on its way."""
        self._carried_out[key] += 1
        if self._carried_out[key] > 1:
            return answer
        return replace(answers.UNCERTAIN if faults.fail_500 else answer, hold=faults.hold, dropped=faults.drop)

    def _too_many(self) -> bool:
        recent = len(self.creations) - bisect_right(self.creations, self.clock() - RATE_WINDOW)
        return 0 < self.limit <= recent
