"""The commands about single generations: track, generate, extend, show, list, retry, upgrade."""

import json
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.commands import Command, read_labels, shows_errors
from app.cli.terminal import COLOURS, add_plain_row, make_console, make_table, printable, progress_bar
from app.domain.checkup import tell_duration
from app.domain.errors import LedgerUnavailable, ReelkeepError
from app.domain.generation import Generation
from app.domain.requests import KEY, ExtendRequest, GenerateRequest, Request, explain
from app.domain.shapes import GenerationView
from app.domain.sheet import HEAD, write_record
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.view import describe
from app.domain.work import UPGRADES, Kind, is_submission_id, is_task_id
from app.pipeline import submit as submissions
from app.pipeline import track as steps
from app.settings import Settings, load_or_exit

Known = TypeVar("Known", bound=Generation | Submission)
# By their values: of an enum click would offer the names.
UPGRADE = click.Choice([kind.value for kind in UPGRADES])
STATE = click.Choice([state.value for state in State])
#: so many are read, and shown, at a time
PAGE = 500
#: columns of a terminal that a list takes beside the notes; a note is cut, so that each generation has one line
BESIDE_NOTE, LEAST_NOTE = 72, 8
NEEDS_HELP = (State.LOST, State.FAILED)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one generation a line.")
upgrades = click.option("--upgrade", "kinds", multiple=True, type=UPGRADE, help="Buy it on success; may be repeated.")
labels = click.option(
    "--label",
    "named",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_labels,
    help="Attach a label; may be repeated.",
)
seeds = click.option("--seed", type=int, help="10000 to 99999.")
watermark = click.option("--watermark", help="A text in the picture.")


def _read_key(_context: click.Context, _parameter: click.Parameter, key: str | None) -> str | None:
    """The option's callback. An empty key, such as of a variable that is not set, would buy anew each time."""
    if key is not None and re.fullmatch(KEY, key) is None:
        raise click.BadParameter("must have 1 to 255 printable ASCII characters")
    return key


idempotency_key = click.option(
    "--key", callback=_read_key, help="The same key and wish give the same generation, however often you ask."
)


@click.command(
    cls=Command,
    examples=[
        ("reelkeep track 5f2c…", "Follow a task that your own program submitted."),
        ("reelkeep track 5f2c… 81ab… --upgrade 4k --label shot=7", "Two of them, and buy their 4K when they are made."),
        ("reelkeep track 5f2c… --submission sub_…", "Say which generation an uncertain submission has brought about."),
    ],
)
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@upgrades
@labels
@click.option("--submission", metavar="SUB", help="The submission that it has come of, if that is uncertain.")
@as_json
@shows_errors
def track(
    task_ids: tuple[str, ...], kinds: tuple[str, ...], named: dict[str, str], submission: str | None, as_json: bool
) -> None:
    """Track generations that were submitted elsewhere.

    They are asked about, and their videos kept, whether or not a callback comes. Doing it again adds what is new: upgrades
    and labels.
    """
    if submission and len(task_ids) > 1:
        raise click.UsageError("--submission goes with one id")
    if submission and not is_submission_id(submission):
        raise click.BadParameter(f"{submission!r} is not of the form sub_ and 32 hex digits", param_hint="--submission")
    for task_id in task_ids:
        _checked(task_id)
    settings = load_or_exit()
    ledger = open_ledger(settings)
    wanted = [Kind(kind) for kind in kinds]
    if submission:
        known = _known(submission, submissions.name_submission(submission, task_ids[0], ledger))
        if known.task_id != task_ids[0]:
            raise ReelkeepError(f"{submissions.why_not_named(known, task_ids[0])}: nothing was changed")
    tracked = (steps.track(task_id, wanted, named, ledger, settings.policy).generation for task_id in task_ids)
    _show_all(tracked, as_json, len(task_ids))


@click.command(
    cls=Command,
    examples=[
        ('reelkeep generate "a cat on the moon" --upgrade 4k', "Buy a video, and its 4K when it is made."),
        ('reelkeep generate "a cat" --key shot-12-take-3', "Safe to say again: the same key never buys twice."),
        ('reelkeep generate "a cat" --json | jq -r .id', "Its id for a script; `reelkeep show ID` takes it."),
    ],
    ends={1: "it was not taken: stderr says why, and whether it may have been recorded all the same"},
)
@click.argument("prompt")
@click.option("--model", type=click.Choice(["veo3", "veo3_fast", "veo3_lite"]), help="Default: veo3_fast.")
@click.option("--aspect-ratio", type=click.Choice(["16:9", "9:16", "Auto"]), help="Default: 16:9.")
@click.option("--image-url", "image_urls", multiple=True, metavar="URL", help="An input picture; up to 3.")
@click.option("--type", "generation_type", help="TEXT_2_VIDEO, FIRST_AND_LAST_FRAMES_2_VIDEO or REFERENCE_2_VIDEO.")
@click.option("--resolution", type=click.Choice(["720p", "1080p", "4k"]))
@click.option("--duration", type=int, help="Seconds: 4, 6 or 8.")
@click.option("--no-translation", is_flag=True, help="Send the prompt as it is.")
@seeds
@watermark
@upgrades
@labels
@idempotency_key
@as_json
@shows_errors
def generate(
    prompt: str, image_urls: tuple[str, ...], no_translation: bool, seed: int | None, as_json: bool, **given: Any
) -> None:
    """Submit a generation to the vendor. This costs credits.

    It is recorded at once; a worker sends it, under the account's rate limit, once.
    """
    own = _take_own(given)
    fields = {**given, "prompt": prompt, "image_urls": list(image_urls) or None, "seeds": seed}
    fields["enable_translation"] = not no_translation
    _accept(_read_request(GenerateRequest, fields), *own, as_json)


@click.command(
    cls=Command,
    examples=[('reelkeep extend 5f2c… "it jumps" --model quality', "A new segment, and the whole video with it.")],
    ends={1: "it was not taken: stderr says why, and whether it may have been recorded all the same"},
)
@click.argument("record_id", metavar="ID")
@click.argument("prompt")
@click.option("--model", type=click.Choice(["fast", "quality", "lite"]), help="Default: fast.")
@seeds
@watermark
@upgrades
@labels
@idempotency_key
@as_json
@shows_errors
def extend(record_id: str, prompt: str, seed: int | None, as_json: bool, **given: Any) -> None:
    """Extend a generation: a new segment, and the whole video.

    This costs credits. It is recorded at once; a worker sends it, under the account's rate limit, once.
    """
    own = _take_own(given)
    settings = load_or_exit()
    known = _known(record_id, steps.look_up(_checked_any(record_id), open_ledger(settings), settings.policy))
    if isinstance(known, Submission) and not known.task_id:
        raise ReelkeepError(known.why_not_yet)
    fields = {**given, "task_id": known.task_id, "prompt": prompt, "seeds": seed}
    _accept(_read_request(ExtendRequest, fields), *own, as_json)


def _take_own(given: dict[str, Any]) -> tuple[list[Kind], dict[str, str], str | None]:
    """Our own options out of those of a submission: upgrades, labels, key."""
    kinds, named, key = given.pop("kinds"), given.pop("named"), given.pop("key")
    return [Kind(kind) for kind in kinds], named, key


def _read_request(model: type[GenerateRequest] | type[ExtendRequest], fields: dict[str, Any]) -> Request:
    try:
        return model.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        faults = [f"{_name_option(field)}: {message}" for field, message in explain(error)]
        raise click.UsageError("; ".join(faults)) from None


def _name_option(field: str) -> str:
    """What a field of a request is called on the command line."""
    options = {"image_urls": "--image-url", "imageUrls": "--image-url", "seeds": "--seed", "prompt": "PROMPT"}
    options |= {"generation_type": "--type", "generationType": "--type"}
    name = field.partition(".")[0]
    return options.get(name, f"--{name.replace('_', '-')}")


def _accept(request: Request, kinds: list[Kind], named: dict[str, str], key: str | None, as_json: bool) -> None:
    settings = load_or_exit()
    if not settings.can_submit:
        raise ReelkeepError(submissions.NO_KEY)
    ledger = open_ledger(settings)
    key = key or secrets.token_hex(16)
    try:
        answer = submissions.accept(request, kinds, named, key, ledger, settings.policy)
    except LedgerUnavailable as error:
        look = f"reelkeep show {submissions.submission_id(key)}"
        raise ReelkeepError(f"{error}; it may have been recorded: look with `{look}` before you ask again") from None
    refused = answer.outcome not in (submissions.Acceptance.ACCEPTED, submissions.Acceptance.REPEATED)
    if answer.submission is None or refused:
        raise ReelkeepError(answer.reason or "the generation that is to be extended is not known here")
    _show_all([steps.look_up(answer.submission.id, ledger, settings.policy) or answer.submission], as_json)


@click.command(
    cls=Command,
    examples=[
        ("reelkeep show 5f2c…", "How it stands, by the vendor's task id or by our own id (sub_…)."),
        ("reelkeep show 5f2c… --json | jq -r '.renditions[].key'", "Where its files are in the bucket."),
    ],
)
@click.argument("record_id", metavar="ID")
@as_json
@shows_errors
def show(record_id: str, as_json: bool) -> None:
    """Show one generation and its renditions."""
    settings = load_or_exit()
    record = _known(record_id, steps.look_up(_checked_any(record_id), open_ledger(settings), settings.policy))
    if as_json:
        print(json.dumps(describe(record)))
    else:
        _show_one(record)


@click.command(
    "list",
    cls=Command,
    examples=[
        ("reelkeep list", "The newest 50."),
        ("reelkeep list --state lost", "What needs a look; so do `uncertain` and `failed`."),
        ("reelkeep list --limit 20 --cursor CURSOR", "The next page: stderr names the cursor under the page before."),
        ("reelkeep list --all --json | jq -r .taskId", "Every one of them for a script, a page at a time."),
        ("reelkeep list --all --csv > videos.csv", "The same for a spreadsheet."),
    ],
)
@click.option("--state", type=STATE, help="Only these.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--cursor", help="Go on where a page has ended.")
@click.option("--all", "everything", is_flag=True, help="All of them, whatever the limit.")
@as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, one generation a line.")
@shows_errors
def list_generations(
    state: str | None, limit: int, cursor: str | None, everything: bool, as_json: bool, as_csv: bool
) -> None:
    """List generations, newest first."""
    if as_json and as_csv:
        raise click.UsageError("give --json or --csv, not both")
    ledger = open_ledger(load_or_exit())
    left, shower = limit, _Shower(as_json, as_csv)
    while left > 0 or everything:
        size = PAGE if everything else min(PAGE, left)
        try:
            page = ledger.page(State(state) if state else None, size, cursor)
        except ValueError:
            raise click.BadParameter(f"{cursor!r} is no cursor of ours", param_hint="--cursor") from None
        shower.show(page.generations)
        left -= len(page.generations)
        cursor = page.cursor
        if cursor is None:
            break
    if cursor is not None:
        again = f"reelkeep list{f' --state {state}' if state else ''} --limit {limit} --cursor {cursor}"
        click.echo(f"more: {again}", err=True)


@click.command(
    cls=Command,
    examples=[
        ("reelkeep retry 5f2c…", "Try again what failed of one generation."),
        ("reelkeep retry --failed", "Of all generations that are lost or failed."),
    ],
)
@click.argument("task_ids", nargs=-1, metavar="ID…")
@click.option("--failed", is_flag=True, help="All generations that are lost or failed.")
@as_json
@shows_errors
def retry(task_ids: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """Try again what failed. Nothing is bought a second time."""
    if bool(task_ids) == failed:
        raise click.UsageError("give ids, or --failed for all that are lost or failed")
    for task_id in task_ids:
        _checked_any(task_id)
    settings = load_or_exit()
    ledger = open_ledger(settings)
    ids = list(task_ids) or [task_id for state in NEEDS_HELP for task_id in _all_ids(ledger, state)]
    if not ids:
        click.echo("nothing is lost or failed", err=True)
    _show_all((_retry(task_id, ledger, settings, one=not failed) for task_id in ids), as_json, len(ids))


def _retry(record_id: str, ledger: RedisLedger, settings: Settings, *, one: bool) -> Generation | Submission:
    known = _known(record_id, steps.look_up(record_id, ledger, settings.policy))
    again, record = steps.retry(known.id if isinstance(known, Submission) else known.task_id, ledger)
    if one and isinstance(record, Submission) and not again:
        raise ReelkeepError(record.why_no_retry)
    if one and not again:
        click.echo(f"{record_id}: nothing had failed, all is as it was", err=True)
    return record or known


@click.command(
    cls=Command,
    examples=[
        ("reelkeep upgrade 5f2c…", "Buy the 4K of its first result."),
        ("reelkeep upgrade 5f2c… --kind 1080p --index 1", "The 1080p of its second."),
    ],
    ends={1: "it is not bought, for the reason on stderr: budget, fallback model, no verdict yet …"},
)
@click.argument("task_id", metavar="ID")
@click.option("--kind", type=UPGRADE, default="4k", show_default=True)
@click.option("--index", default=0, show_default=True, type=click.IntRange(0, 31), help="Of the result.")
@as_json
@shows_errors
def upgrade(task_id: str, kind: str, index: int, as_json: bool) -> None:
    """Buy an upgrade of one result. It is bought at most once, however often you ask. This costs credits."""
    settings = load_or_exit()
    ledger = open_ledger(settings)
    known = _known(task_id, steps.look_up(_checked_any(task_id), ledger, settings.policy))
    if isinstance(known, Submission) and not known.task_id:
        raise ReelkeepError(known.why_not_yet)
    answer = steps.request_upgrade(known.task_id, Kind(kind), index, ledger, settings.policy)
    if answer.reason:
        raise ReelkeepError(f"generation {known.task_id}: {answer.reason}")
    _show_all([_known(task_id, answer.generation)], as_json)


def _all_ids(ledger: RedisLedger, state: State) -> Iterator[str]:
    cursor: str | None = None
    while True:
        page = ledger.page(state, PAGE, cursor)
        yield from (record.id if isinstance(record, Submission) else record.task_id for record in page.generations)
        cursor = page.cursor
        if cursor is None:
            return


def _checked(task_id: str) -> str:
    if not is_task_id(task_id):
        raise click.BadParameter(f"{task_id!r} is not of the form [A-Za-z0-9_-]{{1,128}}", param_hint="ID")
    return task_id


def _checked_any(record_id: str) -> str:
    return record_id if is_submission_id(record_id) else _checked(record_id)


def _known(record_id: str, record: Known | None) -> Known:
    if record is None:
        advice = "" if is_submission_id(record_id) else f"; `reelkeep track {record_id}` tracks it"
        raise ReelkeepError(f"generation {record_id} is not known here{advice}")
    return record


# --- what is shown -----------------------------------------------------------------------------------------------------------


class _Shower:
    """Shows generations as they come, a page at a time."""

    def __init__(self, as_json: bool, as_csv: bool = False) -> None:
        self._as_json, self._as_csv = as_json, as_csv
        self._console = make_console()
        self._now = time.time()
        self._headed = False

    def show(self, records: Iterable[Generation | Submission]) -> None:
        if self._as_json:
            for record in records:
                print(json.dumps(describe(record)))
            return
        if self._as_csv:
            sys.stdout.write("" if self._headed else HEAD)
            sys.stdout.writelines(map(write_record, records))
            self._headed = True
            return
        whole = ("generation", "state", "stored", "tracked")
        table, room = make_table(*whole, "note", whole=whole), max(LEAST_NOTE, self._console.width - BESIDE_NOTE)
        table.show_header = not self._headed
        self._headed = True
        for record in records:
            *facts, note = _shorten(record, self._now)
            add_plain_row(table, *facts, note if len(note) <= room else f"{note[: room - 1]}…")
        if table.row_count or table.show_header:
            self._console.print(table)


def _show_all(records: Iterable[Generation | Submission], as_json: bool, total: int = 1) -> None:
    """Show what comes of the work on many, with a bar for as long as it takes."""
    shower, page = _Shower(as_json), []
    try:
        with progress_bar("done", total, streams=as_json or total > PAGE) as advance:
            for record in records:
                advance(1)
                page.append(record)
                if as_json or len(page) >= PAGE:
                    shower.show(page)
                    page.clear()
    finally:  # if it ends early, what was done is said
        if page:
            shower.show(page)


def _shorten(record: Generation | Submission, now: float) -> tuple[str, ...]:
    """A generation in a line."""
    shown = describe(record)
    stored = sum(rendition["state"] == "stored" for rendition in shown["renditions"])
    note = shown["error"] or (shown["msg"] if shown["state"] == "failed" else "") or _mismatch(shown)
    of = f"{stored}/{len(shown['renditions'])}"
    age = f"{tell_duration(max(0.0, now - record.tracked_at))} ago"
    return shown["taskId"] or shown["id"] or "", shown["state"], of, age, note


def _mismatch(shown: GenerationView) -> str:
    """The first thing that is not as it was asked for."""
    found = (shown["mismatch"], *(rendition["mismatch"] for rendition in shown["renditions"]))
    return next((text for text in found if text), "")


def _show_one(record: Generation | Submission) -> None:
    console = make_console()
    shown: dict[str, Any] = {**describe(record)}
    renditions = shown.pop("renditions")
    facts = make_table("name", "value", whole=("name",))
    facts.show_header = False
    for name, value in shown.items():
        if value not in (None, "", {}, []):
            add_plain_row(facts, name, value if isinstance(value, str) else json.dumps(value))
    console.print(facts)
    console.print()
    table = make_table(
        "rendition", "state", "bytes", "size", "attempts", "error", whole=("rendition", "state", "bytes", "size")
    )
    for rendition in renditions:
        add_plain_row(
            table,
            f"{rendition['kind']} {rendition['index']}",
            rendition["state"],
            f"{rendition['bytes']:,}" if rendition["bytes"] else "",
            f"{rendition['width']}×{rendition['height']}" if rendition["width"] else "",
            str(rendition["attempts"]),
            rendition["error"] or rendition["mismatch"] or "",
        )
    if table.row_count:
        console.print(table)
    keys = [rendition["key"] for rendition in renditions if rendition["key"]]
    for key in keys:
        console.print(printable(key), markup=False, soft_wrap=True, style=COLOURS["stored"])
