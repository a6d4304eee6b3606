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
from app.cli.demo_paths import PATHS, Sent
from tests.support.fleet import Fleet, running_fleet
from tests.support.waiting import wait_for

#: what is killed with SIGKILL; `broker` is emptied
TARGETS = ("worker", "worker-2", "mirror", "mirror-2", "web", "beat", "redis", "broker")
#: seconds between generations, and the bounds between two troubles
PACE, CALM = 0.12, (0.4, 1.4)
#: seconds after the last trouble in which everything must have come to its end
LIMIT = 180.0


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
        replace(path, expected=replace(path.expected, least_callbacks=0))
        for path in PATHS
        if not path.attack and not path.extends
    ]
    counts = {"worker": 2, "mirror": 2, "beat": 2}
    with running_fleet(folder, counts=counts, speed=60) as fleet:
        sent: list[Sent] = []
        trouble_at = 0.0
        while len(sent) < generations:
            sent.append(_send(fleet, chance.choice(paths)))
            if time.monotonic() >= trouble_at:
                report.troubles[_make_trouble(fleet, chance.choice(TARGETS))] += 1
                trouble_at = time.monotonic() + chance.uniform(*CALM)
            time.sleep(PACE)
        _await_end(fleet, sent, report)
        _judge(fleet, sent, report)
    return report


def _send(fleet: Fleet, path: Any) -> Sent:
    task_id = fleet.vendor.generate(f"scenario={path.scenario} {path.title}", fleet.callback_url)
    body = {"upgrades": list(path.upgrades)}
    wait_for(lambda: _ask(fleet, "PUT", f"/generations/{task_id}", json=body))
    return Sent(path, task_id)


def _ask(fleet: Fleet, method: str, path: str, **kwargs: Any) -> requests.Response | None:
    """An answer, or None while web or Redis are down."""
    try:
        answer = fleet.call(method, path, **kwargs)
    except requests.RequestException:
        return None
    return answer if answer.status_code in (200, 201) else None


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
        shown |= {generation["taskId"]: generation for generation in page["generations"]}
        cursor = page["cursor"]
        if cursor is None:
            return shown


def _await_end(fleet: Fleet, sent: list[Sent], report: Report) -> None:
    began = time.monotonic()

    def unsettled() -> list[str]:
        shown = _show_all(fleet)
        return [one.task_id for one in sent if not is_settled(one, shown.get(one.task_id))]

    try:
        wait_for(lambda: not unsettled(), LIMIT, every=0.5)
    except AssertionError:
        report.unsettled = unsettled()
    report.settled_after = time.monotonic() - began


def _judge(fleet: Fleet, sent: list[Sent], report: Report) -> None:
    folder = fleet.stack.bucket_folder

    def disagreeing() -> list[str]:
        shown = _show_all(fleet)
        return [task_id for task_id in shown if not _agrees(folder / "veo" / task_id, shown[task_id])]

    try:
        wait_for(
            lambda: not disagreeing(), limit=30, every=0.5
        )  # a late repeat of a callback may still be written down
    except AssertionError:
        report.manifests = disagreeing()
    findings, report.strays = audit(sent, _show_all(fleet), folder, fleet.vendor, "veo/")
    report.faults = [
        f"{finding.sent.path.title}: {'; '.join(finding.faults)}" for finding in findings if finding.faults
    ]
    report.rescued = int(redis.Redis.from_url(fleet.stack.redis_url).hget("reelkeep:stats", "rescued") or 0)  # type: ignore[arg-type]


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
