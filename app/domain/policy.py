"""How long, how often, how much: the numbers that the rules are applied with, and the rules for waiting."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.requests import GenerateRequest, Request
from app.domain.work import UPGRADES, Kind

#: A fresh generation can be invisible at the vendor's for about this long, in seconds (veo-api §8).
INVISIBLE = 90.0
#: how many times in a row a link must be dead, and not renewable, before it is given up; see also `Policy.dead_after`
DEAD_ROUNDS = 5
#: What things cost, in credits, by the vendor's names (veo-api §1: learned in the field, drifts; Lite is a guess). An
#: extension's models are called `quality`, `fast` and `lite`, and taken to cost the same.
PRICES: Mapping[str, float] = {"veo3": 250.0, "veo3_fast": 60.0, "veo3_lite": 30.0, "1080p": 5.0, "4k": 120.0}
_EXTENSION_MODELS = {"quality": "veo3", "fast": "veo3_fast", "lite": "veo3_lite"}
#: By so much longer than the vendor's window is ours: clocks do not run alike.
RATE_MARGIN = 1.03


@dataclass(frozen=True)
class Policy:
    """Seconds everywhere. Built from the settings, whose names are given in design 3.7."""

    first_poll_after: float = 300
    poll_interval: float = 30
    poll_interval_max: float = 300
    give_up_after: float = 86400
    upgrade_poll_after: float = 600
    lease: float = 60
    retry_base: float = 2
    retry_max: float = 600
    link_lifetime: float = 1209600
    #: bought for every eligible generation
    upgrades: tuple[Kind, ...] = field(default=())
    #: budgets in credits: for all that is bought in a UTC day, for the upgrades of it, for one generation with its upgrades
    credits_per_day: float | None = None
    upgrade_credits_per_day: float | None = None
    credits_per_generation: float | None = None
    #: what things cost, over `PRICES`
    prices: Mapping[str, float] = field(default_factory=dict)
    #: how many orders in how many seconds the vendor takes from one account (veo-api §1)
    provider_rate: tuple[int, float] = (20, 10.0)
    #: how many questions in how many seconds we allow ourselves
    poll_rate: tuple[int, float] = (100, 10.0)

    @property
    def dead_after(self) -> float:
        """How long a link must have been dead, and not renewable, before it is given up: an hour by default."""
        return 6 * self.retry_max

    @property
    def order_window(self) -> float:
        """Seconds in which only so many orders are sent as the vendor takes in its own window."""
        return self.provider_rate[1] * RATE_MARGIN

    def price(self, kind: Kind) -> float:
        """What an upgrade is reckoned to cost, in credits."""
        return self._price(kind)

    def price_of(self, request: Request) -> float:
        """What a generation or an extension is reckoned to cost, in credits: a larger size as much as its upgrade."""
        if not isinstance(request, GenerateRequest):
            return self._price(_EXTENSION_MODELS[request.model])
        size = self._price(request.resolution) if request.resolution in UPGRADES else 0.0
        return self._price(request.model) + size

    def _price(self, name: str) -> float:
        return self.prices.get(name, PRICES[name])

    def poll_pause(self, age: float, *, expected: bool) -> float:
        """How long until a generation without a verdict is asked about again.

        A tenth of its age, within the poll interval's bounds. While there is reason to expect an answer any moment (it is too
        fresh to be visible, or its callback has just come), from one second up.
        """
        if expected and age < INVISIBLE:
            return min(max(1.0, age / 2), self.poll_interval)
        return min(max(age / 10, self.poll_interval), self.poll_interval_max)

    def upgrade_pause(self, kind: Kind) -> float:
        """How long after ordering an upgrade it is asked about: 1080p takes 1-3 minutes, 4K 5-10 (veo-api §5, §6)."""
        return self.upgrade_poll_after / 10 if kind is Kind.HD else self.upgrade_poll_after

    def repeat_pause(self, kind: Kind) -> float:
        """How long after an order the same request may go out as a question: for 4K 30 s by default, whatever the poll interval
        (veo-api §6)."""
        return max(self.poll_interval, self.upgrade_poll_after / 20) if kind is Kind.UHD else self.poll_interval

    def retry_pause(self, attempts: int, chance: float) -> float:
        """Exponential backoff with full jitter: evenly between 0 and base·2^(attempts-1), at most the maximum.

        :param attempts: how many attempts have failed, from 1
        :param chance: a random number in [0, 1)
        """
        ceiling = min(self.retry_max, self.retry_base * 2.0 ** min(attempts - 1, 60))
        return ceiling * chance
