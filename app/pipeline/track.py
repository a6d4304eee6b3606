"""What users ask for: tracking, upgrades, trying again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.news import News
from app.domain.policy import Policy
from app.domain.submission import Submission
from app.domain.work import Item, Kind, Step, is_submission_id
from app.pipeline import budget


@dataclass(frozen=True)
class Tracked:
    """A generation, and whether it was new."""

    generation: Generation
    created: bool


def track(task_id: str, upgrades: Sequence[Kind], labels: Mapping[str, str], ledger: Ledger, policy: Policy) -> Tracked:
    """Track a generation that was submitted elsewhere. Doing it again adds upgrades and labels that are new.

    :raises LedgerUnavailable:
    """

    def transition(draft: Draft) -> Tracked:
        created = draft.generation is None and not draft.pending
        generation = draft.generation or Generation.track(task_id, draft.now, policy)
        draft.generation = generation
        generation.want_upgrades(list(upgrades), draft.now)
        generation.set_labels(dict(labels), draft.now)
        return Tracked(generation, created)

    return ledger.change(task_id, transition)


class UpgradeRequest(StrEnum):
    """What became of the wish for an upgrade."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    UNKNOWN = "unknown"
    #: no verdict yet, the generation failed, there is no such result, or the fallback model made it
    IMPOSSIBLE = "impossible"
    OVER_BUDGET = "over_budget"


@dataclass(frozen=True)
class UpgradeAnswer:
    """The answer to such a wish."""

    outcome: UpgradeRequest
    generation: Generation | None
    #: why not
    reason: str = ""


def request_upgrade(task_id: str, kind: Kind, index: int, ledger: Ledger, policy: Policy) -> UpgradeAnswer:
    """Ask for one upgrade of one result, within the budgets. :raises LedgerUnavailable:"""
    answer = _judge_upgrade(ledger.read(task_id).generation, kind, index, policy)
    held = answer.outcome is UpgradeRequest.ALREADY
    if answer.outcome not in (UpgradeRequest.ACCEPTED, UpgradeRequest.ALREADY) or answer.generation is None:
        return answer
    known = answer.generation.find(kind, index)
    if held and known is not None and (known.order is not None or known.ended):
        return answer
    item = Item(Step.UPGRADE, task_id, kind, index)
    if budget.reserve_upgrade(item, (known.orders if known else 0) + 1, ledger, policy) is not None:
        return UpgradeAnswer(UpgradeRequest.OVER_BUDGET, answer.generation, budget.OVER_BUDGET)

    def transition(draft: Draft) -> UpgradeAnswer:
        judged = _judge_upgrade(draft.generation, kind, index, policy)
        if judged.outcome is UpgradeRequest.ACCEPTED and draft.generation is not None:
            draft.generation.want_upgrade(kind, index, draft.now)
        elif held and draft.generation is not None and (waiting := draft.generation.find(kind, index)) is not None:
            draft.generation.hurry(waiting, draft.now)
        return judged

    return ledger.change(task_id, transition)


def _judge_upgrade(generation: Generation | None, kind: Kind, index: int, policy: Policy) -> UpgradeAnswer:
    if generation is None:
        return UpgradeAnswer(UpgradeRequest.UNKNOWN, None)
    if generation.asked_for(kind, index):
        return UpgradeAnswer(UpgradeRequest.ALREADY, generation)
    if reason := generation.why_not_upgrade(kind, index):
        return UpgradeAnswer(UpgradeRequest.IMPOSSIBLE, generation, reason)
    if reason := generation.over_budget(kind, policy, planned=True):
        return UpgradeAnswer(UpgradeRequest.OVER_BUDGET, generation, reason)
    return UpgradeAnswer(UpgradeRequest.ACCEPTED, generation)


def retry(record_id: str, ledger: Ledger) -> tuple[int, Generation | Submission | None]:
    """Try again what failed. Gives how many pieces of work are under way again.

    What was submitted and may have been created is never sent again.

    :raises LedgerUnavailable:
    """

    def transition(draft: Draft) -> tuple[int, Generation | Submission | None]:
        record = draft.record
        return (int(record.retry(draft.now)) if record else 0), record

    return ledger.change(record_id, transition)


def look_back(record: Generation | Submission, ledger: Ledger) -> list[News]:
    """What has happened to it, oldest first; to a generation also what has happened to the submission that it has come of.

    :raises LedgerUnavailable:
    """
    ids = [record.id] if isinstance(record, Submission) else [record.submission, record.task_id]
    told = [news for record_id in ids if record_id for news in ledger.timeline(record_id)]
    return sorted(told, key=lambda news: news.at)


def look_up(record_id: str, ledger: Ledger, policy: Policy) -> Generation | Submission | None:
    """A generation by the vendor's id or by that of its submission; the submission as long as there is no generation.

    A generation is given also if all that is known of it is a callback that nobody has looked at yet.
    """
    draft = ledger.read(record_id)
    if draft.submission is not None and draft.submission.linked:
        return look_up(draft.submission.task_id, ledger, policy)
    if draft.record is None and draft.pending and not is_submission_id(record_id):
        return Generation.track(record_id, draft.now, policy)
    return draft.record
