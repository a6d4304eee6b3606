"""How long, how often, how much: the numbers that the rules are applied with, and the rules for waiting."""

from dataclasses import dataclass, field

from app.domain.work import Kind

#: A fresh generation can be invisible at the vendor's for about this long, in seconds (veo-api §8).
INVISIBLE = 90.0
#: how many times in a row a link must be dead, and not renewable, before it is given up; see also `Policy.dead_after`
DEAD_ROUNDS = 5
#: what an upgrade costs, in credits (veo-api §1: learned in the field, drifts)
PRICES = {Kind.HD: 5.0, Kind.UHD: 120.0}


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
    #: a budget in credits for upgrades, each UTC day
    upgrade_credits_per_day: float | None = None
    #: how many orders in how many seconds the vendor takes from one account (veo-api §1)
    provider_rate: tuple[int, float] = (20, 10.0)

    @property
    def dead_after(self) -> float:
        """How long a link must have been dead, and not renewable, before it is given up: an hour by default."""
        return 6 * self.retry_max

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

    def retry_pause(self, attempts: int, chance: float) -> float:
        """Exponential backoff with full jitter: evenly between 0 and base·2^(attempts-1), at most the maximum.

        :param attempts: how many attempts have failed, from 1
        :param chance: a random number in [0, 1)
        """
        ceiling = min(self.retry_max, self.retry_base * 2.0 ** min(attempts - 1, 60))
        return ceiling * chance
