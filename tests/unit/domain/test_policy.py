"""The rules for waiting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.policy import INVISIBLE, Policy
from app.domain.work import Kind

POLICY = Policy()
ages = st.floats(0, 1e7)


@given(ages)
def test_polls_stay_within_the_intervals_bounds(age: float) -> None:
    assert 30 <= POLICY.poll_pause(age, expected=False) <= 300


@given(ages, ages)
def test_polls_never_come_more_often_with_age(one: float, two: float) -> None:
    younger, older = sorted((one, two))
    assert POLICY.poll_pause(younger, expected=False) <= POLICY.poll_pause(older, expected=False)


@pytest.mark.parametrize(("age", "pause"), [(0, 30), (300, 30), (600, 60), (3000, 300), (86400, 300)])
def test_a_poll_waits_for_a_tenth_of_the_age(age: float, pause: float) -> None:
    assert POLICY.poll_pause(age, expected=False) == pause


@pytest.mark.parametrize(
    ("age", "pause"), [(0, 1), (1, 1), (10, 5), (60, 30), (89.9, 30), (INVISIBLE, 30), (3000, 300)]
)
def test_an_answer_that_is_expected_is_asked_for_soon(age: float, pause: float) -> None:
    assert POLICY.poll_pause(age, expected=True) == pause


def test_an_expected_answer_is_never_asked_for_more_rarely_than_the_interval() -> None:
    assert Policy(poll_interval=0.5, poll_interval_max=2).poll_pause(0, expected=True) == 0.5


def test_a_4k_is_asked_about_after_ten_times_as_long_as_a_1080p() -> None:
    assert (POLICY.upgrade_pause(Kind.UHD), POLICY.upgrade_pause(Kind.HD)) == (600, 60)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_retry_waits_anywhere_between_nothing_and_the_ceiling(attempts: int, chance: float) -> None:
    ceiling = min(600.0, 2.0 * 2.0 ** min(attempts - 1, 100))
    assert 0 <= POLICY.retry_pause(attempts, chance) < ceiling


@pytest.mark.parametrize(("attempts", "ceiling"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 512), (10, 600), (1000, 600)])
def test_the_ceiling_doubles_with_each_attempt_up_to_the_maximum(attempts: int, ceiling: float) -> None:
    assert POLICY.retry_pause(attempts, 0.5) == ceiling / 2


def test_a_retry_may_come_at_once() -> None:
    assert POLICY.retry_pause(20, 0.0) == 0.0


@pytest.mark.parametrize(("retry_max", "after"), [(600, 3600), (5, 30)])
def test_a_link_must_be_dead_for_six_of_the_longest_pauses(retry_max: float, after: float) -> None:
    assert Policy(retry_max=retry_max).dead_after == after


def test_the_defaults_spend_no_money() -> None:
    assert POLICY.upgrades == ()
