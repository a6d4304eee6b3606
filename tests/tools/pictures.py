"""Makes the pictures of the dashboard in docs/pictures: of a running stack, in a real Chromium.

python -m tests.tools.pictures
"""

import random
import tempfile
import time
from pathlib import Path

import redis

from tests.support.browser import PHONE, WIDE, log_in, opened, running_browser
from tests.support.fleet import TOKEN, Fleet, running_fleet
from tests.support.waiting import wait_for

FOLDER = Path(__file__).parents[2] / "docs/pictures"
#: a dead link is tried for minutes before it is given up, so that there is something at risk
SETTINGS = {"REELKEEP_RETRY_BASE": "0.05", "REELKEEP_RETRY_MAX": "60", "REELKEEP_CREDITS_PER_DAY": "4000"}
#: not by `wait_for_function`, which the pages' policy forbids
LOADED = "() => [...document.querySelectorAll('video')].every(it => it.readyState > 1)"
SCENARIOS = ["plain"] * 9 + ["portrait", "several-results", "4k-new-id", "no-callback", "failed-501", "dead-link"]


def main() -> None:
    """Make them all."""
    with tempfile.TemporaryDirectory() as folder, running_fleet(Path(folder), **SETTINGS) as fleet:
        shown = _fill(fleet)
        with running_browser() as browser:
            url = fleet.stack.web_url
            for name, path, scheme, size, whole in (
                ("dashboard", "/", "light", WIDE, True),
                ("dashboard-generation", f"/ui/generations/{shown}", "dark", WIDE, False),
                ("dashboard-phone", "/ui/generations", "light", PHONE, False),
            ):
                with opened(browser, url, scheme=scheme, size=size) as page:  # type: ignore[arg-type]
                    log_in(page, TOKEN)
                    page.goto(path, wait_until="domcontentloaded")
                    wait_for(lambda page=page: page.evaluate(LOADED))  # type: ignore[misc]
                    page.screenshot(path=FOLDER / f"{name}.png", full_page=whole)
                print(FOLDER / f"{name}.png")


def _fill(fleet: Fleet) -> str:
    """Send work through, and give the generation to be shown: one with a 4K."""
    labels = [{"shop": "north", "shot": "12"}, {"shop": "south"}, {}]
    ids = []
    for number, scenario in enumerate(SCENARIOS):
        ids.append(fleet.generate(scenario, upgrades=("4k",) if number % 4 == 0 else ()))
        fleet.call("PUT", f"/generations/{ids[-1]}", json={"labels": labels[number % len(labels)]})
    for task_id in ids[:-2]:
        fleet.await_state(task_id)
    wait_for(lambda: _count(fleet, "risk"))
    _make_up_a_day(fleet)
    return ids[0]


def _count(fleet: Fleet, name: str) -> int:
    with redis.Redis.from_url(fleet.stack.redis_url) as client:
        return int(client.zcard(f"reelkeep:{name}"))


def _make_up_a_day(fleet: Fleet) -> None:
    """The hours before, as a day might have been: the stack is a minute old."""
    chance, present = random.Random(1), int(time.time() // 3600)
    with redis.Redis.from_url(fleet.stack.redis_url) as client:
        for hour in range(present - 23, present):
            callbacks = int(30 + 25 * abs((hour % 24) - 12) / 12 * -1 + chance.randint(0, 15)) + 20
            client.hset(
                f"reelkeep:hour:{hour}",
                mapping={
                    "callbacks": callbacks,
                    "stored:result": callbacks - chance.randint(0, 3),
                    "latency:5": callbacks,
                },
            )


if __name__ == "__main__":
    main()
