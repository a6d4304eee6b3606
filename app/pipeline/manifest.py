"""The manifest: what is known of a generation, beside its files. Written last, and anew after every change."""

import json
import random
from dataclasses import dataclass
from functools import partial

from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Ledger
from app.domain.policy import Policy
from app.domain.ports import Bucket
from app.domain.view import describe
from app.domain.work import Item, Step
from app.logs import add_to_work, log_event
from app.pipeline.lease import insist, keep_alive
from app.traces import span

#: raised when a reader of older manifests would misunderstand a newer one
FORMAT = 1


@dataclass(frozen=True)
class ManifestClaim:
    """The right to write a manifest, and what it is to show."""

    fence: int
    changes: int
    complete_at: float | None
    shown: Generation


def write_manifest(item: Item, ledger: Ledger, bucket: Bucket, policy: Policy, prefix: str) -> None:
    """Write a generation's manifest. It shows the generation as it is once the manifest is there: complete, if all is stored.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    claim = ledger.change(item.task_id, lambda draft: claim_manifest(draft, policy), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.fence)
    put_manifest(item.task_id, claim, ledger, bucket, policy, prefix)


def put_manifest(
    task_id: str, claim: ManifestClaim, ledger: Ledger, bucket: Bucket, policy: Policy, prefix: str
) -> None:
    """Write a manifest that was claimed: see `write_manifest`."""
    item = Item(Step.MANIFEST, task_id)
    renew = partial(ledger.change, task_id, lambda draft: _renew(draft, claim, policy))
    try:
        # Not handed over at the end of the process: an upload that hangs could take effect after a newer one.
        with keep_alive(renew, policy.lease / 3), span("put"):
            bucket.put_json(manifest_key(prefix, task_id), render(claim.shown))
    except StoreUnavailable as error:
        reason, chance = str(error), random.random()
        log_event("manifest.postponed", task_id=task_id, error=reason)
        ledger.change(task_id, lambda draft: _postpone(draft, claim, reason, policy, chance), focus=item)
    else:
        insist(partial(ledger.change, task_id, lambda draft: _finish(draft, claim), focus=item), policy.lease)


def manifest_key(prefix: str, task_id: str) -> str:
    """Where a manifest is kept (design 3.5)."""
    return f"{prefix}{task_id}/manifest.json"


def render(generation: Generation) -> str:
    """The manifest's text."""
    return json.dumps({"format": FORMAT, **describe(generation)}, indent=1, ensure_ascii=False) + "\n"


def claim_manifest(draft: Draft, policy: Policy) -> ManifestClaim | None:
    """Claim the writing of a draft's manifest. None: it is not due, or in other hands."""
    generation = draft.generation
    if generation is None:
        return None
    fence = generation.claim_manifest(draft.now, policy)
    if fence is None:
        return None
    complete_at = generation.completion(draft.now)
    shown = generation.model_copy(update={"complete_at": complete_at, "manifest_error": ""})
    return ManifestClaim(fence, generation.changes, complete_at, shown)


def _finish(draft: Draft, claim: ManifestClaim) -> None:
    if draft.generation is not None:
        draft.generation.finish_manifest(claim.fence, claim.changes, claim.complete_at, draft.now)


def _postpone(draft: Draft, claim: ManifestClaim, error: str, policy: Policy, chance: float) -> None:
    if draft.generation is not None:
        draft.generation.postpone_manifest(claim.fence, error, draft.now, policy, chance)


def _renew(draft: Draft, claim: ManifestClaim, policy: Policy) -> bool:
    return draft.generation is not None and draft.generation.manifest.renew(claim.fence, draft.now, policy.lease)
