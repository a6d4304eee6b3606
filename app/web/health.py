"""`/healthz`: this process is alive. `/readyz`: Redis answers and takes writes, the bucket is reachable, nothing is stuck."""

from flask import Blueprint, Response, jsonify

from app.domain.checkup import Level, Remark
from app.domain.errors import LedgerUnavailable
from app.domain.health import Health
from app.domain.ledger import Ledger
from app.domain.redis_state import KeptInRedis, judge
from app.web.answers import AliveView, ReadyView

#: sweeps that may be missed before that counts as stuck, and the least time for it in seconds
MISSED_SWEEPS, LEAST = 4, 60.0
#: seconds, beside those that a download may last, for which messages may wait while no worker takes one up
LONGEST_WAIT = 300.0


def health_routes(ledger: Ledger, sweep_every: float, deadline: float, warn_below: float | None = None) -> Blueprint:
    """The routes.

    :param sweep_every: seconds between sweeps
    :param deadline: seconds that a download may last
    :param warn_below: credits in the vendor's account under which a warning is shown
    """
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        alive: AliveView = {"status": "alive"}
        return jsonify(alive)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        try:
            health, remarks = ledger.health(), look_at_redis(ledger)
        except LedgerUnavailable as error:
            silent: ReadyView = {"status": "not ready", "checks": {"redis": str(error)}}
            return jsonify(silent), 503
        checks = {"redis": "; ".join(_pick(remarks, Level.PROBLEM)), **check_fleet(health, sweep_every, deadline)}
        ready = not any(checks.values())
        # What could be lost some day, a receiver that is away and an account that runs dry stop no process: no reasons to take
        # this one out of service.
        body: ReadyView = {
            "status": "ready" if ready else "not ready",
            "checks": {name: problem or "ok" for name, problem in checks.items()},
            "warnings": [
                *_pick(remarks, Level.WARNING),
                *filter(None, [health.warn_of_receiver, health.warn_of_archive]),
            ],
            # Whether, and not how much: anybody may ask here.
            "account": "needs a look: GET /account" if health.warn_of_account(warn_below) else "ok",
        }
        return jsonify(body), 200 if ready else 503

    return routes


def look_at_redis(ledger: Ledger) -> list[Remark]:
    """What is to be said of the server; nothing of a ledger that is kept elsewhere. :raises LedgerUnavailable:"""
    return judge(ledger.server_state()) if isinstance(ledger, KeptInRedis) else []


def _pick(remarks: list[Remark], level: Level) -> list[str]:
    return [remark.sentence for remark in remarks if remark.level is level]


def check_fleet(health: Health, sweep_every: float, deadline: float) -> dict[str, str]:
    """What is wrong with the workers and with what they see, by part; empty texts where all is well."""
    limit = max(LEAST, MISSED_SWEEPS * sweep_every)
    return {
        "sweep": _check_sweep(health, limit),
        "bucket": _check_bucket(health, limit),
        "work": _check_work(health, limit, deadline + LONGEST_WAIT),
    }


def _check_sweep(health: Health, limit: float) -> str:
    if health.sweep_at is None:
        return "no sweep has run yet: are beat and worker up?"
    age = health.now - health.sweep_at
    return f"the last sweep was {age:.0f} s ago: are beat and worker up?" if age > limit else ""


def _check_bucket(health: Health, limit: float) -> str:
    if health.bucket_at is None or health.now - health.bucket_at > limit:
        return "not looked at lately: are beat and worker up?"
    return health.bucket_error


def _check_work(health: Health, limit: float, longest_wait: float) -> str:
    if health.faults:
        item, reason = next(iter(health.faults.items()))
        if len(health.faults) == 1:
            return f"1 item keeps failing; {item}: {reason}"
        return f"{len(health.faults)} items keep failing; {item}: {reason}"
    if health.overdue > limit:
        return f"something has been due for {health.overdue:.0f} s"
    if health.unclaimed > longest_wait:
        return f"work has waited for {health.unclaimed:.0f} s, and no worker takes it up"
    return ""
