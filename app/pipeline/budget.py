"""Money: reserved before it is spent, settled when the vendor says what it took."""

from app.domain.ledger import Ledger, Limit
from app.domain.policy import Policy
from app.domain.submission import Submission
from app.domain.work import Item, Step, order_account

#: what is said to whoever asks for something that the day's budget does not allow
OVER_BUDGET = (
    "this would exceed the day's budget (REELKEEP_CREDITS_PER_DAY, REELKEEP_UPGRADE_CREDITS_PER_DAY); "
    "ask again tomorrow (UTC) or raise it"
)
WAITING = "waiting for its turn at the vendor's rate limit"
HELD = "over the day's budget (REELKEEP_CREDITS_PER_DAY, REELKEEP_UPGRADE_CREDITS_PER_DAY): held until tomorrow (UTC)"


def orders(policy: Policy) -> Limit:
    """The vendor's limit on new requests: submissions and upgrades of the whole account (veo-api §1)."""
    return Limit("orders", policy.provider_rate[0], policy.order_window)


def polls(policy: Policy) -> Limit:
    """Our own limit on questions."""
    return Limit("polls", *policy.poll_rate)


def reserve_upgrade(item: Item, order: int, ledger: Ledger, policy: Policy) -> float | None:
    """Reserve an upgrade's price.

    :param order: the number of its order, from 1
    :return: None, or when the next day begins: over budget
    :raises LedgerUnavailable:
    """
    assert item.kind is not None
    account = order_account(item.task_id, item.kind, item.index, order)
    return ledger.reserve(account, policy.price(item.kind), _limits(policy))


def reserve_submission(submission: Submission, ledger: Ledger, policy: Policy) -> float | None:
    """Reserve a submission's price; see `reserve_upgrade`."""
    return ledger.reserve(str(submission.item), submission.price, _limits(policy))


def pause_account(seconds: float, ledger: Ledger, policy: Policy, *, asked: bool) -> None:
    """The vendor said 429: nobody in the fleet sends a new request for so many seconds.

    :param asked: it was a question that it refused: then nobody asks either. Questions go on when an order was refused, for the
        vendor takes no more orders while too many generations run, and their ends have to be heard of
    :raises LedgerUnavailable:
    """
    ledger.pause(orders(policy), seconds)
    if asked:
        ledger.pause(polls(policy), seconds)


def _limits(policy: Policy) -> dict[str, float]:
    limits = {"total": policy.credits_per_day, str(Step.UPGRADE): policy.upgrade_credits_per_day}
    return {name: limit for name, limit in limits.items() if limit is not None}
