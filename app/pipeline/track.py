"""What users ask for: tracking, upgrades, trying again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.policy import Policy
from app.domain.vendor import Progress
from app.domain.work import Item, Kind, Step
from app.pipeline.upgrade import clear_budget


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


#: what is said to whoever asks for an upgrade that the day's budget does not allow
OVER_BUDGET = "this would exceed REELKEEP_UPGRADE_CREDITS_PER_DAY; ask again tomorrow (UTC) or raise it"


class UpgradeRequest(StrEnum):
    """What became of the wish for an upgrade."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    UNKNOWN = "unknown"
    #: no verdict yet, the generation failed, there is no such result, or the fallback model made it
    IMPOSSIBLE = "impossible"
    OVER_BUDGET = "over_budget"


def request_upgrade(
    task_id: str, kind: Kind, index: int, ledger: Ledger, policy: Policy
) -> tuple[UpgradeRequest, Generation | None]:
    """Ask for one upgrade of one result, within the day's budget. :raises LedgerUnavailable:"""
    outcome, generation = _request_upgrade(task_id, kind, index, ledger, dry=True)
    if outcome is not UpgradeRequest.ACCEPTED:
        return outcome, generation
    known = generation.find(kind, index) if generation else None
    item = Item(Step.UPGRADE, task_id, kind, index)
    if clear_budget(item, known.orders if known else 0, ledger, policy) is not None:
        return UpgradeRequest.OVER_BUDGET, generation
    return _request_upgrade(task_id, kind, index, ledger, dry=False)


def _request_upgrade(
    task_id: str, kind: Kind, index: int, ledger: Ledger, *, dry: bool
) -> tuple[UpgradeRequest, Generation | None]:
    def transition(draft: Draft) -> tuple[UpgradeRequest, Generation | None]:
        generation = draft.generation
        if generation is None:
            return UpgradeRequest.UNKNOWN, None
        if generation.asked_for(kind, index):
            return UpgradeRequest.ALREADY, generation
        succeeded = generation.verdict is Progress.SUCCEEDED
        if not succeeded or generation.fallback or generation.find(Kind.RESULT, index) is None:
            return UpgradeRequest.IMPOSSIBLE, generation
        if not dry:
            generation.want_upgrade(kind, index, draft.now)
        return UpgradeRequest.ACCEPTED, generation

    return ledger.change(task_id, transition)


def retry(task_id: str, ledger: Ledger) -> tuple[int, Generation | None]:
    """Try again what failed. Gives how many pieces of work are under way again. :raises LedgerUnavailable:"""

    def transition(draft: Draft) -> tuple[int, Generation | None]:
        generation = draft.generation
        return (generation.retry(draft.now) if generation else 0), generation

    return ledger.change(task_id, transition)


def look_up(task_id: str, ledger: Ledger, policy: Policy) -> Generation | None:
    """A generation, also if all that is known of it is a callback that nobody has looked at yet."""
    draft = ledger.read(task_id)
    if draft.generation is None and draft.pending:
        return Generation.track(task_id, draft.now, policy)
    return draft.generation
