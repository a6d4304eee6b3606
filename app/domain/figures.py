"""All that is measured of the fleet, in figures whose reading costs the same however many generations there are."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.health import Health
from app.domain.redis_state import RedisState
from app.domain.states import State
from app.domain.work import Lane


@dataclass(frozen=True)
class Waiting:
    """What waits in a lane. Ages are in seconds, 0 where nothing waits."""

    #: items whose message waits for a worker, and the age of the oldest
    enqueued: int
    oldest: float
    #: items that will be looked at some day: polls, retries, claims that may lapse
    scheduled: int
    #: those of them whose time has come, and for how long it has
    due: int
    overdue: float


@dataclass(frozen=True)
class Figures:
    """What `/metrics` shows, read in one round trip."""

    counts: Mapping[State, int]
    #: generations and submissions of which something may or may not have been bought
    uncertain: int
    at_risk: int
    #: see `Ledger.spent_today`
    spent_today: Mapping[str, float]
    #: what was counted since the ledger began: see `app.domain.tallies`
    tallies: Mapping[str, float]
    waiting: Mapping[Lane, Waiting]
    #: items that keep failing; `health` names some of them
    failing: int
    health: Health
    #: None: the server does not tell, or the ledger is kept elsewhere
    server: RedisState | None
