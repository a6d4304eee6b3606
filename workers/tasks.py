"""The Celery tasks: doorways to the pipeline's steps. A message carries an item's text and nothing else."""

from app.domain.work import SWEEP_TASK, Item, Step, task_name
from app.pipeline.manifest import write_manifest
from app.pipeline.mirror import mirror
from app.pipeline.settle import settle
from app.pipeline.sweep import sweep
from app.pipeline.upgrade import upgrade
from workers.app import app, parts


@app.task(name=task_name(Step.SETTLE))
def settle_generation(*, item: str) -> None:
    """Take in a generation's callbacks, ask for its verdict."""
    use = parts()
    settle(Item.parse(item), use.ledger, use.vendor, use.settings.policy)


@app.task(name=task_name(Step.UPGRADE))
def ask_for_upgrade(*, item: str) -> None:
    """Order an upgrade or ask about it."""
    use = parts()
    upgrade(Item.parse(item), use.ledger, use.vendor, use.settings.policy, use.settings.callback_url)


@app.task(name=task_name(Step.MIRROR))
def mirror_rendition(*, item: str) -> None:
    """Copy a rendition into the bucket."""
    use = parts()
    settings = use.settings
    mirror(Item.parse(item), use.ledger, use.fetcher, use.bucket, use.vendor, settings.policy, settings.s3_prefix)


@app.task(name=task_name(Step.MANIFEST))
def write_generation_manifest(*, item: str) -> None:
    """Write a generation's manifest."""
    use = parts()
    write_manifest(Item.parse(item), use.ledger, use.bucket, use.settings.policy, use.settings.s3_prefix)


@app.task(name=SWEEP_TASK)
def sweep_ledger() -> None:
    """Enqueue what is due and what was lost."""
    use = parts()
    sweep(use.ledger, use.bucket, use.settings.sweep_every)
