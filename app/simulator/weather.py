"""Bad weather at the vendor's: faults of any request, by chance. What was carried out is in the books, whatever was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.simulator import answers
from app.simulator.answers import Answer

#: Of all requests.
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
#: `error`: HTTP 500, 502 or 503, in half of the cases after the request was carried out; `refusal`: a body code in HTTP 200,
#: nothing done; `drop`: carried out, the connection closed in place of the answer; `hold`: carried out, the answer held back.
Fault = Literal["busy", "error", "refusal", "drop", "hold"]

#: Codes with `data: null` that say of no request anything but "not now" (veo-api §1).
_REFUSALS = (408, 455, 500)
#: What stands before the vendor's service answers with a page and not with an envelope (infer).
_PAGE = "<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
#: Up to so many of the vendor's seconds a fresh id can be unknown (veo-api §8).
_LONGEST_FOG = 90.0


class Climate(BaseModel):
    """How often something goes wrong. All shares zero: fair weather."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    errors: Share = 0
    refusals: Share = 0
    drops: Share = 0
    holds: Share = 0
    #: Real seconds that an answer is held back: more than a client waits for.
    hold: Seconds = 25
    #: Up to so many real seconds any other answer to a POST takes.
    latency: Seconds = 0
    #: Requests after which all others are answered HTTP 429 for a while.
    bursts: Share = 0
    #: How long that lasts, in real seconds.
    burst: Seconds = 3
    #: Fresh generations that are unknown to every endpoint at first.
    fog: Share = 0


@dataclass
class Weather:
    """Decides what becomes of each request. The same seed and request, asked as often, meet the same fault; bursts alone go by
    the clock. Callers hold the simulator's lock."""

    clock: Callable[[], float]
    climate: Climate = field(default_factory=Climate)
    #: What was served so far.
    served: Counter[str] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)
    _busy_until: float = 0

    def meet(self, subject: str, act: Callable[[], Answer], *, posted: bool = False) -> Answer:
        """The answer to a request in this weather.

        :param subject: what is asked, and of what
        :param act: carries the request out
        :param posted: it may create something
        """
        chance = self._chance(subject)
        fault = self._pick(chance)
        if fault is not None:
            self.served[fault] += 1
        if fault == "busy":
            return answers.RATE_LIMITED
        if fault == "refusal":
            return answers.REFUSALS[chance.choice(_REFUSALS)]
        if fault == "error":
            if chance.random() < 0.5:
                act()
            return chance.choice((answers.UNCERTAIN, _page("502 Bad Gateway"), _page("503 Service Unavailable")))
        answer = act()
        if fault == "drop":
            return replace(answer, dropped=True)
        if fault == "hold":
            return replace(answer, hold=self.climate.hold)
        return replace(answer, hold=answer.hold + chance.uniform(0, self.climate.latency)) if posted else answer

    def fog(self, subject: str) -> float:
        """For how many of the vendor's seconds a fresh id is unknown."""
        if not self.climate.fog:
            return 0
        chance = self._chance(f"fog {subject}")
        if chance.random() >= self.climate.fog:
            return 0
        self.served["fog"] += 1
        return chance.uniform(0, _LONGEST_FOG)

    def _chance(self, subject: str) -> Random:
        """Not one stream for all: it would depend on the order in which requests happen to come."""
        self._seen[subject] += 1
        return Random(f"{self.climate.seed} {subject} {self._seen[subject]}")

    def _pick(self, chance: Random) -> Fault | None:
        climate, now = self.climate, self.clock()
        if chance.random() < climate.bursts:
            self._busy_until = now + climate.burst
        if now < self._busy_until:
            return "busy"
        drawn = chance.random()
        shares: tuple[tuple[Fault, float], ...] = (
            ("error", climate.errors),
            ("refusal", climate.refusals),
            ("drop", climate.drops),
            ("hold", climate.holds),
        )
        for fault, share in shares:
            if drawn < share:
                return fault
            drawn -= share
        return None


def _page(status: str) -> Answer:
    return Answer(int(status[:3]), status, status=int(status[:3]), page=_PAGE.format(status=status))
