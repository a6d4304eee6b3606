"""The Celery tasks: doorways to the pipeline's steps. A message carries an item's text and nothing else."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import wraps
from typing import Any

from celery.signals import task_postrun, task_prerun

from app.assembly import Parts
from app.domain.errors import LedgerUnavailable
from app.domain.work import CHECK_TASK, SWEEP_TASK, Item, Step, task_name
from app.logs import add_to_work, begin_work
from app.pipeline.archive import archive_settled
from app.pipeline.manifest import write_manifest
from app.pipeline.mirror import mirror
from app.pipeline.settle import settle
from app.pipeline.submit import submit
from app.pipeline.sweep import check_account, check_bucket, refresh_lists, sweep, sweep_parts
from app.pipeline.upgrade import upgrade
from app.traces import work_span
from workers.app import app, parts

Doorway = Callable[[Item, Parts], None]
DOORWAYS: dict[Step, Doorway] = {}
#: seconds after which a turn takes up nothing more: other queues of the process wait for theirs
TURN = 1.0


class StepFailed(Exception):
    """What Flower shows of an error that the step did not expect. Its cause is in the log alone: its words may hold anything."""


def step_task(step: Step) -> Callable[[Doorway], object]:
    """Make a doorway the Celery task of a step. An error that the step did not expect is noted where the health check sees it.

    A message is a turn in its lane: under a backlog, whatever of the lane should be done first is done in it, and what comes
    after that too, until a second is over. For a quick step Celery would take as much of the CPU as the step itself.
    """

    def make(doorway: Doorway) -> object:
        DOORWAYS[step] = doorway

        # `throws`: expected now and then, so one line in the log and no traceback.
        @app.task(name=task_name(step), throws=(LedgerUnavailable, StepFailed))
        @wraps(doorway)
        def run(*, item: str) -> None:
            use, ends = parts(), time.monotonic() + TURN
            goes_on = _do(use.ledger.pick, item, use)
            while goes_on and time.monotonic() < ends and not use.stop.is_set():
                # What the log says of one item is not said of the next.
                goes_on = copy_context().run(_do, use.ledger.pick_next, item, use)

        return run

    return make


def _do(pick: Callable[[Item], str], item: str, use: Parts) -> bool:
    """Do what is picked for an item. False: nothing is."""
    doing = item
    try:
        doing = pick(Item.parse(item))
        if doing:
            picked = Item.parse(doing)
            add_to_work(**picked.facts)
            with work_span(picked.step, picked.task_id, kind=picked.kind, index=picked.index):
                DOORWAYS[picked.step](picked, use)
        return bool(doing)
    except LedgerUnavailable:
        raise  # nothing can be noted now; the claim lapses by itself
    except Exception as error:
        logging.getLogger("reelkeep").exception("step.fault %s", doing)
        reason = f"{type(error).__name__} in {doing.partition('/')[0]}"
        with suppress(LedgerUnavailable):
            use.ledger.note_fault(doing, reason)
        raise StepFailed(reason) from None


@task_prerun.connect
def _begin(task_id: str, task: Any, **_: Any) -> None:
    begin_work(celery_task=task.name, celery_id=task_id)


@task_postrun.connect
def _end(**_: Any) -> None:
    begin_work()


@step_task(Step.SUBMIT)
def submit_generation(item: Item, use: Parts) -> None:
    """Submit a generation or an extension."""
    submit(item, use.ledger, use.vendor, use.settings.policy, use.settings.callback_url)


@step_task(Step.SETTLE)
def settle_generation(item: Item, use: Parts) -> None:
    """Take in a generation's callbacks, ask for its verdict."""
    settle(item, use.ledger, use.vendor, use.settings.policy)


@step_task(Step.UPGRADE)
def ask_for_upgrade(item: Item, use: Parts) -> None:
    """Order an upgrade or ask about it."""
    upgrade(item, use.ledger, use.vendor, use.settings.policy, use.settings.upgrade_callback_url)


@step_task(Step.MIRROR)
def mirror_rendition(item: Item, use: Parts) -> None:
    """Copy a rendition into the bucket."""
    settings = use.settings
    mirror(item, use.ledger, use.fetcher, use.bucket, use.vendor, settings.policy, settings.s3_prefix)


@step_task(Step.MANIFEST)
def write_generation_manifest(item: Item, use: Parts) -> None:
    """Write a generation's manifest."""
    write_manifest(item, use.ledger, use.bucket, use.settings.policy, use.settings.s3_prefix)


@app.task(name=SWEEP_TASK, throws=(LedgerUnavailable,))
def sweep_ledger() -> None:
    """Enqueue what is due and what was lost."""
    use = parts()
    sweep(use.ledger, use.settings.sweep_every)


@app.task(name=CHECK_TASK, throws=(LedgerUnavailable,))
def check_outside() -> None:
    """See whether the bucket can be reached, what is left in the vendor's account, and what is left over in the bucket; bring the
    ledger's lists up to date, and have leave what is settled for long."""
    use = parts()
    refresh_lists(use.ledger)
    check_bucket(use.ledger, use.bucket, use.settings.sweep_every)
    if use.vendor is not None:
        check_account(use.ledger, use.vendor, use.settings.credits_warn_below)
    sweep_parts(use.ledger, use.bucket, use.settings.s3_prefix)
    archive_settled(use.ledger, use.bucket, use.settings.s3_prefix, use.settings.keep_days, use.settings.sweep_every)
