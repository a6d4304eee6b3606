"""`GET /metrics`: figures for Prometheus, of the whole fleet.

They are read from the ledger when they are asked for, so that they are the same whichever web process answers, and outlive them
all. Nothing is counted in this process. Without Redis there is no figure but `reelkeep_up 0`.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, product

from flask import Blueprint, Response
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from app.domain.checkup import Level
from app.domain.errors import LedgerUnavailable
from app.domain.figures import Figures
from app.domain.ledger import Ledger
from app.domain.redis_state import RedisState, judge
from app.domain.standing import ENDS
from app.domain.tallies import BEYOND, BUCKETS, LATENCIES
from app.domain.work import UPGRADES, Kind, Step
from app.settings import Settings
from app.version import own_version
from app.web.access import Access
from app.web.health import check_fleet
from app.web.refusals import STATUSES

PREFIX = "reelkeep_"
_KINDS = {"kind": tuple(Kind)}


@dataclass(frozen=True)
class _Counter:
    """A tally as Prometheus knows it: its name without `_total`, and what the parts of the tally's name are."""

    name: str
    help: str
    #: labels, each with the values that are shown before anything was counted: a rate needs a beginning
    labels: Mapping[str, Iterable[str]]


def _plain(name: str, help: str, **labels: Iterable[str]) -> _Counter:
    return _Counter(name, help, labels)


#: by the first word of the tally's name: see `app.domain.tallies`
COUNTERS: Mapping[str, _Counter] = {
    "callbacks": _plain("callbacks", "Callbacks that the front door has recorded."),
    "refused": _plain(
        "callbacks_refused", "Callbacks that the front door has refused.", status=tuple(map(str, STATUSES))
    ),
    "settled": _plain("callbacks_settled", "Callbacks that were taken in.", result=("new", "duplicate")),
    "callbacks_missing": _plain("callbacks_missing", "Verdicts that had to be asked for: no callback had come."),
    "callbacks_late": _plain("callbacks_late", "Callbacks that came after such a verdict."),
    "tracked": _plain("generations_tracked", "Generations that became known."),
    "ended": _plain("generations_ended", "Generations that reached an end.", state=sorted(ENDS)),
    "at_risk": _plain("generations_endangered", "How often a generation came to be at risk."),
    "verdicts": _plain(
        "verdicts",
        "Verdicts, by what brought them.",
        outcome=("succeeded", "failed"),
        source=("callback", "poll"),
    ),
    "polls": _plain("polls", "Answers of the vendor to questions about a generation."),
    "stored": _plain("renditions_stored", "Files that were stored.", **_KINDS),
    "stored_bytes": _plain("stored_bytes", "Bytes of the files that were stored.", **_KINDS),
    "failed": _plain("renditions_failed", "Files that were given up.", **_KINDS),
    "unavailable": _plain("renditions_unavailable", "Files that the vendor does not have.", **_KINDS),
    "attempts_failed": _plain("attempts_failed", "Attempts to mirror a file that failed.", **_KINDS),
    "links_renewed": _plain("links_renewed", "Fresh links that were got for dead ones.", **_KINDS),
    "manifests_failed": _plain("manifests_failed", "Attempts to write a manifest that failed."),
    "purchases": _plain(
        "purchases",
        "Requests that cost something: intended, and what came of them.",
        what=("generation", "extension", *UPGRADES),
        stage=("intended", "accepted", "refused", "uncertain"),
    ),
    "events": _plain("events", "Events for your receiver.", result=("delivered", "postponed", "dropped")),
    "retries": _plain("retries", "Retries that users asked for."),
    "sweeps": _plain("sweeps", "Sweeps that were done."),
    "rescued": _plain("messages_rescued", "Messages that were lost and sent again by a sweep."),
}


def metrics_routes(ledger: Ledger, settings: Settings) -> Blueprint:
    """The route. :param settings: thresholds and budgets are shown beside the figures; and who may look"""
    routes = Blueprint("metrics", __name__)
    token = settings.metrics_token.get_secret_value()
    if token:
        routes.before_request(Access([token], ledger, names="REELKEEP_METRICS_TOKEN").require_bearer)
    collector = FleetCollector(ledger, settings)

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(collector), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes


class FleetCollector(Collector):
    """Reads the ledger once for each collection."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        """Nothing is read yet."""
        self._ledger = ledger
        self._settings = settings
        build = {"version": own_version(), "python": platform.python_version()}
        self._build = InfoMetricFamily(f"{PREFIX}build", "What answers.", build)

    def collect(self) -> Iterator[Metric]:
        """All figures; without Redis only those that need none."""
        yield self._build
        yield from _show_limits(self._settings)
        try:
            figures = self._ledger.figures()
        except LedgerUnavailable:
            yield _gauge("up", "1: the ledger answers.", 0)
            return
        yield _gauge("up", "1: the ledger answers.", 1)
        yield from _show_state(figures)
        yield from _show_health(figures, self._settings)
        yield from _show_waiting(figures)
        yield from _show_money(figures)
        yield from _show_server(figures.server)
        yield from _show_counters(figures.tallies)
        yield _show_latency(figures.tallies)


def _gauge(name: str, help: str, value: float | None) -> GaugeMetricFamily:
    """:param value: None: not known, so there is no sample"""
    return GaugeMetricFamily(PREFIX + name, help, value)


def _gauges(name: str, help: str, label: str, values: Mapping[str, float | None]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, help, labels=[label])
    for of, value in values.items():
        if value is not None:
            family.add_metric([of], value)
    return family


def _show_limits(settings: Settings) -> Iterator[Metric]:
    budgets = {"all": settings.credits_per_day, "upgrades": settings.upgrade_credits_per_day}
    yield _gauges("budget_credits", "Credits that may be spent in a UTC day, if there is a budget.", "scope", budgets)
    yield _gauge("credits_warn_below", "REELKEEP_CREDITS_WARN_BELOW, if it is set.", settings.credits_warn_below)


def _show_state(figures: Figures) -> Iterator[Metric]:
    counts = {str(state): count for state, count in figures.counts.items()}
    yield _gauges("generations", "Generations, and submissions that have none yet.", "state", counts)
    yield _gauge("generations_at_risk", "Generations that are overdue or keep failing.", figures.at_risk)
    text = "Generations and submissions of which something may or may not have been bought."
    yield _gauge("generations_uncertain", text, figures.uncertain)
    text = "Generations whose record has left Redis for the bucket: REELKEEP_KEEP_DAYS."
    yield _gauge("generations_archived", text, figures.tallies.get("archived", 0))


def _show_health(figures: Figures, settings: Settings) -> Iterator[Metric]:
    health = figures.health
    found = check_fleet(health, settings.sweep_every, settings.download_deadline)
    remarks = judge(figures.server)
    levels = {level: sum(remark.level is level for remark in remarks) for level in Level}
    checks = {"redis": not levels[Level.PROBLEM], **{name: not problem for name, problem in found.items()}}
    yield _gauges("check_passed", "1: /readyz finds nothing wrong with this part.", "check", checks)
    text = "What /readyz warns of in Redis: it stops nothing, but something may be lost some day."
    yield _gauge("redis_warnings", text, levels[Level.WARNING])
    yield _gauge("last_sweep_timestamp_seconds", "When the last sweep was; 0: never.", health.sweep_at or 0)
    yield _gauge(
        "last_bucket_check_timestamp_seconds", "When the bucket was last looked at; 0: never.", health.bucket_at or 0
    )
    yield _gauge("failing_items", "Steps that keep failing in a way that nobody foresaw.", figures.failing)
    text = "For how long messages have waited while no worker took one up, in the lane where that is longest."
    yield _gauge("unclaimed_seconds", text, health.unclaimed)
    yield _gauge("events_waiting", "Generations whose events wait for your receiver.", health.untold)
    yield _gauge("events_oldest_seconds", "The age of the oldest event that waits.", health.untold_for)


def _show_waiting(figures: Figures) -> Iterator[Metric]:
    lanes = {str(lane): waiting for lane, waiting in figures.waiting.items()}

    def show(name: str, help: str, values: Iterable[float]) -> Metric:
        return _gauges(name, help, "lane", dict(zip(lanes, values, strict=True)))

    rows = lanes.values()
    yield show("queue_items", "Items whose message waits for a worker.", [row.enqueued for row in rows])
    yield show("queue_oldest_seconds", "The age of the oldest such message.", [row.oldest for row in rows])
    text = "Items that will be looked at some day: polls, retries, claims that may lapse."
    yield show("scheduled_items", text, [row.scheduled for row in rows])
    yield show("due_items", "Scheduled items whose time has come.", [row.due for row in rows])
    yield show("overdue_seconds", "For how long the first of them has been due.", [row.overdue for row in rows])


def _show_money(figures: Figures) -> Iterator[Metric]:
    health = figures.health
    yield _gauge("credits", "Credits left in the vendor's account when it was last looked at.", health.credits)
    text = "When that was; 0: never."
    yield _gauge("last_credits_check_timestamp_seconds", text, health.credits_at or 0)
    yield _gauge("credits_check_failed", "1: the balance could not be read.", bool(health.credits_error))
    spent = {str(step): figures.spent_today.get(step, 0.0) for step in (Step.SUBMIT, Step.UPGRADE)}
    yield _gauges("spent_today_credits", "Credits reserved or spent this UTC day.", "step", spent)
    # No counter: it falls when the vendor turns out to have taken less.
    kinds = dict.fromkeys(("generation", "extension", *UPGRADES), 0.0)
    spent_on = {
        name.partition(":")[2]: amount for name, amount in figures.tallies.items() if name.startswith("credits:")
    }
    text = "Credits spent since the ledger began, as far as is known; put right downwards too."
    yield _gauges("spent_credits", text, "what", {**kinds, **spent_on})


def _show_server(server: RedisState | None) -> Iterator[Metric]:
    used = None if server is None or server.used is None else server.used + server.spoken_for
    text = "Memory of Redis that is used, or that what waits will come to need."
    yield _gauge("redis_memory_bytes", text, used)
    yield _gauge("redis_memory_limit_bytes", "maxmemory, if it is set.", (server and server.limit) or None)


def _show_counters(tallies: Mapping[str, float]) -> Iterator[Metric]:
    counted: dict[str, dict[tuple[str, ...], float]] = {
        first: dict.fromkeys(product(*counter.labels.values()), 0.0) for first, counter in COUNTERS.items()
    }
    for name, amount in tallies.items():
        first, *labels = name.split(":")
        # Written by a newer version, perhaps: what this one has no name for is not shown.
        if first in COUNTERS and len(labels) == len(COUNTERS[first].labels):
            counted[first][tuple(labels)] = amount
    for first, counter in COUNTERS.items():
        family = CounterMetricFamily(PREFIX + counter.name, counter.help, labels=list(counter.labels))
        for values, amount in counted[first].items():
            family.add_metric(values, amount)
        yield family


def _show_latency(tallies: Mapping[str, float]) -> Metric:
    totals = accumulate(tallies.get(name, 0) for name in LATENCIES)
    buckets = [(bound, total) for bound, total in zip([*map(str, BUCKETS), BEYOND], totals, strict=True)]
    family = HistogramMetricFamily(f"{PREFIX}time_to_stored_seconds", "Seconds from a verdict to its stored file.")
    family.add_metric([], buckets, sum_value=tallies.get("latency_sum", 0.0))
    return family
