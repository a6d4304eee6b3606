"""`reelkeep doctor`: looks at everything that Reelkeep stands on, and says what to mend."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import click
from rich.text import Text

from app.cli import doctor_checks as checks
from app.cli.commands import Command
from app.cli.terminal import COLOURS, make_console, plural, printable
from app.domain.checkup import Level, Remark, worst
from app.settings import ConfigurationError, Settings, find_secrets, load

EXIT_PROBLEM = 1
#: seconds after which a check that has not come back is given up; all run side by side
LIMIT = 30.0

Look = Callable[[], list[Remark]]


@click.command(
    cls=Command,
    examples=[
        ("reelkeep doctor", "What is wrong here, and how to mend it."),
        ("reelkeep doctor --json | jq -r '.checks[].mend'", "What to mend, for a script."),
    ],
    ends={0: "there is no problem; there may be warnings", 1: "there is one"},
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--events", "send_event", is_flag=True, help="Send a test event to REELKEEP_EVENTS_URL too.")
def doctor(as_json: bool, send_event: bool) -> None:
    """Look at everything that Reelkeep stands on; say what to mend.

    Settings, Redis, broker, bucket, vendor, the public address, clocks, workers, disk space and versions.

    Takes the settings of the process that it runs beside, from the environment or a .env file. Nothing is changed; a small object
    is put into the bucket and deleted again. Ends within a minute, whatever is down or silent. No secret is shown.
    """
    remarks: list[Remark] = []
    console, waiting = make_console(), make_console(stderr=True).status("looking …")
    with waiting:
        for remark in examine(send_event=send_event):
            remarks.append(remark)
            if not as_json:
                waiting.stop()  # the two would write over each other
                console.print(_tell(remark), soft_wrap=True)
                waiting.start()
    if as_json:
        shown = [{"check": one.about, "level": one.level, "text": one.text, "mend": one.mend} for one in remarks]
        click.echo(json.dumps({"status": worst(remarks), "checks": shown}))
    else:
        counts = Counter(remark.level for remark in remarks)
        click.echo(f"\n{_count(counts, Level.PROBLEM)}, {_count(counts, Level.WARNING)}")
    if worst(remarks) is Level.PROBLEM:
        sys.exit(EXIT_PROBLEM)


def examine(*, send_event: bool = False) -> Iterator[Remark]:
    """Run all checks side by side; what they found comes in a fixed order. Never raises, and bounds their time.

    :param send_event: have the receiver of events sent one, too
    """
    settings: Settings | None = None
    try:
        settings = load()
    except ConfigurationError as error:
        for fault in error.faults:
            yield Remark("settings", Level.PROBLEM, fault, "mend it: most of the rest can only be looked at then")
    running = [_Running(name, look) for name, look in _list_checks(settings, send_event=send_event)]
    secrets = find_secrets() if settings is None else settings.secrets  # a library's words may hold one
    deadline = time.monotonic() + LIMIT
    for check in running:
        for remark in check.wait(deadline):
            yield Remark(remark.about, remark.level, _hide(remark.text, secrets), _hide(remark.mend, secrets))


def _list_checks(settings: Settings | None, *, send_event: bool) -> Iterator[tuple[str, Look]]:
    if settings is not None:
        yield "settings", partial(checks.check_settings, settings)
        yield "redis", partial(checks.check_redis, settings)
        yield "broker", partial(checks.check_broker, settings)
        yield "bucket", partial(checks.check_bucket, settings)
        yield "vendor", partial(checks.check_vendor, settings)
        if settings.public_url:
            yield "front door", partial(checks.check_front_door, settings)
        yield "clock", partial(checks.check_clocks, settings)
        yield "fleet", partial(checks.check_fleet_signs, settings)
        if settings.events_url or send_event:
            yield "events", partial(checks.check_events, settings, send=send_event)
    yield "space", partial(checks.check_space, settings)
    yield "python", checks.check_python


@dataclass
class _Running:
    """A check in a thread of its own, which is left behind if it does not come back."""

    name: str
    look: Look
    found: list[Remark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            found = self.look()
        except Exception as error:  # whatever is wrong with one part, the others are still looked at
            text = f"could not be looked at: {type(error).__name__}"
            found = [Remark(self.name, Level.PROBLEM, text, "a fault of the doctor's own: report it")]
        self.found = found

    def wait(self, deadline: float) -> list[Remark]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        silence = Remark(self.name, Level.PROBLEM, f"no answer within {LIMIT:g} s", "see whether the way there is open")
        return self.found or [silence]


def _tell(remark: Remark) -> Text:
    said = f" {remark.about:<18} {remark.text}" + (f" → {remark.mend}" if remark.mend else "")
    return Text.assemble((f"{remark.level:<8}", COLOURS[remark.level]), printable(said))


def _count(counts: Counter[Level], level: Level) -> str:
    return plural(counts[level], level) if counts[level] else f"no {level}s"


def _hide(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
