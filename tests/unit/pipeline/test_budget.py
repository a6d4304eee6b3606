"""Money and pace: what is reserved under which name, and what is settled."""

import pytest

from app.domain.ledger import Limit
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.submission import Submission
from app.domain.work import Item, Kind, Step
from app.pipeline import budget
from tests.unit.pipeline.fakes import MemoryLedger

OWN_ID = "sub_0123456789abcdef0123456789abcdef"
UPGRADE = Item(Step.UPGRADE, "t1", Kind.UHD, 1)


@pytest.fixture
def submission() -> Submission:
    return Submission(
        id=OWN_ID,
        tracked_at=1.0,
        request=GenerateRequest(prompt="a cat"),
        fingerprint="f",
        token="secret",
        price=42.0,
    )


LIMITS = [
    ({}, {}),
    ({"credits_per_day": 500.0}, {"total": 500.0}),
    ({"upgrade_credits_per_day": 240.0}, {"upgrade": 240.0}),
    ({"credits_per_day": 0.0, "upgrade_credits_per_day": 0.0}, {"total": 0.0, "upgrade": 0.0}),
    ({"credits_per_generation": 10.0}, {}),
]


@pytest.mark.parametrize(("settings", "limits"), LIMITS)
def test_an_upgrade_is_reserved_for_under_its_orders_name(settings: dict[str, float], limits: dict[str, float]) -> None:
    ledger, policy = MemoryLedger(), Policy(prices={"4k": 99.0}, **settings)  # type: ignore[arg-type]
    assert budget.reserve_upgrade(UPGRADE, 3, ledger, policy) is None
    assert ledger.reserved == [("upgrade/t1/4k/1#3", 99.0, limits)]


@pytest.mark.parametrize(("settings", "limits"), LIMITS)
def test_a_submission_is_reserved_for_under_its_id_at_its_price(
    submission: Submission, settings: dict[str, float], limits: dict[str, float]
) -> None:
    ledger = MemoryLedger()
    assert budget.reserve_submission(submission, ledger, Policy(**settings)) is None  # type: ignore[arg-type]
    assert ledger.reserved == [(f"submit/{OWN_ID}", 42.0, limits)]


def test_over_budget_says_when_the_next_day_begins(submission: Submission, policy: Policy) -> None:
    ledger = MemoryLedger(over_budget=86_400.0)
    assert budget.reserve_submission(submission, ledger, policy) == 86_400.0
    assert budget.reserve_upgrade(UPGRADE, 1, ledger, policy) == 86_400.0


def test_orders_and_questions_have_limits_of_their_own() -> None:
    policy = Policy(provider_rate=(5, 2.0), poll_rate=(7, 3.0))
    assert budget.orders(policy) == Limit("orders", 5, 2.06)
    assert budget.polls(policy) == Limit("polls", 7, 3.0)


@pytest.mark.parametrize(("asked", "paused"), [(False, ["orders"]), (True, ["orders", "polls"])])
def test_a_rate_limit_pauses_all_orders_and_questions_only_if_it_met_one(
    policy: Policy, asked: bool, paused: list[str]
) -> None:
    ledger = MemoryLedger()
    budget.pause_account(12.5, ledger, policy, asked=asked)
    assert ledger.pauses == [(name, 12.5) for name in paused]
