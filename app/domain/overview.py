"""The first screen: how all of it stands, in figures whose reading costs the same however many generations there are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.generation import Generation
from app.domain.health import Health
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.tallies import quantile

HOUR, HOURS_OF_DAY = 3600, 24


@dataclass(frozen=True)
class Hour:
    """What was counted in one hour of the clock."""

    #: when it began, epoch seconds
    at: float
    #: as in `app.domain.tallies`
    tallies: Mapping[str, float]

    @property
    def callbacks(self) -> int:
        """Callbacks that came."""
        return int(self.tallies.get("callbacks", 0))

    @property
    def stored(self) -> int:
        """Files that were stored."""
        return self._sum("stored:")

    @property
    def failed(self) -> int:
        """Files that were given up."""
        return self._sum("failed:")

    def _sum(self, beginning: str) -> int:
        return int(sum(amount for name, amount in self.tallies.items() if name.startswith(beginning)))


@dataclass(frozen=True)
class AtRisk:
    """Something of this generation is overdue or keeps failing."""

    record: Generation | Submission
    #: when it will be too late, epoch seconds
    until: float


@dataclass(frozen=True)
class Overview:
    """What the first screen shows. Times are epoch seconds on the ledger's clock, today is the UTC day."""

    now: float
    counts: Mapping[State, int]
    #: generations and submissions of which something may or may not have been bought
    uncertain: int
    #: how many are at risk, and those of them that have the least time left
    at_risk: int
    risks: Sequence[AtRisk]
    #: see `Ledger.spent_today`
    spent_today: Mapping[str, float]
    #: the last 24 hours, the present one last
    hours: Sequence[Hour]
    health: Health

    @property
    def today(self) -> Mapping[str, float]:
        """What was counted today, as in `app.domain.tallies`."""
        return self._since(self.now - self.now % (HOURS_OF_DAY * HOUR))

    def lately(self, hours: int) -> Mapping[str, float]:
        """What was counted in the present hour of the clock and in those before it. :param hours: how many, 24 at most"""
        return self._since(self.now - self.now % HOUR - (hours - 1) * HOUR)

    @property
    def callbacks_today(self) -> int:
        """Callbacks that came today."""
        return int(self.today.get("callbacks", 0))

    @property
    def missing_today(self) -> int:
        """Verdicts of today that had to be asked for, and whose callback has not come since."""
        return count_missing(self.today)

    def latency_today(self, share: float) -> float | None:
        """Seconds from callback to stored file that so large a share of today's stayed under. :param share: 0.95 for p95"""
        return quantile(self.today, share)

    def _since(self, begin: float) -> Mapping[str, float]:
        total: Counter[str] = Counter()
        for hour in self.hours:
            if hour.at >= begin:
                total.update(hour.tallies)
        return total


def count_missing(tallies: Mapping[str, float]) -> int:
    """Verdicts that had to be asked for, and whose callback has not come since."""
    return max(0, int(tallies.get("callbacks_missing", 0) - tallies.get("callbacks_late", 0)))
