"""The rules for waiting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.policy import INVISIBLE, PRICES, Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request
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


@pytest.mark.parametrize(
    ("policy", "hd", "uhd"),
    [
        (POLICY, 30, 30),
        (Policy(poll_interval=1), 1, 30),
        (Policy(poll_interval=60), 60, 60),
        (Policy(poll_interval=1, upgrade_poll_after=10), 1, 1),
    ],
)
def test_an_order_of_a_4k_is_repeated_as_rarely_as_the_vendor_wants_it(policy: Policy, hd: float, uhd: float) -> None:
    assert (policy.repeat_pause(Kind.HD), policy.repeat_pause(Kind.UHD)) == (hd, uhd)


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


def _generate(**fields: object) -> Request:
    return GenerateRequest.model_validate({"prompt": "a cat", **fields})


def _extend(model: str) -> Request:
    return ExtendRequest.model_validate({"taskId": "t1", "prompt": "it goes on", "model": model})


@pytest.mark.parametrize(
    ("request_", "price"),
    [
        (_generate(), 60),
        (_generate(model="veo3"), 250),
        (_generate(model="veo3_lite"), 30),
        (_generate(resolution="720p"), 60),
        (_generate(resolution="1080p"), 65),
        (_generate(resolution="4k"), 180),
        (_generate(model="veo3", resolution="4k"), 370),
        (_extend("fast"), 60),
        (_extend("quality"), 250),
        (_extend("lite"), 30),
    ],
)
def test_a_request_is_reckoned_to_cost_what_its_model_and_size_do(request_: Request, price: float) -> None:
    assert POLICY.price_of(request_) == price


def test_upgrades_are_reckoned_to_cost_what_is_known_of_the_vendors_prices() -> None:
    assert {kind: POLICY.price(kind) for kind in (Kind.HD, Kind.UHD)} == {Kind.HD: 5, Kind.UHD: 120}


def test_a_price_that_is_set_is_taken_for_everything_that_has_it() -> None:
    policy = Policy(prices={"veo3_fast": 1.5, "4k": 0.0})
    assert (policy.price(Kind.UHD), policy.price(Kind.HD)) == (0.0, PRICES["1080p"])
    assert policy.price_of(_generate(resolution="4k")) == 1.5
    assert (policy.price_of(_extend("fast")), policy.price_of(_extend("quality"))) == (1.5, PRICES["veo3"])


@pytest.mark.parametrize(("rate", "window"), [((20, 10.0), 10.3), ((5, 2.0), 2.06)])
def test_orders_keep_to_a_window_a_little_longer_than_the_vendors(rate: tuple[int, float], window: float) -> None:
    assert Policy(provider_rate=rate).order_window == pytest.approx(window)
