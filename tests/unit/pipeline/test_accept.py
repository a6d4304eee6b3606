"""Taking on a generation or an extension: once for each key, within the budgets, and only what can be."""

import re
from collections.abc import Callable, Mapping

import pytest

from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.states import State
from app.domain.submission import Submission, fingerprint
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind
from app.pipeline import budget
from app.pipeline.submit import Acceptance, Accepted, accept, submission_id
from tests.unit.pipeline.fakes import MemoryLedger

CAT = GenerateRequest(prompt="a cat")
LONGER = ExtendRequest(taskId="t1", prompt="it goes on")
KEY = "order 66"


@pytest.fixture
def empty() -> MemoryLedger:
    """A ledger that knows nothing."""
    return MemoryLedger()


def _accept(ledger: MemoryLedger, policy: Policy, request: Request = CAT, key: str = KEY, **wishes: object) -> Accepted:
    upgrades, labels = wishes.get("upgrades", []), wishes.get("labels", {})
    return accept(request, upgrades, labels, key, ledger, policy)  # type: ignore[arg-type]


def _known(ledger: MemoryLedger) -> Submission:
    assert ledger.submission is not None
    return ledger.submission


# --- new and repeated --------------------------------------------------------------------------------------------------


def test_a_wish_is_recorded_whole_and_due_at_once(empty: MemoryLedger, policy: Policy) -> None:
    answer = _accept(empty, policy, upgrades=[Kind.UHD, Kind.HD, Kind.UHD], labels={"a": "b"})
    known = _known(empty)
    assert (answer.outcome, answer.submission, answer.reason) == (Acceptance.ACCEPTED, known, "")
    assert (known.tracked_at, known.began, known.work.at) == (1000.0, None, 1000.0)
    assert (known.request, known.upgrades, known.labels) == (CAT, [Kind.UHD, Kind.HD], {"a": "b"})
    assert known.fingerprint == fingerprint(CAT, [Kind.UHD, Kind.HD, Kind.UHD], {"a": "b"})
    assert (known.state, known.to_be_sent, known.price) == (State.WAITING, True, 60.0)


def test_its_price_is_reserved_under_its_id(empty: MemoryLedger) -> None:
    policy = Policy(credits_per_day=500.0, upgrade_credits_per_day=120.0, prices={"veo3_fast": 42.0})
    _accept(empty, policy)
    limits = {"total": 500.0, "upgrade": 120.0}
    assert empty.reserved == [(f"submit/{_known(empty).id}", 42.0, limits)]
    assert _known(empty).price == 42.0


def test_the_id_is_ours_and_the_token_is_its_secret(empty: MemoryLedger, policy: Policy) -> None:
    _accept(empty, policy)
    known = _known(empty)
    assert re.fullmatch(r"sub_[0-9a-f]{32}", known.id)
    assert empty.tokens == {known.token: known.id}
    assert len(known.token) >= 32
    assert known.token not in known.id


def test_the_same_key_names_the_same_submission_and_no_other_does(policy: Policy) -> None:
    ids, tokens = [], set()
    for key in (KEY, KEY, "order 67", "ключ"):
        ledger = MemoryLedger()
        _accept(ledger, policy, key=key)
        ids.append(_known(ledger).id)
        tokens.add(_known(ledger).token)
        assert ids[-1] == submission_id(key)
    assert ids[0] == ids[1]
    assert (len(set(ids)), len(tokens)) == (3, 4)


def test_the_same_wish_under_the_same_key_changes_and_costs_nothing(empty: MemoryLedger, policy: Policy) -> None:
    _accept(empty, policy)
    before, tokens = _known(empty).model_copy(deep=True), dict(empty.tokens)
    empty.now, empty.reserved = 5000.0, []
    answer = _accept(empty, policy)
    assert (answer.outcome, answer.submission) == (Acceptance.REPEATED, before)
    assert (_known(empty), empty.tokens, empty.reserved) == (before, tokens, [])


@pytest.mark.parametrize("wishes", [{"upgrades": [Kind.UHD]}, {"labels": {"a": "b"}}, {"request": LONGER}])
def test_another_wish_under_the_same_key_is_refused(
    empty: MemoryLedger, policy: Policy, wishes: Mapping[str, object]
) -> None:
    _accept(empty, policy)
    before, empty.reserved = _known(empty).model_copy(deep=True), []
    answer = _accept(empty, policy, **wishes)  # type: ignore[arg-type]
    assert (answer.outcome, answer.submission) == (Acceptance.OTHER_BODY, before)
    assert (
        answer.reason == f"something else was asked for under this Idempotency-Key (see {before.id}): use another key"
    )
    assert (_known(empty), empty.reserved) == (before, [])


def test_a_key_is_known_again_whatever_has_become_of_budget_and_parent(succeeded: MemoryLedger) -> None:
    assert _accept(succeeded, Policy(), LONGER).outcome is Acceptance.ACCEPTED
    succeeded.over_budget, succeeded.generation = 86_400.0, None
    assert _accept(succeeded, Policy(credits_per_generation=0.0), LONGER).outcome is Acceptance.REPEATED


@pytest.mark.parametrize(
    ("rival", "outcome"), [(CAT, Acceptance.REPEATED), (GenerateRequest(prompt="a dog"), Acceptance.OTHER_BODY)]
)
def test_two_wishes_under_one_key_at_the_same_time_are_one_submission(
    policy: Policy, rival: Request, outcome: Acceptance
) -> None:
    class Raced(MemoryLedger):
        def reserve(self, name: str, credits: float, limits: Mapping[str, float]) -> float | None:
            if self.submission is None and not self.reserved:
                super().reserve(name, credits, limits)
                assert _accept(self, policy, rival).outcome is Acceptance.ACCEPTED
            return super().reserve(name, credits, limits)

    ledger = Raced()
    answer = _accept(ledger, policy)
    assert (answer.outcome, answer.submission) == (outcome, ledger.submission)
    assert (_known(ledger).request, len(ledger.tokens)) == (rival, 1)
    assert len({name for name, _, _ in ledger.reserved}) == 1


# --- budgets -----------------------------------------------------------------------------------------------------------


def test_what_the_day_does_not_allow_is_not_recorded(empty: MemoryLedger, policy: Policy) -> None:
    empty.over_budget = 86_400.0
    answer = _accept(empty, policy)
    assert (answer.outcome, answer.submission) == (Acceptance.OVER_BUDGET, None)
    assert answer.reason == budget.OVER_BUDGET
    assert (empty.submission, empty.tokens) == (None, {})


@pytest.mark.parametrize(("limit", "outcome"), [(60.0, Acceptance.ACCEPTED), (59.9, Acceptance.OVER_BUDGET)])
def test_one_generation_may_cost_so_much(empty: MemoryLedger, limit: float, outcome: Acceptance) -> None:
    answer = _accept(empty, Policy(credits_per_generation=limit))
    assert answer.outcome is outcome
    if outcome is Acceptance.OVER_BUDGET:
        assert answer.reason == ("it is reckoned to cost 60 credits, REELKEEP_CREDITS_PER_GENERATION allows 59.9")
        assert (empty.submission, empty.reserved, empty.tokens) == (None, [], {})


def test_a_larger_size_counts_towards_the_budget_of_one_generation(empty: MemoryLedger) -> None:
    large = GenerateRequest(prompt="a cat", resolution="4k")
    assert _accept(empty, Policy(credits_per_generation=179.0), large).outcome is Acceptance.OVER_BUDGET
    assert _accept(empty, Policy(credits_per_generation=180.0), large).outcome is Acceptance.ACCEPTED


# --- extensions --------------------------------------------------------------------------------------------------------


def test_a_generation_that_succeeded_can_be_extended(succeeded: MemoryLedger, policy: Policy) -> None:
    answer = _accept(succeeded, policy, LONGER)
    assert answer.outcome is Acceptance.ACCEPTED
    assert (_known(succeeded).parent, _known(succeeded).price) == ("t1", 60.0)
    assert [credits for _, credits, _ in succeeded.reserved] == [60.0]


def test_the_budget_of_one_generation_holds_for_an_extension_too(succeeded: MemoryLedger) -> None:
    answer = _accept(succeeded, Policy(credits_per_generation=59.0), LONGER)
    assert (answer.outcome, succeeded.submission) == (Acceptance.OVER_BUDGET, None)


def test_what_is_not_known_here_cannot_be_extended(succeeded: MemoryLedger, policy: Policy) -> None:
    answer = _accept(succeeded, policy, ExtendRequest(taskId="t2", prompt="it goes on"))
    assert (answer.outcome, answer.submission) == (Acceptance.UNKNOWN, None)
    assert (succeeded.submission, succeeded.reserved) == (None, [])


def _fail(generation: Generation, policy: Policy) -> None:
    generation.hear(Verdict(Progress.FAILED, 500, "broken"), "poll", 1000.0)


def _lose(generation: Generation, policy: Policy) -> None:
    generation.await_verdict(1000.0 + policy.give_up_after, policy)


def _upgrade(generation: Generation, policy: Policy) -> None:
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4",))), "poll", 1000.0)
    generation.want_upgrade(Kind.HD, 0, 1000.0)


Happening = Callable[[Generation, Policy], None]
HAS_1080P = "its 1080p was made or is wanted, and the vendor extends no generation whose 1080p was made"


@pytest.mark.parametrize(
    ("happen", "reason"),
    [
        (lambda generation, policy: None, "it has no verdict yet"),
        (_fail, "it is failed"),
        (_lose, "it is lost"),
        (_upgrade, HAS_1080P),
    ],
    ids=["waiting", "failed", "lost", "1080p"],
)
def test_what_cannot_be_extended_is_refused_by_name(
    ledger: MemoryLedger, policy: Policy, happen: Happening, reason: str
) -> None:
    assert ledger.generation is not None
    happen(ledger.generation, policy)
    answer = _accept(ledger, policy, LONGER)
    assert (answer.outcome, answer.reason) == (Acceptance.IMPOSSIBLE, f"generation t1: {reason}")
    assert (ledger.submission, ledger.reserved, ledger.tokens) == (None, [], {})


def test_a_1080p_that_came_to_be_unavailable_stands_in_no_extensions_way(
    succeeded: MemoryLedger, policy: Policy
) -> None:
    generation = succeeded.generation
    assert generation is not None
    generation.want_upgrade(Kind.HD, 0, 1000.0)
    generation.claim_upgrade(Kind.HD, 0, 1000.0, policy, "secret")
    gone = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old")
    generation.hear_order(generation.renditions[1], gone, 1001.0, policy)
    assert _accept(succeeded, policy, LONGER).outcome is Acceptance.ACCEPTED
