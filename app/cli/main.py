"""The command line: `reelkeep …`."""

import json
import secrets
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.audit import audit
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.importing import import_ids
from app.cli.rebuild import rebuild
from app.cli.replay import replay
from app.cli.terminal import add_plain_row, shows_errors, stop_signal, tell_end
from app.domain.errors import LedgerUnavailable, ReelkeepError
from app.domain.generation import Generation
from app.domain.requests import ExtendRequest, GenerateRequest, Request, explain
from app.domain.shapes import GenerationView
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.view import describe
from app.domain.work import UPGRADES, Kind, is_submission_id, is_task_id
from app.pipeline import submit as submissions
from app.pipeline import track as steps
from app.settings import Settings, load_or_exit
from app.simulator.command import simulator

Known = TypeVar("Known", bound=Generation | Submission)
# By their values: of an enum click would offer the names.
UPGRADE = click.Choice([kind.value for kind in UPGRADES])
STATE = click.Choice([state.value for state in State])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one generation a line.")
upgrades = click.option("--upgrade", "kinds", multiple=True, type=UPGRADE, help="Buy it on success.")
labels = click.option("--label", "pairs", multiple=True, metavar="NAME=VALUE", help="Attach a label.")
seeds = click.option("--seed", type=int, help="10000 to 99999.")
watermark = click.option("--watermark", help="A text in the picture.")
idempotency_key = click.option("--key", help="The same key and wish give the same generation, however often you ask.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reelkeep")
def main() -> None:
    """Reelkeep keeps every video that you pay for at KIE.AI.

    It receives the vendor's callbacks, mirrors each video into your S3 bucket before the links die, buys the upgrades that you
    ask for, once, and asks about every generation whose callback never came.

    Settings come from the environment or a .env file; the README lists them.
    """


main.add_command(simulator)
main.add_command(demo)
main.add_command(audit)
main.add_command(doctor)
main.add_command(import_ids)
main.add_command(rebuild)
main.add_command(replay)


@main.command()
@click.option(
    "--data",
    default="reelkeep-data",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for data, logs and made-up secrets; kept across restarts.",
)
@click.option("--port", default=8000, show_default=True, help="Port of the web process.")
@click.option("--flower-port", default=5555, show_default=True, help="Port of Flower.")
@click.option("--redis-port", default=6390, show_default=True, help="Port of the embedded Redis.")
@shows_errors
def up(data: Path, port: int, flower_port: int, redis_port: int) -> None:
    """Run everything on this machine: web, workers, beat and Flower.

    Redis and the S3 endpoint are embedded and keep their data in the data folder, unless REELKEEP_REDIS_URL or REELKEEP_S3_BUCKET
    name your own. Processes that end are started again. Ctrl-C or SIGTERM stops it all.
    """
    from app.cli.stack import Plan, running_stack  # starts child processes: of no use to the other commands

    settings = load_or_exit("callbacks")
    own_redis, own_s3 = "redis_url" in settings.model_fields_set, "s3_bucket" in settings.model_fields_set
    plan = Plan(
        data,
        embedded_redis=not own_redis,
        embedded_s3=not own_s3,
        web_port=port,
        flower_port=flower_port,
        redis_port=redis_port,
    )
    stop = stop_signal()
    with running_stack(plan, tell_end) as stack:
        print(f"web      {stack.web_url}  (dashboard and API; token: see {data}/secrets.json, or REELKEEP_API_TOKENS)")
        print(f"flower   {stack.flower_url}")
        print(f"redis    {stack.redis_url}")
        print(f"bucket   {settings.s3_bucket or stack.bucket_folder}")
        settings_file = stack.write_settings()
        in_shell = shlex.quote(str(settings_file.resolve()))
        print(f"settings set -a; . {in_shell}; set +a  (in another shell, for the other commands)")
        print(f"logs     {data}/logs")
        print("Ctrl-C stops it all.", flush=True)
        stop.wait()
        print("stopping …", flush=True)
        settings_file.unlink(missing_ok=True)  # it names ports that nobody will listen on


@main.command()
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@upgrades
@labels
@click.option("--submission", metavar="SUB", help="The submission that it has come of, if that is uncertain.")
@as_json
@shows_errors
def track(
    task_ids: tuple[str, ...], kinds: tuple[str, ...], pairs: tuple[str, ...], submission: str | None, as_json: bool
) -> None:
    """Track generations that were submitted elsewhere. Doing it again adds what is new."""
    if submission and len(task_ids) > 1:
        raise click.UsageError("--submission goes with one id")
    if submission and not is_submission_id(submission):
        raise click.BadParameter(f"{submission!r} is not of the form sub_ and 32 hex digits", param_hint="--submission")
    settings = load_or_exit()
    ledger, named = open_ledger(settings), _read_labels(pairs)
    wanted = [Kind(kind) for kind in kinds]
    if submission:
        known = _known(submission, submissions.name_submission(submission, _checked(task_ids[0]), ledger))
        if known.task_id != task_ids[0]:
            raise ReelkeepError(f"{submissions.why_not_named(known, task_ids[0])}: nothing was changed")
    tracked = [
        steps.track(_checked(task_id), wanted, named, ledger, settings.policy).generation for task_id in task_ids
    ]
    _show_all(tracked, as_json)


@main.command()
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
    """Submit a generation. A worker sends it to the vendor, under the account's rate limit, once."""
    own = _take_own(given)
    fields = {**given, "prompt": prompt, "image_urls": list(image_urls) or None, "seeds": seed}
    fields["enable_translation"] = not no_translation
    _accept(_read_request(GenerateRequest, fields), *own, as_json)


@main.command()
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
    """Submit an extension of a generation: a new segment, and the whole video."""
    own = _take_own(given)
    settings = load_or_exit()
    known = _known(record_id, steps.look_up(_checked_any(record_id), open_ledger(settings), settings.policy))
    if isinstance(known, Submission) and not known.task_id:
        raise ReelkeepError(known.why_not_yet)
    fields = {**given, "task_id": known.task_id, "prompt": prompt, "seeds": seed}
    _accept(_read_request(ExtendRequest, fields), *own, as_json)


def _take_own(given: dict[str, Any]) -> tuple[list[Kind], dict[str, str], str | None]:
    """Our own options out of those of a submission: upgrades, labels, key."""
    kinds, pairs, key = given.pop("kinds"), given.pop("pairs"), given.pop("key")
    return [Kind(kind) for kind in kinds], _read_labels(pairs), key


def _read_request(model: type[GenerateRequest] | type[ExtendRequest], fields: dict[str, Any]) -> Request:
    try:
        return model.model_validate({name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise click.UsageError("; ".join(f"{field}: {message}" for field, message in explain(error))) from None


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


@main.command()
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


@main.command("list")
@click.option("--state", type=STATE, help="Only these.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@as_json
@shows_errors
def list_generations(state: str | None, limit: int, as_json: bool) -> None:
    """List generations, newest first."""
    ledger = open_ledger(load_or_exit())
    found: list[Generation | Submission] = []
    cursor: str | None = None
    while len(found) < limit:
        page = ledger.page(State(state) if state else None, min(500, limit - len(found)), cursor)
        found += page.generations
        cursor = page.cursor
        if cursor is None:
            break
    _show_all(found, as_json)


@main.command()
@click.argument("task_ids", nargs=-1, metavar="ID…")
@click.option("--failed", is_flag=True, help="All generations that are lost or failed.")
@as_json
@shows_errors
def retry(task_ids: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """Try again what failed."""
    if bool(task_ids) == failed:
        raise click.UsageError("give ids, or --failed for all that are lost or failed")
    settings = load_or_exit()
    ledger = open_ledger(settings)
    ids = list(task_ids) or [task_id for state in (State.LOST, State.FAILED) for task_id in _all_ids(ledger, state)]
    _show_all([_retry(task_id, ledger, settings, one=not failed) for task_id in ids], as_json)


def _retry(record_id: str, ledger: RedisLedger, settings: Settings, *, one: bool) -> Generation | Submission:
    known = _known(record_id, steps.look_up(_checked_any(record_id), ledger, settings.policy))
    again, record = steps.retry(known.id if isinstance(known, Submission) else known.task_id, ledger)
    if one and isinstance(record, Submission) and not again:
        raise ReelkeepError(record.why_no_retry)
    return record or known


@main.command()
@click.argument("task_id", metavar="ID")
@click.option("--kind", type=UPGRADE, default="4k", show_default=True)
@click.option("--index", default=0, show_default=True, type=click.IntRange(0, 31), help="Of the result.")
@as_json
@shows_errors
def upgrade(task_id: str, kind: str, index: int, as_json: bool) -> None:
    """Buy an upgrade of one result. It is bought at most once, however often you ask."""
    settings = load_or_exit()
    ledger = open_ledger(settings)
    known = _known(task_id, steps.look_up(_checked_any(task_id), ledger, settings.policy))
    if isinstance(known, Submission) and not known.task_id:
        raise ReelkeepError(known.why_not_yet)
    answer = steps.request_upgrade(known.task_id, Kind(kind), index, ledger, settings.policy)
    if answer.reason:
        raise ReelkeepError(f"generation {known.task_id}: {answer.reason}")
    _show_all([_known(task_id, answer.generation)], as_json)


def _all_ids(ledger: RedisLedger, state: State) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = ledger.page(state, 500, cursor)
        ids += [record.id if isinstance(record, Submission) else record.task_id for record in page.generations]
        cursor = page.cursor
        if cursor is None:
            return ids


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


def _read_labels(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(label.partition("=")[::2] for label in labels)
    if not all(pairs) or any("=" not in label for label in labels):
        raise click.BadParameter("must be NAME=VALUE", param_hint="--label")
    return pairs


def _show_all(records: Sequence[Generation | Submission], as_json: bool) -> None:
    if as_json:
        for record in records:
            print(json.dumps(describe(record)))
        return
    table = Table("generation", "state", "renditions", "tracked", "note", box=None, pad_edge=False)
    for record in records:
        shown = describe(record)
        stored = sum(rendition["state"] == "stored" for rendition in shown["renditions"])
        note = shown["error"] or (shown["msg"] if shown["state"] == "failed" else "") or _mismatch(shown)
        add_plain_row(
            table,
            shown["taskId"] or shown["id"] or "",
            shown["state"],
            f"{stored}/{len(shown['renditions'])}",
            shown["trackedAt"],
            note,
        )
    Console().print(table)


def _mismatch(shown: GenerationView) -> str:
    """The first thing that is not as it was asked for."""
    found = (shown["mismatch"], *(rendition["mismatch"] for rendition in shown["renditions"]))
    return next((text for text in found if text), "")


def _show_one(record: Generation | Submission) -> None:
    console = Console()
    shown: dict[str, Any] = {**describe(record)}
    renditions = shown.pop("renditions")
    for name, value in shown.items():
        if value not in (None, "", {}, []):
            console.print(f"{name:<16}{value if isinstance(value, str) else json.dumps(value)}", markup=False)
    table = Table("rendition", "state", "bytes", "size", "attempts", "key", "error", box=None, pad_edge=False)
    for rendition in renditions:
        size = f"{rendition['width']}×{rendition['height']}" if rendition["width"] else ""
        add_plain_row(
            table,
            f"{rendition['kind']} {rendition['index']}",
            rendition["state"],
            str(rendition["bytes"] or ""),
            size,
            str(rendition["attempts"]),
            rendition["key"] or "",
            rendition["error"] or rendition["mismatch"] or "",
        )
    console.print(table)
