"""The command line: `reelkeep …`."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from app.adapters.redis_ledger import RedisLedger
from app.assembly import open_ledger
from app.cli.demo import demo
from app.cli.terminal import shows_errors, stop_signal, tell_end
from app.domain.errors import ReelkeepError
from app.domain.generation import Generation, State
from app.domain.view import describe
from app.domain.work import UPGRADES, Kind, is_task_id
from app.pipeline import track as steps
from app.settings import load_or_exit
from app.simulator.command import simulator

# By their values: of an enum click would offer the names.
UPGRADE = click.Choice([kind.value for kind in UPGRADES])
STATE = click.Choice([state.value for state in State])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one generation a line.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reelkeep")
def main() -> None:
    """Reelkeep keeps every video that you pay for at KIE.AI.

    It receives the vendor's callbacks, mirrors each video into your S3 bucket before the links die, buys the upgrades that you
    ask
    for, once, and asks about every generation whose callback never came.

    Settings come from the environment or a .env file; the README lists them.
    """


main.add_command(simulator)
main.add_command(demo)


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
        print(f"web      {stack.web_url}  (API token: see {data}/secrets.json, or REELKEEP_API_TOKENS)")
        print(f"flower   {stack.flower_url}")
        print(f"redis    {stack.redis_url}  (REELKEEP_REDIS_URL for the other commands)")
        print(f"bucket   {settings.s3_bucket or stack.bucket_folder}")
        print(f"logs     {data}/logs")
        print("Ctrl-C stops it all.", flush=True)
        stop.wait()
        print("stopping …", flush=True)


@main.command()
@click.argument("task_ids", nargs=-1, required=True, metavar="ID…")
@click.option("--upgrade", "upgrades", multiple=True, type=UPGRADE, help="Buy it on success.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Attach a label.")
@as_json
@shows_errors
def track(task_ids: tuple[str, ...], upgrades: tuple[str, ...], labels: tuple[str, ...], as_json: bool) -> None:
    """Track generations that were submitted elsewhere. Doing it again adds what is new."""
    settings = load_or_exit()
    ledger, pairs = open_ledger(settings), _read_labels(labels)
    kinds = [Kind(upgrade) for upgrade in upgrades]
    tracked = [steps.track(_checked(task_id), kinds, pairs, ledger, settings.policy).generation for task_id in task_ids]
    _show_all(tracked, as_json)


@main.command()
@click.argument("task_id", metavar="ID")
@as_json
@shows_errors
def show(task_id: str, as_json: bool) -> None:
    """Show one generation and its renditions."""
    settings = load_or_exit()
    generation = _known(task_id, steps.look_up(_checked(task_id), open_ledger(settings), settings.policy))
    if as_json:
        print(json.dumps(describe(generation)))
    else:
        _show_one(generation)


@main.command("list")
@click.option("--state", type=STATE, help="Only these.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@as_json
@shows_errors
def list_generations(state: str | None, limit: int, as_json: bool) -> None:
    """List generations, newest first."""
    ledger = open_ledger(load_or_exit())
    found: list[Generation] = []
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
    again = [_known(task_id, steps.retry(_checked(task_id), ledger)[1]) for task_id in ids]
    _show_all(again, as_json)


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
    outcome, found = steps.request_upgrade(_checked(task_id), Kind(kind), index, ledger, settings.policy)
    generation = _known(task_id, found)
    if outcome is steps.UpgradeRequest.IMPOSSIBLE:
        raise ReelkeepError(f"generation {task_id} is {generation.state}: its result {index} cannot be upgraded")
    if outcome is steps.UpgradeRequest.OVER_BUDGET:
        raise ReelkeepError(steps.OVER_BUDGET)
    _show_all([generation], as_json)


def _all_ids(ledger: RedisLedger, state: State) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = ledger.page(state, 500, cursor)
        ids += [generation.task_id for generation in page.generations]
        cursor = page.cursor
        if cursor is None:
            return ids


def _checked(task_id: str) -> str:
    if not is_task_id(task_id):
        raise click.BadParameter(f"{task_id!r} is not of the form [A-Za-z0-9_-]{{1,128}}", param_hint="ID")
    return task_id


def _known(task_id: str, generation: Generation | None) -> Generation:
    if generation is None:
        raise ReelkeepError(f"generation {task_id} is not known here; `reelkeep track {task_id}` tracks it")
    return generation


def _read_labels(labels: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(label.partition("=")[::2] for label in labels)
    if not all(pairs) or any("=" not in label for label in labels):
        raise click.BadParameter("must be NAME=VALUE", param_hint="--label")
    return pairs


def _show_all(generations: list[Generation], as_json: bool) -> None:
    if as_json:
        for generation in generations:
            print(json.dumps(describe(generation)))
        return
    table = Table("generation", "state", "renditions", "tracked", "note", box=None, pad_edge=False)
    for generation in generations:
        shown = describe(generation)
        stored = sum(rendition["state"] == "stored" for rendition in shown["renditions"])
        note = shown["error"] or (shown["msg"] if shown["state"] == "failed" else "") or ""
        table.add_row(shown["taskId"], shown["state"], f"{stored}/{len(shown['renditions'])}", shown["trackedAt"], note)
    Console().print(table)


def _show_one(generation: Generation) -> None:
    console = Console()
    shown: dict[str, Any] = describe(generation)
    renditions = shown.pop("renditions")
    for name, value in shown.items():
        if value not in (None, "", {}, []):
            console.print(f"{name:<16}{value if isinstance(value, str) else json.dumps(value)}", markup=False)
    table = Table("rendition", "state", "bytes", "size", "attempts", "key", "error", box=None, pad_edge=False)
    for rendition in renditions:
        size = f"{rendition['width']}×{rendition['height']}" if rendition["width"] else ""
        table.add_row(
            f"{rendition['kind']} {rendition['index']}",
            rendition["state"],
            str(rendition["bytes"] or ""),
            size,
            str(rendition["attempts"]),
            rendition["key"] or "",
            rendition["error"] or "",
        )
    console.print(table)
