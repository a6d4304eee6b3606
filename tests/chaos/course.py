"""A seeded course of trouble: generations go in while processes are killed, Redis is killed, and the broker is emptied.

    python -m tests.chaos.course --generations 200 --seed 1

Prints what happened and what is wrong afterwards; status 0 only if nothing is.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis
import requests

from app.cli.demo_audit import audit, is_settled
from app.cli.demo_paths import PATHS, DemoPath, Expected, Sent
from tests.support.fleet import Fleet, running_fleet
from tests.support.waiting import wait_for

#: what is killed with SIGKILL; `broker` is emptied
TARGETS = ("worker", "worker-2", "mirror", "mirror-2", "web", "beat", "redis", "broker")
#: seconds between generations, and the bounds between two troubles
PACE, CALM = 0.12, (0.4, 1.4)
#: seconds after the last trouble in which everything must have come to its end
LIMIT = 180.0
#: seconds after the last generation in which the vendor's three tries at its callback are over
CALLBACKS_OVER = 10.0


@dataclass
class Report:
    """What a course did, and what was wrong at its end."""

    generations: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    #: seconds from the last trouble to the end of the last generation
    settled_after: float = 0.0
    rescued: int = 0
    unsettled: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    #: submissions that nobody can tell the outcome of: worker killed while sending, and callback lost or never sent
    uncertain: int = 0
    #: manifests that say something else than the ledger
    manifests: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing is wrong."""
        return not (self.unsettled or self.faults or self.strays or self.manifests)

    def __str__(self) -> str:
        rows = {
            "generations": self.generations,
            "troubles": ", ".join(f"{name} {count}" for name, count in sorted(self.troubles.items())),
            "settled, seconds after the last": f"{self.settled_after:.0f}",
            "messages rescued by the sweep": self.rescued,
            "submissions that stay uncertain": self.uncertain,
            "without a named end": self.unsettled or 0,
            "objects, states or purchases wrong": self.faults or 0,
            "objects too many": self.strays or 0,
            "manifests that disagree": self.manifests or 0,
        }
        return "\n".join(f"{name:<36}{value}" for name, value in rows.items())


def run_course(folder: Path, generations: int, seed: int) -> Report:
    """Run one course on a stack of its own."""
    chance, report = random.Random(seed), Report(generations)
    # No callback count is expected: some are lost with the web process, and are made up for by polls.
    paths = [
        replace(path, expected=replace(path.expected, least_callbacks=0), asks=1)
        for path in PATHS
        if not path.attack and not path.extends
    ]
    counts = {"worker": 2, "mirror": 2, "beat": 2}
    with running_fleet(folder, counts=counts, speed=60) as fleet:
        sent: list[Sent] = []
        trouble_at = 0.0
        while len(sent) < generations:
            path = chance.choice(paths)
            sent.append(_send(fleet, replace(path, title=f"{path.title} #{len(sent)}")))
            if time.monotonic() >= trouble_at:
                report.troubles[_make_trouble(fleet, chance.choice(TARGETS))] += 1
                trouble_at = time.monotonic() + chance.uniform(*CALM)
            time.sleep(PACE)
        _await_end(fleet, sent, report)
        _judge(fleet, sent, report)
    return report


def _send(fleet: Fleet, path: DemoPath) -> Sent:
    wishes = {"upgrades": list(path.upgrades)}
    if path.here:
        body, key = wishes | {"prompt": path.prompt, **path.fields}, {"Idempotency-Key": path.title}
        # No 503 shall lead to a second one: asked again under the same key until there is an answer.
        answer = wait_for(lambda: _ask(fleet, "POST", "/generations", json=body, headers=key))
        return Sent(path, answer.json()["id"])
    task_id = fleet.vendor.generate(path.prompt, fleet.callback_url)
    wait_for(lambda: _ask(fleet, "PUT", f"/generations/{task_id}", json=wishes))
    return Sent(path, task_id)


def _ask(fleet: Fleet, method: str, path: str, **kwargs: Any) -> requests.Response | None:
    """An answer, or None while web or Redis are down."""
    try:
        answer = fleet.call(method, path, **kwargs)
    except requests.RequestException:
        return None
    return answer if answer.status_code in (200, 201, 202) else None


def _make_trouble(fleet: Fleet, target: str) -> str:
    if target != "broker":
        fleet.stack.supervisor.kill(target)
        return f"{target.partition('-')[0]} killed"
    try:
        fleet.broker().flushdb()
    except redis.RedisError:
        return "broker could not be emptied, it was down"
    return "broker emptied"


def _show_all(fleet: Fleet) -> dict[str, Mapping[str, Any]]:
    shown: dict[str, Mapping[str, Any]] = {}
    cursor = None
    while True:
        query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        answer = wait_for(lambda query=query: _ask(fleet, "GET", "/generations", params=query))  # type: ignore[misc]
        page = answer.json()
        shown |= {row[name]: row for name in ("id", "taskId") for row in page["generations"] if row[name]}
        cursor = page["cursor"]
        if cursor is None:
            return shown


def _await_end(fleet: Fleet, sent: list[Sent], report: Report) -> None:
    began = time.monotonic()

    def unsettled() -> list[str]:
        shown = _show_all(fleet)
        # An uncertain one may still be settled by a callback, for as long as the vendor tries to deliver it.
        early = time.monotonic() - began < CALLBACKS_OVER
        return [
            one.record_id
            for one in sent
            if not is_settled(one, row := shown.get(one.record_id)) or (early and row and row["state"] == "uncertain")
        ]

    try:
        wait_for(lambda: not unsettled(), LIMIT, every=0.5)
    except AssertionError:
        report.unsettled = unsettled()
    report.settled_after = time.monotonic() - began


def _judge(fleet: Fleet, sent: list[Sent], report: Report) -> None:
    folder = fleet.stack.bucket_folder

    def disagreeing() -> list[str]:
        shown = _show_all(fleet)
        known = {row["taskId"]: row for row in shown.values() if row["taskId"]}
        return [task_id for task_id in known if not _agrees(folder / "veo" / task_id, known[task_id])]

    try:
        wait_for(
            lambda: not disagreeing(), limit=30, every=0.5
        )  # a late repeat of a callback may still be written down
    except AssertionError:
        report.manifests = disagreeing()
    shown, books = _show_all(fleet), fleet.vendor.books()
    findings, report.strays = audit([_excuse(one, shown, books) for one in sent], shown, folder, fleet.vendor, "veo/")
    report.uncertain = sum(row["state"] == "uncertain" for row in shown.values())
    report.faults = [
        f"{finding.sent.path.title}: {'; '.join(finding.faults)}" for finding in findings if finding.faults
    ]
    report.rescued = int(redis.Redis.from_url(fleet.stack.redis_url).hget("reelkeep:stats", "rescued") or 0)  # type: ignore[arg-type]


def _excuse(one: Sent, shown: Mapping[str, Mapping[str, Any]], books: Mapping[str, Any]) -> Sent:
    """A submission whose worker was killed while sending, and whose callback was lost too, may stay uncertain: that is a named
    end. What it must not be is created twice."""
    row = shown.get(one.record_id)
    if row is None or row["state"] != "uncertain":
        return one
    made = sum(generation["prompt"] == one.path.prompt for generation in books["generations"].values())
    return replace(one, path=replace(one.path, expected=Expected(state="uncertain", stored=(), created=min(made, 1))))


def _agrees(folder: Path, shown: Mapping[str, Any]) -> bool:
    manifest = folder / "manifest.json"
    return manifest.exists() and json.loads(manifest.read_text()) == {"format": 1, **shown}


def main() -> None:
    """Run a course from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run_course(Path(folder), options.generations, options.seed)
    print(f"seed {options.seed}\n{report}")
    sys.exit(0 if report.good else 1)


if __name__ == "__main__":
    main()
