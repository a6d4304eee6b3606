"""`reelkeep replay`: recorded callbacks once more, to see that nothing comes of it."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.commands import EXIT_FAILED, Command, exit_interrupted, shows_errors, stop_signal
from app.cli.terminal import plural, show_progress
from app.domain.audit import show_credits
from app.domain.errors import ReelkeepError
from app.domain.generation import Generation
from app.domain.manifest_reading import read_time
from app.domain.policy import Policy
from app.domain.work import is_submission_id, is_task_id
from app.pipeline.replay import Replayed, list_generations
from app.pipeline.replay import replay as replay_again
from app.pipeline.track import look_up
from app.settings import load_or_exit


def _read_since(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else read_time(value)
    except ValueError:
        example = "2026-08-06 or 2026-08-06T06:57:57Z"
        raise click.BadParameter(f"{value!r} is no date and no ISO 8601 time, such as {example}") from None


def _check_ids(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not (is_task_id(value) or is_submission_id(value)):
            raise click.BadParameter(f"{value!r} is not of the form [A-Za-z0-9_-]{{1,128}}")
    return values


@click.command(
    cls=Command,
    examples=[
        ("reelkeep replay --dry-run", "How many there are."),
        ("reelkeep replay --since 2026-08-06T06:57:57Z", "Those that came since then, once more."),
        ("reelkeep replay --id 5f2c…", "Those of one generation."),
    ],
    ends={0: "nothing came of it", 1: "something was stored or bought, or that is not sure yet, or it did not work"},
)
@click.option(
    "--since", metavar="WHEN", callback=_read_since, help="Only what came since a date or ISO 8601 time (UTC)."
)
@click.option("--id", "ids", multiple=True, metavar="ID", callback=_check_ids, help="Only those of this generation.")
@click.option("--dry-run", is_flag=True, help="Only count them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@shows_errors
def replay(since: float | None, ids: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Run recorded callbacks again: nothing may come of it.

    They take the way of every callback, and the work that they cause is waited for. When all is well, no object is stored and no
    credit is spent a second time.
    """
    settings = load_or_exit()
    ledger, stop = open_ledger(settings), stop_signal()
    found = _find(ids, ledger, settings.policy) if ids else list_generations(ledger)
    total = len(ids) or sum(ledger.count().values())
    again = replay_again(found, since, ledger, stop.wait, dry_run=dry_run)
    report = _read(show_progress(again, "replayed", total))
    if as_json:
        print(json.dumps({"dryRun": dry_run, "interrupted": stop.is_set(), **report}))
    else:
        _print(report, dry_run)
    if stop.is_set():
        exit_interrupted("interrupted; run it again for the rest")
    if report["new"] or report["credits"] > 0 or report["unsettled"]:
        sys.exit(EXIT_FAILED)


def _find(ids: Sequence[str], ledger: RedisLedger, policy: Policy) -> list[Generation]:
    found = {record_id: look_up(record_id, ledger, policy) for record_id in ids}
    known = {record_id: record for record_id, record in found.items() if isinstance(record, Generation)}
    unknown = [record_id for record_id in ids if record_id not in known]
    if unknown:
        raise ReelkeepError(f"there is no generation of {', '.join(unknown)} here")
    return list({record.task_id: record for record in known.values()}.values())


def _read(replayed: Iterable[Replayed]) -> dict[str, Any]:
    """The report, JSON-ready. Names are kept only of what needs a look."""
    report: dict[str, Any] = {"generations": 0, "callbacks": 0, "skipped": 0, "credits": 0.0}
    new: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    unsettled: list[str] = []
    for one in replayed:
        report["generations"] += 1
        report["callbacks"] += one.callbacks
        report["skipped"] += one.skipped
        report["credits"] = round(report["credits"] + one.credits, 6)
        if one.new:
            new[one.task_id] = list(one.new)
        if one.changed:
            changed[one.task_id] = list(one.changed)
        if not one.settled:
            unsettled.append(one.task_id)
    return report | {"new": new, "changed": changed, "unsettled": unsettled}


def _print(report: dict[str, Any], dry_run: bool) -> None:
    would = "to be replayed" if dry_run else "replayed"
    print(f"{plural(report['callbacks'], 'callback')} of {plural(report['generations'], 'generation')} {would}")
    if report["skipped"]:
        print(f"{report['skipped']} left out: which order they were about is not known any more")
    if not dry_run:
        objects = sum(len(names) for names in report["new"].values())
        came = "1 new object or order" if objects == 1 else f"{objects} new objects or orders"
        print(f"{came}, {show_credits(report['credits'])} credits")
    for task_id, names in report["new"].items():
        print(f"  {task_id}: {', '.join(names)}")
    for task_id, names in report["changed"].items():
        print(f"  {task_id} is different in: {', '.join(names)}")
    for task_id in report["unsettled"]:
        print(f"  {task_id}: the work on it has not ended: do worker and beat run?")
