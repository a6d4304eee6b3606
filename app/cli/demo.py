"""`reelkeep demo`: the whole product on real parts, against the simulator, with an audit at the end."""

import json
import shlex
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.cli.commands import Command, exit_interrupted, shows_errors, stop_signal, tell_end
from app.cli.demo_audit import Finding, audit, is_settled, show_end
from app.cli.demo_paths import PATHS, DemoPath, Sent, submit
from app.cli.stack import NOTHING_SET, Plan, Stack, claimed, running_stack
from app.cli.terminal import make_console, make_table, plural
from app.embedded.service import Service, free_port
from app.simulator.client import SimulatorClient

#: the vendor's time passes so much faster: a generation takes 2 s, a 4K 7 s
SPEED = 60
API_KEY, WEBHOOK_KEY, API_TOKEN, FLOWER_LOGIN = "demo-vendor-key", "demo-webhook-key", "demo-token", "demo:demo"
PREFIX = "veo/"
#: seconds that everything may take before the demo reports what is missing
LIMIT = 85.0
#: The product's own times, shortened as the vendor's are. Everything else is as it is by default.
TIMES = {
    "REELKEEP_FIRST_POLL_AFTER": "6",
    "REELKEEP_POLL_INTERVAL": "1",
    "REELKEEP_POLL_INTERVAL_MAX": "3",
    "REELKEEP_UPGRADE_POLL_AFTER": "10",
    "REELKEEP_SWEEP_EVERY": "1",
    "REELKEEP_LEASE": "10",
    "REELKEEP_RETRY_BASE": "0.5",
    "REELKEEP_RETRY_MAX": "2",
}


@dataclass(frozen=True)
class Demo:
    """The running parts."""

    stack: Stack
    vendor: SimulatorClient
    console: Console

    def track(self, task_id: str, upgrades: tuple[str, ...]) -> None:
        """Tell Reelkeep of a generation, as the user's application would."""
        url = f"{self.stack.web_url}/generations/{task_id}"
        body = {"upgrades": list(upgrades), "labels": {"from": "demo"}}
        requests.put(url, json=body, headers=self._headers, timeout=10).raise_for_status()

    def submit(self, path: DemoPath, parent: str | None) -> str:
        """Have Reelkeep submit a generation, or an extension of `parent`."""
        url = f"{self.stack.web_url}/generations" + (f"/{parent}/extensions" if parent else "")
        body = {"prompt": path.prompt, "upgrades": list(path.upgrades), "labels": {"from": "demo"}, **path.fields}
        answer = requests.post(url, json=body, headers=self._headers | {"Idempotency-Key": path.title}, timeout=10)
        answer.raise_for_status()
        record_id: str = answer.json()["id"]
        return record_id

    def await_success(self, task_id: str) -> None:
        """Wait until Reelkeep knows that a generation has succeeded."""
        _wait(lambda: self.show_all()[task_id]["state"] in ("mirroring", "complete"), 30, threading.Event())

    def show_all(self) -> dict[str, Any]:
        """All generations as Reelkeep shows them, by the vendor's id and by that of their submission."""
        answer = requests.get(f"{self.stack.web_url}/generations?limit=500", headers=self._headers, timeout=10)
        answer.raise_for_status()
        shown = answer.json()["generations"]
        return {row[name]: row for name in ("id", "taskId") for row in shown if row[name]}

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_TOKEN}"}


@click.command(
    cls=Command,
    examples=[
        ("reelkeep demo", "About a minute; the files stay in reelkeep-data/demo."),
        ("reelkeep demo --hold", "And keep it running, to look at it and at Flower."),
    ],
    ends={0: "all is as it must be, byte for byte", 1: "something is not, or did not start"},
)
@click.option("--hold", is_flag=True, help="Keep everything running afterwards, until Ctrl-C.")
@click.option(
    "--data",
    default="reelkeep-data/demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for data and logs. It is emptied first; the bucket's files stay in it afterwards.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end; the rest goes to stderr.")
@shows_errors
def demo(hold: bool, data: Path, as_json: bool) -> None:
    """See every path of Reelkeep at work, on real parts.

    Starts a redis-server, an S3 endpoint, a simulator of the vendor, web, workers, beat and Flower on free ports; sends
    generations through every path; then audits each: the bucket byte for byte, and the vendor's books.
    """
    console = make_console(stderr=as_json)
    stop = stop_signal()
    _refuse_foreign(data)
    with claimed(data):
        _empty(data)
        began = time.monotonic()
        console.print(
            "[bold]Reelkeep demo[/] starting redis-server, S3 endpoint, web, worker, mirror, beat, Flower, simulator …"
        )
        with running_stack(_plan(data), tell_end) as stack:
            running = Demo(stack, _start_simulator(stack), console)
            good = _run(running, began, stop, held=hold, as_json=as_json)
            if stop.is_set():
                exit_interrupted()
            if hold:
                settings_file = stack.write_settings()
                in_shell = shlex.quote(str(settings_file))
                console.print(
                    f"\nHeld: everything keeps running. Ctrl-C ends it.\n  set -a; . {in_shell}; set +a", soft_wrap=True
                )
                stop.wait()
                settings_file.unlink(missing_ok=True)
    sys.exit(0 if good else 1)


def _run(demo: Demo, began: float, stop: threading.Event, *, held: bool, as_json: bool) -> bool:
    _wait(demo.stack.is_ready, 60, stop)
    if stop.is_set():
        return False
    demo.console.print(f"all parts are up after {time.monotonic() - began:.0f} s; sending {len(PATHS)} generations\n")
    sent = _send_and_watch(demo, stop)
    findings, strays = audit(sent, demo.show_all(), demo.stack.bucket_folder, demo.vendor, PREFIX)
    if stop.is_set():
        return False
    _print_findings(demo.console, findings, strays)
    _print_places(demo, held=held)
    good = len(findings) == len(PATHS) and not strays and not any(finding.faults for finding in findings)
    verdict = "[bold green]all as it must be[/]" if good else "[bold red]not as it must be[/]"
    seconds = time.monotonic() - began
    demo.console.print(f"\n{verdict}, after {seconds:.0f} s")
    if as_json:
        paths = [
            {"path": one.sent.path.title, "id": one.sent.record_id, "got": one.got, "faults": list(one.faults)}
            for one in findings
        ]
        told = {"good": good, "seconds": round(seconds, 1), "paths": paths, "strays": list(strays)}
        print(json.dumps({**told, "bucket": str(demo.stack.bucket_folder)}), flush=True)
    return good


def _send_and_watch(demo: Demo, stop: threading.Event) -> list[Sent]:
    """Send everything, then wait until all of it has come to an end or the time is up."""
    callback_url = f"{demo.stack.web_url}/callbacks/veo"
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=demo.console) as progress:
        sending = progress.add_task("sent   ", total=len(PATHS))
        settling = progress.add_task("settled", total=len(PATHS))
        sent: list[Sent] = []
        for path in PATHS:
            if stop.is_set():
                break
            sent.append(submit(path, demo.vendor, demo, callback_url, WEBHOOK_KEY))
            progress.update(sending, advance=1)
            progress.update(settling, completed=_count_settled(demo, sent))

        def all_settled() -> bool:
            settled = _count_settled(demo, sent)
            progress.update(settling, completed=settled)
            return settled == len(PATHS)

        _wait(all_settled, LIMIT, stop)
    return sent


def _count_settled(demo: Demo, sent: Sequence[Sent]) -> int:
    shown = demo.show_all()
    return sum(is_settled(one, shown.get(one.record_id)) for one in sent)


def _print_findings(console: Console, findings: Sequence[Finding], strays: Sequence[str]) -> None:
    table = make_table("", "path", "expected", "got")
    for finding in findings:
        expected = finding.sent.path.expected
        mark = "[red]✗[/]" if finding.faults else "[green]✓[/]"
        wanted = show_end(expected.state, expected.stored)
        table.add_row(mark, finding.sent.path.title, wanted, "; ".join([finding.got, *finding.faults]))
    console.print(table)
    for stray in strays:
        console.print(f"[red]✗[/] should not be in the bucket: {stray}", markup=True)


def _print_places(demo: Demo, *, held: bool) -> None:
    stack = demo.stack
    books = demo.vendor.books()
    objects = [path for path in stack.bucket_folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in objects)
    bought = sum(1 for row in books["purchases"] if row["credits"])
    demo.console.print(f"\n{plural(len(objects), 'object')}, {size / 1e6:.1f} MB; {plural(bought, 'upgrade')} bought")
    demo.console.print(_ask_flower(stack))
    user, password = FLOWER_LOGIN.split(":")
    running = {
        "dashboard": f"{stack.web_url}/  (log in with {API_TOKEN})",
        "API": f"{stack.web_url}/generations  (Authorization: Bearer {API_TOKEN})",
        "health": f"{stack.web_url}/readyz",
        "Flower": f"{stack.flower_url}  (user {user}, password {password})",
        "simulator": f"{demo.vendor.base_url}/_simulator/books",
    }
    kept = {"bucket": str(stack.bucket_folder), "logs": str(stack.folder / "logs")}
    demo.console.print(
        "where to look" + ("" if held else "; with HOLD=1 the API, Flower and the simulator stay up too")
    )
    places = running | kept if held else kept
    for name, place in places.items():
        demo.console.print(f"  {name:<10} {place}", highlight=False, soft_wrap=True)


def _ask_flower(stack: Stack) -> str:
    """What Flower has seen of the fleet."""
    login = FLOWER_LOGIN.split(":")
    try:
        session = requests.Session()
        session.auth = (login[0], login[1])
        workers = session.get(f"{stack.flower_url}/api/workers?refresh=1", timeout=10).json()
        tasks = session.get(f"{stack.flower_url}/api/tasks?limit=100000", timeout=10).json()
    except (requests.RequestException, ValueError) as error:
        return f"Flower did not answer: {type(error).__name__}"
    states = Counter(task["state"].lower() for task in tasks.values())
    seen = ", ".join(f"{state} {count}" for state, count in states.items())
    return f"Flower sees {plural(len(workers), 'worker')}; tasks {seen}"


def _plan(data: Path) -> Plan:
    env = {
        **NOTHING_SET,
        "REELKEEP_KIE_API_KEY": API_KEY,
        "REELKEEP_WEBHOOK_KEYS": WEBHOOK_KEY,
        "REELKEEP_API_TOKENS": API_TOKEN,
        "REELKEEP_S3_PREFIX": PREFIX,
        "REELKEEP_DOWNLOAD_INSECURE": "1",
        "REELKEEP_DOWNLOAD_HOSTS": "127.0.0.1",
        "FLOWER_BASIC_AUTH": FLOWER_LOGIN,
        **TIMES,
    }
    simulator_port, web_port = free_port(), free_port()
    env["REELKEEP_KIE_BASE_URL"] = f"http://127.0.0.1:{simulator_port}"
    env["REELKEEP_PUBLIC_URL"] = f"http://127.0.0.1:{web_port}"
    return Plan(data.resolve(), env=env, web_port=web_port)


def _start_simulator(stack: Stack) -> SimulatorClient:
    url = stack.env["REELKEEP_KIE_BASE_URL"]
    port = url.rpartition(":")[2]
    options = ["--port", port, "--api-key", API_KEY, "--webhook-key", WEBHOOK_KEY, "--speed", str(SPEED)]
    options += ["--retry-after", "1"]
    argv = (sys.executable, "-m", "app.simulator", *options)
    stack.supervisor.start("simulator", Service("simulator", argv, stack.env, lambda: _answers(url)))
    return SimulatorClient(url, API_KEY)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_simulator/health", timeout=3).ok
    except requests.RequestException:
        return False


def _wait(condition: Any, limit: float, stop: threading.Event) -> bool:
    """Wait for a condition, a limit in seconds, or the end."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and not stop.is_set():
        if condition():
            return True
        stop.wait(0.25)
    return False


def _refuse_foreign(data: Path) -> None:
    """Begin anew, but never in a folder that is somebody else's."""
    if data.exists() and any(data.iterdir()) and not (data / "secrets.json").exists():
        raise click.BadParameter(f"{data} is not empty and not a demo's folder", param_hint="--data")


def _empty(data: Path) -> None:
    """Leave the folder itself: it is what is claimed."""
    for entry in data.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
