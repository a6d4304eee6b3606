"""`reelkeep doctor`: looks at everything that Reelkeep stands on, and says what to mend."""

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

import click

from app.cli import doctor_checks as checks
from app.domain.checkup import Level, Remark, worst
from app.settings import ConfigurationError, Settings, load

EXIT_PROBLEM = 1
#: seconds after which a check that has not come back is given up; all run side by side
LIMIT = 30.0
#: A shorter text would be part of many words; it is no real secret either.
SHORTEST_SECRET = 6
COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

Look = Callable[[], list[Remark]]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--events", "send_event", is_flag=True, help="Send a test event to REELKEEP_EVENTS_URL too.")
def doctor(as_json: bool, send_event: bool) -> None:
    """Check settings, Redis, broker, bucket, vendor, clocks, workers and disk space, and say what to mend.

    Takes the settings of the process that it runs beside, from the environment or a .env file. Nothing is changed; a small object
    is put into the bucket and deleted again. Ends within a minute, whatever is down or silent. No secret is shown.

    Exit status: 0 if there is no problem (there may be warnings), 1 if there is one.
    """
    remarks: list[Remark] = []
    for remark in examine(send_event=send_event):
        remarks.append(remark)
        if not as_json:
            click.echo(_tell(remark))
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
        yield Remark("settings", Level.PROBLEM, str(error), "mend it: most of the rest can only be looked at then")
    running = [_Running(name, look) for name, look in _list_checks(settings, send_event=send_event)]
    secrets = _collect_secrets(settings)
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
            found = [Remark(self.name, Level.PROBLEM, f"could not be looked at: {type(error).__name__}")]
        self.found = found

    def wait(self, deadline: float) -> list[Remark]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        silence = Remark(self.name, Level.PROBLEM, f"no answer within {LIMIT:g} s", "see whether the way there is open")
        return self.found or [silence]


def _tell(remark: Remark) -> str:
    level = click.style(f"{remark.level:<8}", fg=COLOURS[remark.level])
    return f"{level} {remark.about:<18} {remark.text}" + (f" → {remark.mend}" if remark.mend else "")


def _count(counts: Counter[Level], level: Level) -> str:
    return f"{counts[level] or 'no'} {level}{'' if counts[level] == 1 else 's'}"


def _collect_secrets(settings: Settings | None) -> list[str]:
    """What must not be shown, should a library's words hold it; the longest first."""
    found = {os.environ.get(name, "") for name in AWS_SECRETS}
    if settings is not None:
        keys = (settings.kie_api_key, *settings.webhook_keys, *settings.api_tokens, *settings.events_secret)
        found |= {key.get_secret_value() for key in keys}
        for url in (settings.redis_url, *settings.broker.split(";")):
            found |= set(_find_secrets(url))
    return sorted((secret for secret in found if len(secret) >= SHORTEST_SECRET), key=len, reverse=True)


def _find_secrets(url: str) -> Iterable[str]:
    parts = urlsplit(url)
    password = parts.password or ""
    return (password, unquote(password), *parse_qs(parts.query).get("password", ()))


def _hide(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
