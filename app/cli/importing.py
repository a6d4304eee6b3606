"""`reelkeep import`: old ids, saved while they live."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TextIO

import click

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.commands import EXIT_FAILED, Command, complain, exit_interrupted, read_labels, shows_errors, stop_signal
from app.cli.terminal import plural, progress_bar
from app.domain.audit import plain
from app.domain.errors import ReelkeepError
from app.pipeline.importing import BadLine, Fate, Imported, read_ids, track_old, watch
from app.settings import Settings, load_or_exit

#: seconds without a sweep after which it is said that nobody seems to be at work: so many times the time between two
NO_SWEEPS = 10


@click.command(
    "import",
    cls=Command,
    examples=[
        ("reelkeep import ids.txt", "One id a line; waits, and says what became of each."),
        ("reelkeep import log.csv --label from=log", "A CSV with a column taskId, task_id or id."),
        ("cut -f1 log.tsv | reelkeep import - --no-wait", "From standard input; the workers do the rest."),
    ],
    ends={0: "every line had an id, whatever became of it", 1: "a line has no usable id, or it did not work"},
)
@click.argument("file", type=click.File(encoding="utf-8-sig", errors="replace"))
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=read_labels, help="Attach a label.")
@click.option("--no-wait", is_flag=True, help="Only track them; the workers do the rest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@shows_errors
def import_ids(file: TextIO, labels: dict[str, str], no_wait: bool, as_json: bool) -> None:
    """Save what still lives of old task ids, and say what is gone.

    FILE holds one id a line, or is a CSV with a column taskId, task_id or id; - is standard input. Upgrades are not bought
    for them. Doing it again adds nothing. Ctrl-C ends the watching, not the work.
    """
    settings = load_or_exit()
    if not settings.can_submit:
        raise ReelkeepError("no vendor key is set (REELKEEP_KIE_API_KEY): the vendor cannot be asked about old ids")
    ledger = open_ledger(settings)
    new: dict[str, bool] = {}
    bad: list[BadLine] = []
    try:
        for found in read_ids(file):
            if isinstance(found, BadLine):
                bad.append(found)
                complain(f"line {found.number}: no task id: {found.text[:80]!r}")
            else:
                new[found] = track_old(found, (), labels, ledger, settings.policy)
    except KeyboardInterrupt:
        exit_interrupted(f"interrupted: {plural(len(new), 'id')} recorded, run it again for the rest")
    stop = stop_signal()
    if not no_wait:
        _warn_if_nobody_works(ledger, settings)
    watched = watch(new, ledger, lambda seconds: no_wait or stop.wait(seconds))
    ended = list(_show_progress(watched, len(new)))
    if as_json:
        _print_json(new, ended, bad)
    else:
        _print(new, ended)
    if stop.is_set():
        exit_interrupted("interrupted; the workers go on")
    if bad:
        sys.exit(EXIT_FAILED)


def _warn_if_nobody_works(ledger: RedisLedger, settings: Settings) -> None:
    health = ledger.health()
    if health.sweep_at is None or health.now - health.sweep_at > NO_SWEEPS * settings.sweep_every:
        complain("nothing sweeps: this waits until worker, mirror and beat run")


def _show_progress(ending: Iterable[Imported], total: int) -> Iterator[Imported]:
    with progress_bar("ended", total) as advance:
        for one in ending:
            advance(one.fate is not Fate.UNDER_WAY)
            yield one


def _print_json(new: Mapping[str, bool], ended: Sequence[Imported], bad: Sequence[BadLine]) -> None:
    by_fate = {
        str(fate): [{"taskId": one.task_id, "reason": one.reason or None} for one in ended if one.fate is fate]
        for fate in Fate
    }
    bad_lines = [{"line": line.number, "text": line.text} for line in bad]
    count = sum(new.values())
    print(json.dumps({"new": count, "known": len(new) - count, **by_fate, "badLines": bad_lines}))


def _print(new: Mapping[str, bool], ended: Sequence[Imported]) -> None:
    words = {fate: "under way" if fate is Fate.UNDER_WAY else str(fate) for fate in Fate}
    for one in ended:
        if one.fate is not Fate.SAVED:
            print(f"{one.task_id}  {words[one.fate]}" + (f": {plain(one.reason)}" if one.reason else ""))
    counts = Counter(one.fate for one in ended)
    print(
        f"{plural(len(new), 'id')}, {sum(new.values())} new: {', '.join(f'{counts[fate]} {words[fate]}' for fate in Fate)}"
    )
