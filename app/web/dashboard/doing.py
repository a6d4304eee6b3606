"""What the pages' buttons do: each the same function that the API or the command line uses, and a sentence of what came of it."""

from dataclasses import dataclass

from app.domain.ledger import Ledger
from app.domain.policy import Policy
from app.domain.submission import Submission
from app.domain.work import Kind
from app.pipeline.replay import replay
from app.pipeline.track import UpgradeRequest, look_up, request_upgrade, retry
from app.web.dashboard.one import can_retry
from app.web.dashboard.search import Search

#: how many of a list are tried again at once, and how many pages of the ledger are looked through for them
MOST_AT_ONCE, MOST_LOOKS = 200, 20


@dataclass(frozen=True)
class Bulk:
    """What came of trying a whole list again."""

    #: how many had failed and are under way again
    again: int
    #: how many that the filter shows were looked at
    looked_at: int
    #: there are more behind the bound
    more: bool

    @property
    def sentence(self) -> str:
        """For the page."""
        more = f" That is the most at once ({MOST_AT_ONCE}): there are more, do it again." if self.more else ""
        return f"Looked at {self.looked_at:,}; {self.again:,} had failed and are under way again.{more}"


def retry_all(search: Search, ledger: Ledger) -> Bulk:
    """Try again what failed of all that a filter shows, as far as the bound goes."""
    again = looked_at = 0
    cursor: str | None = None
    for _ in range(MOST_LOOKS):
        page = ledger.page(search.listed_state, MOST_AT_ONCE, cursor, search.filter)
        for record in page.generations:
            if again == MOST_AT_ONCE:
                return Bulk(again, looked_at, more=True)
            looked_at += 1
            if can_retry(record):
                record_id = record.id if isinstance(record, Submission) else record.task_id
                again += bool(retry(record_id, ledger)[0])
        cursor = page.cursor
        if cursor is None:
            return Bulk(again, looked_at, more=False)
    return Bulk(again, looked_at, more=True)


def retry_one(record_id: str, ledger: Ledger) -> str:
    """Try again what failed."""
    again, record = retry(record_id, ledger)
    if isinstance(record, Submission) and not again:
        return f"Not tried again: {record.why_no_retry}"
    if not again:
        return "Nothing had failed: all is as it was."
    return f"Under way again: {'what' if again == 1 else f'{again} things that'} had failed."


def buy(task_id: str, kind: Kind, index: int, ledger: Ledger, policy: Policy) -> str:
    """Ask for an upgrade."""
    answer = request_upgrade(task_id, kind, index, ledger, policy)
    match answer.outcome:
        case UpgradeRequest.ACCEPTED:
            return f"The {kind} will be bought, once."
        case UpgradeRequest.ALREADY:
            return f"The {kind} was asked for before: it is bought once."
        case _:
            return f"Not bought: {answer.reason or 'it is not known here'}"


def replay_one(task_id: str, ledger: Ledger, policy: Policy) -> str:
    """Run the recorded callbacks again; what comes of it is not waited for."""
    record = look_up(task_id, ledger, policy)
    if record is None or isinstance(record, Submission):
        return "There is nothing to replay."
    done = [(it.callbacks, it.skipped) for it in replay([record], None, ledger, lambda seconds: True)]
    callbacks, skipped = done[0]
    left = f"; {skipped} were not, since it is not known any more which order they were about" if skipped else ""
    run = "1 recorded callback was" if callbacks == 1 else f"{callbacks} recorded callbacks were"
    return f"{run} run again{left}. Nothing comes of that but that it is counted, if all is well."
