"""Where a record stands: its state, and the lists that it is in. What changes between two standings is news too.

Every list is a sorted set; those that are paged through have the time of tracking as the score.

| list | of | score |
|---|---|---|
| `tracked`, `state:<state>` | all; those in a state | tracked at |
| `kind:<1080p, 4k>` | generations that have, or are to have, such an upgrade | tracked at |
| `label:<name>=<value>` | those with a label | tracked at |
| `uncertain` | those of which something may or may not have been bought | tracked at |
| `untold` | those whose events wait for the user's receiver | when the oldest of them happened |
| `risk` | generations of which something is overdue or keeps failing | when it will be too late |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.generation import Generation
from app.domain.news import News
from app.domain.states import State
from app.domain.submission import Submission

#: raised when records have to be put into new lists
LISTS_VERSION = 1
#: labels of one record that are listed, in the order of their names; the user's routes take no more at once
MOST_LABELS = 32
#: the lists that records leave again
PASSING = ("uncertain", "untold", "risk")
ENDS = frozenset({State.COMPLETE, State.FAILED, State.LOST})


@dataclass(frozen=True)
class Standing:
    """Of nothing: no state, and no list."""

    state: State | None = None
    #: scores by the names of lists
    lists: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Generation | Submission | None) -> "Standing":
        """What follows from the record itself."""
        if record is None or record.state is None:
            return cls()
        labels = sorted(record.labels.items())[:MOST_LABELS]
        names = ["tracked", f"state:{record.state}", *(label_list(name, value) for name, value in labels)]
        if record.is_uncertain:
            names.append("uncertain")
        if isinstance(record, Generation):
            names += [f"kind:{kind}" for kind in record.upgrade_kinds]
        lists = dict.fromkeys(names, record.tracked_at)
        if isinstance(record, Generation) and record.risk_until is not None:
            lists["risk"] = record.risk_until
        if record.outbox.events:
            lists["untold"] = record.outbox.events[0].at
        return cls(record.state, lists)


def label_list(name: str, value: str) -> str:
    """The list of the records with a label."""
    return f"label:{name}={value}"


def tell_changes(before: Standing, record: Generation | Submission | None, now: float) -> list[News]:
    """What has happened to a record: what it tells itself, and what has come of that."""
    if record is None:
        return []
    after, told = Standing.of(record), list(record.news)
    if any(news.name == "generation.rebuilt" for news in told):
        return told  # that was long ago
    if "risk" in after.lists and "risk" not in before.lists:
        told.append(News(now, "generation.at_risk", {"until": round(after.lists["risk"], 2)}))
    if after.state in ENDS and after.state is not before.state:
        told.append(News(now, f"generation.{after.state}"))
    return told
