"""The front door: from a request to a recorded callback. Nothing is fetched or decided here."""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain.callbacks import identify
from app.domain.ledger import Entry, Ledger, Recorded, Route, Trust
from app.traces import work_span

#: judges (task id, timestamp, signature): see `app.adapters.signature.verify`
Verify = Callable[[str, str | None, str | None], Trust | None]


#: bytes of a body that are recorded; a prompt of thousands of words fits
LONGEST_KEPT = 65_536


class Unauthorised(Exception):
    """The callback proves nothing: bad signature, or a token that nobody was given."""


@dataclass(frozen=True)
class Delivery:
    """What the vendor's POST brought."""

    route: Route
    raw: bytes
    #: epoch seconds of receipt
    at: float
    token: str | None = None
    timestamp: str | None = None
    signature: str | None = None


def record_callback(delivery: Delivery, ledger: Ledger, verify: Verify | None) -> str | None:
    """Authenticate a callback and record it as it came: what it says is read when it is settled. Gives its id, if it has one.

    :param verify: None: unsigned callbacks are allowed
    :raises UnreadableCallback: it names no generation
    :raises Unauthorised:
    :raises LedgerUnavailable: it is not recorded; the vendor shall try again
    """
    task_id = identify(delivery.raw, named=delivery.token is not None)
    trust = _authenticate(task_id, delivery, verify)
    if trust is None:
        raise Unauthorised("the signature is missing or wrong")
    # What is far longer than any callback is recorded as a reason to ask: the vendor's own record is what counts.
    raw = delivery.raw.decode("utf-8") if len(delivery.raw) <= LONGEST_KEPT else "{}"
    entry = Entry(at=delivery.at, route=delivery.route, trust=trust, raw=raw)
    with work_span("record", task_id, route=delivery.route):
        recorded = ledger.record(task_id, delivery.token, entry)
    if recorded is Recorded.UNKNOWN_TOKEN:
        raise Unauthorised("nobody was given this token")
    return task_id


def _authenticate(task_id: str | None, delivery: Delivery, verify: Verify | None) -> Trust | None:
    if task_id is None:  # `data` is null: no id, so no signature; the ledger judges the token (veo-api §7)
        return Trust.TOKEN
    if verify is None:
        return Trust.UNSIGNED
    return verify(task_id, delivery.timestamp, delivery.signature)
