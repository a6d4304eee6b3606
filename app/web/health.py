"""`/healthz`: this process is alive. `/readyz`: Redis answers, the bucket is reachable, nothing is stuck."""

from flask import Blueprint, Response, jsonify

from app.domain.errors import LedgerUnavailable
from app.domain.ledger import Health, Ledger

#: sweeps that may be missed before that counts as stuck, and the least time for it in seconds
MISSED_SWEEPS, LEAST = 4, 60.0
#: seconds that a message may wait for a worker, if sweeps go on
LONGEST_WAIT = 600.0


def health_routes(ledger: Ledger, sweep_every: float, warn_below: float | None = None) -> Blueprint:
    """The routes.

    :param sweep_every: seconds between sweeps
    :param warn_below: credits in the vendor's account under which a warning is shown
    """
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        try:
            health = ledger.health()
        except LedgerUnavailable as error:
            return jsonify(status="not ready", checks={"redis": str(error)}), 503
        checks = _check(health, max(LEAST, MISSED_SWEEPS * sweep_every))
        ready = not any(checks.values())
        shown = {name: problem or "ok" for name, problem in checks.items()}
        # An account that runs dry stops no process: a warning, and not a reason to take this one out of service.
        account = {"credits": health.credits, "warning": warn_of_account(health, warn_below) or None}
        return jsonify(status="ready" if ready else "not ready", checks=shown, account=account), 200 if ready else 503

    return routes


def warn_of_account(health: Health, warn_below: float | None) -> str:
    """What is wrong with the vendor's account; empty if nothing is, as far as is known."""
    if health.credits is not None and warn_below is not None and health.credits < warn_below:
        left, least = f"{health.credits:.12g}", f"{warn_below:.12g}"
        return f"{left} credits left, under REELKEEP_CREDITS_WARN_BELOW ({least}): top up"
    if health.credits_error:
        return f"the balance cannot be read: {health.credits_error}"
    return ""


def _check(health: Health, limit: float) -> dict[str, str]:
    """What is wrong, by part; empty texts where all is well."""
    return {
        "redis": "",
        "sweep": _check_sweep(health, limit),
        "bucket": _check_bucket(health, limit),
        "work": _check_work(health, limit),
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


def _check_work(health: Health, limit: float) -> str:
    if health.faults:
        item, reason = next(iter(health.faults.items()))
        return f"{len(health.faults)} items keep failing; {item}: {reason}"
    if health.overdue > limit:
        return f"something has been due for {health.overdue:.0f} s"
    if health.unclaimed > LONGEST_WAIT:
        return f"a message has waited {health.unclaimed:.0f} s for a worker"
    return ""
