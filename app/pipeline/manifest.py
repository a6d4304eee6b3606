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
from app.domain.work import Item
from app.logs import add_to_work, log_event
from app.pipeline.lease import insist, keep_alive
from app.traces import span

#: raised when a reader of older manifests would misunderstand a newer one
FORMAT = 1


@dataclass(frozen=True)
class _Claim:
    fence: int
    changes: int
    complete_at: float | None
    text: str


def write_manifest(item: Item, ledger: Ledger, bucket: Bucket, policy: Policy, prefix: str) -> None:
    """Write a generation's manifest. It shows the generation as it is once the manifest is there: complete, if all is stored.

    :raises LedgerUnavailable: nothing is lost, the work is due again when the claim lapses
    """
    claim = ledger.change(item.task_id, lambda draft: _claim(draft, policy), focus=item)
    if claim is None:
        return
    add_to_work(attempt=claim.fence)
    renew = partial(ledger.change, item.task_id, lambda draft: _renew(draft, claim, policy))
    try:
        # Not handed over at the end of the process: an upload that hangs could take effect after a newer one.
        with keep_alive(renew, policy.lease / 3), span("put"):
            bucket.put_json(manifest_key(prefix, item.task_id), claim.text)
    except StoreUnavailable as error:
        reason, chance = str(error), random.random()
        log_event("manifest.postponed", task_id=item.task_id, error=reason)
        ledger.change(item.task_id, lambda draft: _postpone(draft, claim, reason, policy, chance), focus=item)
    else:
        insist(partial(ledger.change, item.task_id, lambda draft: _finish(draft, claim), focus=item), policy.lease)


def manifest_key(prefix: str, task_id: str) -> str:
    """Where a manifest is kept (design 3.5)."""
    return f"{prefix}{task_id}/manifest.json"


def render(generation: Generation) -> str:
    """The manifest's text."""
    return json.dumps({"format": FORMAT, **describe(generation)}, indent=1, ensure_ascii=False) + "\n"


def _claim(draft: Draft, policy: Policy) -> _Claim | None:
    generation = draft.generation
    if generation is None:
        return None
    fence = generation.claim_manifest(draft.now, policy)
    if fence is None:
        return None
    complete_at = generation.completion(draft.now)
    shown = generation.model_copy(update={"complete_at": complete_at, "manifest_error": ""})
    return _Claim(fence, generation.changes, complete_at, render(shown))


def _finish(draft: Draft, claim: _Claim) -> None:
    if draft.generation is not None:
        draft.generation.finish_manifest(claim.fence, claim.changes, claim.complete_at, draft.now)


def _postpone(draft: Draft, claim: _Claim, error: str, policy: Policy, chance: float) -> None:
    if draft.generation is not None:
        draft.generation.postpone_manifest(claim.fence, error, draft.now, policy, chance)


def _renew(draft: Draft, claim: _Claim, policy: Policy) -> bool:
    return draft.generation is not None and draft.generation.manifest.renew(claim.fence, draft.now, policy.lease)
