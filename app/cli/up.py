"""`reelkeep up`: everything on this machine."""

import json
import shlex
from pathlib import Path

import click

from app.cli.commands import Command, exit_interrupted, shows_errors, stop_signal, tell_end
from app.cli.stack import Plan, claimed, running_stack
from app.cli.terminal import make_console
from app.settings import load_or_exit


@click.command(
    cls=Command,
    examples=[
        ("reelkeep up", "On port 8000, with data in ./reelkeep-data; Ctrl-C stops it all."),
        ("reelkeep up --port 8080 --data /srv/reelkeep", "Elsewhere."),
        ("set -a; . reelkeep-data/env; set +a", "In another shell: the settings for the other commands."),
    ],
    ends={0: "it ran, and was stopped", 1: "something did not start: stderr shows its last words"},
)
@click.option(
    "--data",
    default="reelkeep-data",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for data, logs and made-up secrets; kept across restarts.",
)
@click.option("--port", default=8000, show_default=True, help="Port of the web process; 0: a free one.")
@click.option("--flower-port", default=5555, show_default=True, help="Port of Flower; 0: a free one.")
@click.option("--redis-port", default=6390, show_default=True, help="Port of the embedded Redis; 0: a free one.")
@click.option("--json", "as_json", is_flag=True, help="Say in one JSON document where everything is.")
@shows_errors
def up(data: Path, port: int, flower_port: int, redis_port: int, as_json: bool) -> None:
    """Run everything on this machine: web, workers, beat and Flower.

    Redis and the S3 endpoint are embedded and keep their data in the data folder, unless REELKEEP_REDIS_URL or REELKEEP_S3_BUCKET
    name your own. Processes that end are started again. Ctrl-C or SIGTERM stops it all.
    """
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
    stop, console = stop_signal(), make_console(stderr=True)
    starting = console.status("starting …")
    starting.start()
    try:
        with claimed(data), running_stack(plan, tell_end) as stack:
            starting.stop()
            if stop.is_set():
                exit_interrupted("interrupted: stopping what was started")
            settings_file = stack.write_settings()
            places = {
                "web": stack.web_url,
                "flower": stack.flower_url,
                "redis": stack.redis_url,
                "bucket": settings.s3_bucket or str(stack.bucket_folder),
                "settings": str(settings_file.resolve()),
                "logs": str(data / "logs"),
            }
            if as_json:
                print(json.dumps(places), flush=True)
            else:
                _print(places, data)
            stop.wait()
            if not as_json:
                print("stopping …", flush=True)
            settings_file.unlink(missing_ok=True)  # it names ports that nobody will listen on
    finally:
        starting.stop()


def _print(places: dict[str, str], data: Path) -> None:
    notes = {
        "web": f"  (dashboard and API; token: see {data}/secrets.json, or REELKEEP_API_TOKENS)",
        "settings": "  (in another shell, for the other commands)",
    }
    shown = places | {"settings": f"set -a; . {shlex.quote(places['settings'])}; set +a"}
    for name, place in shown.items():
        print(f"{name:<9}{place}{notes.get(name, '')}")
    print("Ctrl-C stops it all.", flush=True)
