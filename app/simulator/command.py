"""The command line of the simulator."""

from __future__ import annotations

import json
import logging
import signal
import sys
from pathlib import Path
from threading import Event

import click
from pydantic import TypeAdapter, ValidationError

from app.simulator.scenarios import BUILT_IN, Scenario
from app.simulator.server import Options, Simulator
from app.simulator.weather import Climate

_NAMES = "\n".join(f"  {name:<26}{scenario.about}" for name, scenario in BUILT_IN.items())
_EPILOG = f"""\b
Scenarios
  The prompt of a generation or an extension chooses what happens to it: a
  prompt that begins with `scenario=NAME` follows that scenario, any other
  the plain one. Say `scenario=dead-link a cat on a roof`. An upgrade follows
  the scenario of its parent.
\b
{_NAMES}
\b
  More of them: --scenarios FILE, a JSON object of name to fields, such as
    {{"two-slow": {{"results": 2, "takes": 600, "file_faults": [500, "reset"]}}}}
  or, while it runs: POST /_simulator/scenarios {{"name": "two-slow", "results": 2}}
  The fields are those of Scenario in app/simulator/scenarios.py.
\b
Examples
  reelkeep simulator --port 8900 --speed 60
  reelkeep simulator --webhook-key KEY --seed 1 --json
\b
Exit status
  0 it ran, and was stopped; 1 it could not start; 2 the command line is wrong
\b
To look at it from outside (no key needed)
  GET  /_simulator/books             all that happened, counted by the simulator
  GET  /_simulator/file?path=/v/...  the true bytes of a file, never a fault
  POST /_simulator/deliver           {{"taskId": ...}}: that callback once more
  GET  /_simulator/health
  GET  /_simulator/outstanding       how many callbacks are still to be sent

Bad weather, for every endpoint of the API
  --weather '{{"errors": 0.1, "drops": 0.02, "bursts": 0.002, "fog": 0.1}}'
  or, while it runs: POST /_simulator/weather with the same JSON; {{}} clears it.
  GET /_simulator/weather tells it, and what it has served so far.
  The fields are those of Climate in app/simulator/weather.py.
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 110})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--api-key", default="sim-key", show_default=True, help="The key that clients must send.")
@click.option("--webhook-key", help="Sign callbacks with this HMAC key.  [default: unsigned]")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How much faster than real the vendor's time passes: at 60 a generation takes 2 s instead of 120, "
    "a 4K 7 s, and a failed callback is sent again after half a second. The 15 s that a receiver has for "
    "its answer and the rate limit's 10 s stay real.",
)
@click.option("--seed", type=int, help="Give out the same ids in every run.")
@click.option(
    "--scenarios",
    "scenario_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with more scenarios.",
)
@click.option(
    "--rate-limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="New generations, extensions and orders per 10 s before HTTP 429; 0 for no limit.",
)
@click.option(
    "--retry-after",
    type=click.IntRange(min=0),
    help="What answers of 429 say in Retry-After, in seconds.  [default: they have no such header]",
)
@click.option("--weather", help="What goes wrong by chance, as JSON; see below.  [default: nothing]")
@click.option("--weather-seed", type=int, help="Have the same requests meet the same faults in every run.")
@click.option("--credits", default=Options.credits, show_default=True, help="Credits to begin with.")
@click.option("--public-url", help="What the URLs of files begin with.  [default: where it listens]")
@click.option("--json", "as_json", is_flag=True, help="Say in JSON where it listens.")
def simulator(
    host: str,
    port: int,
    api_key: str,
    webhook_key: str | None,
    speed: float,
    seed: int | None,
    scenario_file: Path | None,
    rate_limit: int,
    retry_after: int | None,
    weather: str | None,
    weather_seed: int | None,
    credits: float,
    public_url: str | None,
    as_json: bool,
) -> None:
    """Run a stand-in for the vendor's video API on this machine.

    It answers every endpoint as the real service does, of the dedicated and of the unified form, makes real
    (small) MP4 files, sends the callbacks, counts every credit, and misbehaves on request. Point a client's
    base URL at the address in the first line of its output. It keeps everything in memory and ends on SIGTERM or Ctrl-C.
    """
    options = Options(
        host=host,
        port=port,
        api_key=api_key,
        webhook_key=webhook_key,
        speed=speed,
        seed=seed,
        scenarios=_read_scenarios(scenario_file),
        rate_limit=rate_limit,
        retry_after=retry_after,
        climate=_read_climate(weather, weather_seed),
        credits=credits,
        public_url=public_url,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with Simulator(options) as running:
        click.echo(json.dumps({"url": running.url}) if as_json else f"simulator listening on {running.url}")
        stopping.wait()


def _read_climate(text: str | None, seed: int | None) -> Climate:
    try:
        climate = Climate.model_validate_json(text or "{}")
    except ValidationError as error:
        raise click.BadParameter(str(error), param_hint="--weather") from error
    return climate if seed is None else climate.model_copy(update={"seed": seed})


def _read_scenarios(file: Path | None) -> dict[str, Scenario]:
    if file is None:
        return {}
    try:
        return TypeAdapter(dict[str, Scenario]).validate_python(json.loads(file.read_text()))
    except (ValueError, ValidationError) as error:
        raise click.BadParameter(str(error), param_hint="--scenarios") from error
