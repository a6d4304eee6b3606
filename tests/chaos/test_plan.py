"""What a run does is drawn from its seed, in the shares that it promises; and each safeguard can be left out of it."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from app.simulator.scenarios import Scenario
from tests.chaos.ground import SABOTAGE
from tests.chaos.plan import TROUBLES, VICTIMS, Way, draw_plan
from tests.chaos.sabotage.safeguards import SAFEGUARDS
from tests.chaos.scale import scale_for

SCALE = scale_for(2000)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(3, SCALE) == draw_plan(3, SCALE)
    assert draw_plan(3, SCALE) != draw_plan(4, SCALE)


def test_every_trouble_comes_as_often_as_it_should_and_before_the_end() -> None:
    plan = draw_plan(1, SCALE)
    assert Counter(trouble.name for trouble in plan.troubles) == TROUBLES
    assert {kill.victim for kill in plan.kills} == set(VICTIMS)
    assert all(trouble.at < SCALE.lasts for trouble in plan.troubles + plan.kills)
    assert [trouble.at for trouble in plan.troubles] == sorted(trouble.at for trouble in plan.troubles)


def test_callbacks_are_withheld_and_repeated_in_the_promised_shares() -> None:
    counts = [len(planned.scenario["callbacks"]) for planned in draw_plan(1, SCALE).generations]
    assert abs(counts.count(0) / len(counts) - 0.3) < 0.04
    assert abs(sum(2 <= count <= 5 for count in counts) / len(counts) - 0.2) < 0.04
    assert max(counts) == 5


def test_what_only_its_callback_tells_of_has_one() -> None:
    alone = [one for one in draw_plan(1, SCALE).generations if one.way is Way.CALLBACK]
    assert alone
    assert all(one.scenario["callbacks"] for one in alone)
    assert not any(one.upgrades or one.forged for one in alone)


def test_a_failure_of_a_generation_says_of_which() -> None:
    """Without an id, and without a token in the application's URL, a callback is of no use to anybody."""
    nameless = [one for one in draw_plan(1, scale_for(10_000)).generations if one.scenario.get("null_data")]
    assert nameless
    assert not any("failure" in one.scenario or "failure" in one.scenario["callbacks"] for one in nameless)


def test_the_simulator_understands_every_scenario() -> None:
    for planned in draw_plan(1, SCALE).generations:
        Scenario.model_validate(planned.scenario)


@pytest.mark.parametrize("without", SAFEGUARDS)
def test_each_safeguard_is_still_where_it_is_taken_out(without: str) -> None:
    path = os.pathsep.join([str(SABOTAGE), *sys.path])
    # The front door's part of it is taken out of processes of gunicorn's alone.
    argv = [sys.executable, "-c", "pass", "gunicorn"]
    env = {**os.environ, "CHAOS_WITHOUT": without, "PYTHONPATH": path}
    outcome = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (0, "")
