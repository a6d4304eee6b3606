"""What the first screen says is wrong, and what to do about it."""

from collections.abc import Mapping

import pytest

from app.domain.health import Health
from app.domain.overview import HOUR, Hour, Overview
from app.domain.policy import Policy
from app.domain.states import State
from app.web.dashboard.findings import Finding, find_what_is_wrong

#: a quarter past midnight
NOW = 20_000 * 86400 + 900.0
HEALTH = Health(NOW, NOW, NOW, "", 0, 0, {})


def look(
    hours: Mapping[int, Mapping[str, float]] | None = None,
    spent: float = 0.0,
    budget: float | None = None,
    lost: int = 0,
) -> list[Finding]:
    """:param hours: what was counted, by how many hours ago that was"""
    counted = hours or {}
    begin = NOW - NOW % HOUR
    listed = [Hour(begin - ago * HOUR, counted.get(ago, {})) for ago in range(23, -1, -1)]
    overview = Overview(NOW, {State.LOST: lost}, 0, 0, [], {"total": spent}, listed, HEALTH)
    return find_what_is_wrong(overview, [], Policy(credits_per_day=budget))


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    assert look() == []


def test_what_was_lost_yesterday_evening_is_not_forgotten_at_midnight() -> None:
    [finding] = look({2: {"ended:lost": 1}, 23: {"ended:lost": 1}}, lost=5)
    assert finding.sentence == "2 generations were lost in the last 24 hours"
    assert finding.is_grave
    assert finding.filter == {"state": "lost"}


def test_what_was_tried_again_is_lost_no_more_or_once() -> None:
    twice = {2: {"ended:lost": 1}, 1: {"ended:lost": 1}}
    assert look(twice, lost=0) == []
    assert [finding.sentence for finding in look(twice, lost=1)] == ["1 generation was lost in the last 24 hours"]


@pytest.mark.parametrize(
    ("tallies", "is_found"),
    [
        ({"callbacks_missing": 5, "verdicts:succeeded:poll": 5, "verdicts:succeeded:callback": 4}, True),
        ({"callbacks_missing": 4, "verdicts:succeeded:poll": 4}, False),
        ({"callbacks_missing": 5, "verdicts:failed:poll": 5, "verdicts:succeeded:callback": 5}, False),
        ({"callbacks_missing": 9, "callbacks_late": 5, "verdicts:succeeded:poll": 4}, False),
    ],
)
def test_most_callbacks_missing_is_a_warning_and_a_few_are_not(tallies: dict[str, float], is_found: bool) -> None:
    found = look({1: tallies})
    assert [finding.is_grave for finding in found] == ([False] if is_found else [])
    assert look({2: tallies}) == [], "it is over"
    if found:
        assert found[0].sentence == "Callbacks do not come: 5 of the last 9 verdicts had to be asked for"


def test_events_that_nobody_took_are_a_warning() -> None:
    [finding] = look({3: {"events:dropped": 1}})
    assert finding.sentence == "1 event was dropped in the last 24 hours: your receiver did not take it"
    assert not finding.is_grave


@pytest.mark.parametrize(
    ("spent", "budget", "is_found"), [(900, 1000, False), (901, 1000, True), (901, None, False), (0, 0, False)]
)
def test_a_budget_that_is_nearly_spent_is_a_warning(spent: float, budget: float | None, is_found: bool) -> None:
    found = look(spent=spent, budget=budget)
    assert [finding.sentence for finding in found] == (
        ["The day's budget is nearly spent: 901 of 1,000 credits"] if is_found else []
    )


def test_every_finding_says_what_to_do() -> None:
    hour = {"ended:lost": 1, "events:dropped": 1, "callbacks_missing": 9, "verdicts:succeeded:poll": 9}
    found = look({0: hour}, spent=10, budget=10, lost=1)
    assert len(found) == 4
    assert all(finding.advice for finding in found)
    assert [finding.is_grave for finding in found] == [True, False, False, False], "the worst first"
