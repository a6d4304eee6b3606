"""What a generation and its upgrades are reckoned to have cost, what is known to have been paid, and which orders may go out."""

from dataclasses import replace

import pytest

from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.requests import GenerateRequest
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind

OWN_ID = "sub_0123456789abcdef0123456789abcdef"
FORTNIGHT = 1209600.0
ORDERED = OrderAnswer(OrderProgress.ORDERED, 200, "success")
NOT_YET = OrderAnswer(OrderProgress.NOT_YET, 429, "too often")
UNCERTAIN = OrderAnswer(OrderProgress.UNCERTAIN, msg="ReadTimeout")
READY = OrderAnswer(OrderProgress.READY, 422, "made", Urls(result=("https://x/4k.mp4",)), credits=118.5)
GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "too old")


@pytest.fixture
def submitted(mirroring: Generation) -> Generation:
    """Submitted here for 60 credits, succeeded with one result."""
    submission = Submission(
        id=OWN_ID,
        tracked_at=900.0,
        request=GenerateRequest(prompt="a cat"),
        fingerprint="f",
        token="secret",
        price=60.0,
    )
    assert mirroring.adopt(submission, 1000.0)
    return mirroring


@pytest.fixture
def upgrade(mirroring: Generation) -> Rendition:
    """A 4K that is wanted and not yet ordered."""
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    found = mirroring.find(Kind.UHD, 0)
    assert found is not None
    return found


def _order(generation: Generation, upgrade: Rendition, now: float, policy: Policy, *answers: OrderAnswer) -> Order:
    """Send the order, and hear the answers."""
    claim = generation.claim_upgrade(upgrade.kind, upgrade.index, now, policy, "secret")
    assert claim is not None
    assert generation.may_send_order(upgrade, claim.fence, now, policy)
    for answer in answers:
        generation.hear_order(upgrade, answer, now, policy)
    assert upgrade.order is not None
    return upgrade.order


# --- cost and bills ----------------------------------------------------------------------------------------------------


def test_what_was_tracked_has_cost_nothing_that_is_known(mirroring: Generation) -> None:
    assert (mirroring.cost, mirroring.bills()) == (0.0, {})


def test_what_was_submitted_costs_its_price_until_the_vendor_says_what_it_took(submitted: Generation) -> None:
    assert (submitted.cost, submitted.bills()) == (60.0, {})
    submitted.hear_credits(55.5, 1100.0)
    assert (submitted.cost, submitted.bills()) == (55.5, {f"submit/{OWN_ID}": 55.5})
    submitted.hear_credits(0.0, 1200.0)
    assert (submitted.cost, submitted.bills()) == (0.0, {f"submit/{OWN_ID}": 0.0})


def test_what_the_vendor_took_for_something_tracked_is_a_cost_and_no_bill_of_ours(mirroring: Generation) -> None:
    mirroring.hear_credits(55.5, 1100.0)
    assert (mirroring.cost, mirroring.bills()) == (55.5, {})


def test_credits_that_are_news_are_a_change(waiting: Generation) -> None:
    waiting.hear_credits(None, 1000.0)
    assert (waiting.credits, waiting.changes) == (None, 0)
    for credits, changes in ((60.0, 1), (60.0, 1), (None, 1), (61.0, 2)):
        waiting.hear_credits(credits, 1000.0)
        assert waiting.changes == changes
    assert waiting.credits == 61.0


@pytest.mark.parametrize("progress", Progress)
def test_credits_are_heard_with_any_verdict(waiting: Generation, progress: Progress) -> None:
    waiting.hear(Verdict(progress, 200, credits=60.5), "poll", 1100.0)
    assert waiting.credits == 60.5


def test_an_upgrade_costs_once_it_is_ordered(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    assert (mirroring.cost, mirroring.bills()) == (0.0, {})
    order = _order(mirroring, upgrade, 1000.0, policy, ORDERED)
    assert (order.price, order.cost, mirroring.cost, mirroring.bills()) == (120.0, 120.0, 120.0, {})


def test_an_order_keeps_the_price_that_it_was_made_at(mirroring: Generation, upgrade: Rendition) -> None:
    order = _order(mirroring, upgrade, 1000.0, Policy(prices={"4k": 99.0}), ORDERED)
    assert (order.price, mirroring.cost) == (99.0, 99.0)


def test_what_the_vendor_took_for_an_upgrade_is_its_bill(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy, READY)
    assert (order.credits, mirroring.cost, mirroring.bills()) == (118.5, 118.5, {"upgrade/t1/4k/0#1": 118.5})


def test_what_the_vendor_took_stays_known(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    cheap = OrderAnswer(OrderProgress.ORDERED, 200, credits=7.5)
    order = _order(mirroring, upgrade, 1000.0, policy, cheap, ORDERED)
    assert (order.credits, mirroring.bills()) == (7.5, {"upgrade/t1/4k/0#1": 7.5})


@pytest.mark.parametrize("progress", [OrderProgress.ORDERED, OrderProgress.UNCERTAIN, OrderProgress.NOT_YET])
def test_that_nothing_was_taken_yet_for_an_upgrade_under_way_frees_no_budget(
    mirroring: Generation, upgrade: Rendition, policy: Policy, progress: OrderProgress
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy, OrderAnswer(progress, 200, credits=0.0))
    assert (order.credits, mirroring.cost, mirroring.bills()) == (None, 120.0, {})


@pytest.mark.parametrize("answer", [replace(READY, credits=0.0), replace(GONE, credits=0.0)])
def test_an_upgrade_that_was_free_in_the_end_frees_its_budget(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answer: OrderAnswer
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, ORDERED, answer)
    assert (mirroring.cost, mirroring.bills()) == (0.0, {"upgrade/t1/4k/0#1": 0.0})


@pytest.mark.parametrize("progress", Progress)
def test_that_nothing_was_taken_counts_once_there_is_a_verdict(submitted: Generation, progress: Progress) -> None:
    submitted.verdict = Progress.GENERATING
    submitted.hear(Verdict(progress, 200, credits=0.0), "poll", 1100.0)
    ended = progress in (Progress.SUCCEEDED, Progress.FAILED)
    assert (submitted.cost, submitted.bills()) == ((0.0, {f"submit/{OWN_ID}": 0.0}) if ended else (60.0, {}))


def test_an_upgrade_that_the_vendor_refused_costs_nothing(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, GONE)
    assert (upgrade.refused, upgrade.taken) == (True, 0)
    assert (mirroring.cost, mirroring.bills()) == (0.0, {"upgrade/t1/4k/0#1": 0.0})


def test_an_upgrade_that_was_taken_and_never_came_has_its_price(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, ORDERED, GONE)
    assert (upgrade.state, upgrade.refused, upgrade.taken) == (RenditionState.UNAVAILABLE, False, 1)
    assert (mirroring.cost, mirroring.bills()) == (120.0, {})


def test_an_order_that_went_unanswered_may_have_been_paid_for_whatever_is_said_later(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy)
    assert (order.taken, order.arrived, mirroring.cost, mirroring.bills()) == (False, True, 120.0, {})
    assert _sends_again(mirroring, upgrade, 2000.0, policy, repeats=True)
    mirroring.hear_order(upgrade, GONE, 2001.0, policy)
    assert (upgrade.refused, upgrade.taken, mirroring.cost, mirroring.bills()) == (False, 1, 120.0, {})


@pytest.mark.parametrize("answer", [GONE, NOT_YET, OrderAnswer(OrderProgress.UNAVAILABLE, msg="it broke")])
def test_what_has_an_id_of_its_own_was_bought_even_if_its_answer_was_lost_and_it_failed(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answer: OrderAnswer
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy)
    mirroring.name_order(upgrade, "a1")
    mirroring.hear_order(upgrade, answer, 1100.0, policy)
    assert (order.taken, order.confirmed) == (True, False)
    assert (mirroring.cost, mirroring.bills()) == (120.0, {})


def test_what_a_callback_reports_as_failed_was_bought(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1050.0, policy)
    mirroring.hear_order(upgrade, GONE, 1100.0, policy)
    assert (upgrade.state, order.taken, order.confirmed) == (RenditionState.UNAVAILABLE, True, False)
    assert (mirroring.cost, mirroring.bills()) == (120.0, {})


def test_what_was_never_sent_is_not_what_a_callback_reports(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    mirroring.claim_upgrade(upgrade.kind, upgrade.index, 1000.0, policy, "secret")
    mirroring.expect_upgrade(upgrade, "it broke", 1050.0, policy)
    mirroring.hear_order(upgrade, GONE, 1100.0, policy)
    assert (upgrade.refused, mirroring.cost) == (True, 0.0)


@pytest.mark.parametrize(
    ("answers", "taken", "confirmed"),
    [
        ([ORDERED], True, True),
        ([READY], True, True),
        ([UNCERTAIN], True, False),
        ([NOT_YET], False, False),
        ([GONE], False, False),
        ([UNCERTAIN, NOT_YET], True, False),
        ([ORDERED, NOT_YET], True, True),
    ],
)
def test_an_order_is_confirmed_by_the_vendors_word_alone(
    mirroring: Generation,
    upgrade: Rendition,
    policy: Policy,
    answers: list[OrderAnswer],
    taken: bool,
    confirmed: bool,
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy, *answers)
    assert (order.taken, order.confirmed) == (taken, confirmed)


@pytest.mark.parametrize("answers", [[], [ORDERED], [UNCERTAIN], [OrderAnswer(OrderProgress.NOT_YET, credits=1.0)]])
def test_a_manifest_tells_of_each_order(mirroring: Generation, policy: Policy, answers: list[OrderAnswer]) -> None:
    media = Media("video/mp4", "mp4", 1280, 720, 8.0)
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    mirroring.store(mirroring.renditions[0], "key", 5, "ab" * 32, media, 1000.0)
    upgrade = mirroring.renditions[1]
    claim = mirroring.claim_upgrade(Kind.UHD, 0, 1001.0, policy, "secret")
    assert (claim is not None, mirroring.manifest.at) == (True, 1001.0)
    mirroring.may_send_order(upgrade, 1, 1001.0, policy)
    mirroring.manifest.put_back(None)
    for answer in answers:
        mirroring.hear_order(upgrade, answer, 1002.0, policy)
    assert mirroring.manifest.at == (1002.0 if answers else None)
    mirroring.manifest.put_back(None)
    for answer in answers:
        upgrade.work.put_back(1003.0)
        mirroring.hear_order(upgrade, answer, 1003.0, policy)
    assert mirroring.manifest.at is None, "nothing new was said"


def test_an_upgrade_that_was_never_ordered_costs_nothing(mirroring: Generation) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1000.0)
    assert (mirroring.cost, mirroring.renditions[1].refused) == (0.0, False)


def test_what_was_reserved_for_an_order_that_the_generations_budget_forbids_is_given_back(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    lean = Policy(credits_per_generation=119.5)
    assert mirroring.bills() == {}
    assert mirroring.claim_upgrade(upgrade.kind, upgrade.index, 1000.0, lean, "secret") is None
    assert (upgrade.state, mirroring.bills()) == (RenditionState.UNAVAILABLE, {"upgrade/t1/4k/0#1": 0.0})
    mirroring.want_upgrade(Kind.UHD, 0, 1001.0)
    assert mirroring.bills() == {}, "it is reserved for anew"
    _order(mirroring, upgrade, 1002.0, policy, ORDERED, GONE)
    mirroring.want_upgrade(Kind.UHD, 0, 2000.0)
    assert mirroring.claim_upgrade(upgrade.kind, upgrade.index, 2000.0, lean, "other") is None
    assert (mirroring.cost, mirroring.bills()) == (120.0, {"upgrade/t1/4k/0#2": 0.0})


def test_orders_are_counted_and_paid_for_one_by_one(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    """Taken with a bill, refused, taken without a bill, ready: three were taken, and each has its account."""
    paid = OrderAnswer(OrderProgress.ORDERED, 200, credits=100.0)
    steps = [
        ([paid, GONE], 100.0, 1, {"upgrade/t1/4k/0#1": 100.0}),
        ([GONE], 100.0, 1, {"upgrade/t1/4k/0#2": 0.0}),
        ([ORDERED, GONE], 220.0, 2, {}),
        ([READY], 338.5, 3, {"upgrade/t1/4k/0#4": 118.5}),
    ]
    for number, (answers, cost, taken, bills) in enumerate(steps, 1):
        now = 1000.0 * number
        mirroring.want_upgrade(Kind.UHD, 0, now)
        order = _order(mirroring, upgrade, now, policy, *answers)
        assert (upgrade.orders, order.asked_at, upgrade.last_asked) == (number, now, now - 1000.0 if number > 1 else 0)
        assert (mirroring.cost, upgrade.taken, mirroring.bills()) == (cost, taken, bills)
    assert (upgrade.former, upgrade.former_cost) == (2, 220.0)


def test_while_a_new_order_is_not_claimed_the_former_ones_count(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, ORDERED, GONE)
    mirroring.want_upgrade(Kind.UHD, 0, 2000.0)
    assert (upgrade.order, upgrade.taken, upgrade.cost, upgrade.orders) == (None, 1, 120.0, 1)
    assert mirroring.bills() == {}


# --- the budget of one generation --------------------------------------------------------------------------------------


def _excess(spent: float, more: float, limit: float) -> str:
    return f"over REELKEEP_CREDITS_PER_GENERATION: {spent:g} spent or planned, {more:g} more exceed {limit:g}"


@pytest.mark.parametrize(
    ("limit", "said"), [(None, ""), (180.0, ""), (179.5, _excess(60, 120, 179.5)), (0.0, _excess(60, 120, 0))]
)
def test_no_more_is_spent_on_one_generation_than_is_set(submitted: Generation, limit: float | None, said: str) -> None:
    assert submitted.over_budget(Kind.UHD, Policy(credits_per_generation=limit)) == said


def test_an_upgrade_is_held_against_it_at_its_own_price(submitted: Generation) -> None:
    policy = Policy(credits_per_generation=100.0, prices={"1080p": 41.0, "4k": 40.0})
    assert submitted.over_budget(Kind.UHD, policy) == ""
    assert submitted.over_budget(Kind.HD, policy) == _excess(60, 41, 100)


def test_what_is_wanted_and_not_ordered_counts_where_more_is_planned(submitted: Generation) -> None:
    policy = Policy(credits_per_generation=184.0)
    submitted.want_upgrade(Kind.UHD, 0, 1000.0)
    assert submitted.over_budget(Kind.HD, policy, planned=True) == _excess(180, 5, 184)
    assert submitted.over_budget(Kind.HD, policy) == ""
    _order(submitted, submitted.renditions[1], 1000.0, policy, ORDERED)
    assert submitted.over_budget(Kind.HD, policy, planned=True) == _excess(180, 5, 184)


def test_what_is_not_to_be_ordered_any_more_is_not_planned(submitted: Generation) -> None:
    policy = Policy(credits_per_generation=184.0)
    submitted.deny_upgrade(Kind.UHD, 0, "nobody asked", 1000.0)
    assert submitted.over_budget(Kind.HD, policy, planned=True) == ""


def test_an_upgrade_beyond_it_is_not_ordered_and_says_why(submitted: Generation) -> None:
    policy = Policy(credits_per_generation=100.0)
    submitted.want_upgrade(Kind.UHD, 0, 1000.0)
    upgrade = submitted.renditions[1]
    assert submitted.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret") is None
    assert (upgrade.state, upgrade.order, upgrade.orders, upgrade.work.at) == (
        RenditionState.UNAVAILABLE,
        None,
        0,
        None,
    )
    assert upgrade.error == _excess(60, 120, 100)
    assert (submitted.cost, submitted.bills()) == (60.0, {"upgrade/t1/4k/0#1": 0.0})


def test_an_upgrade_within_it_is_ordered_and_another_is_not(submitted: Generation) -> None:
    policy = Policy(credits_per_generation=184.0)
    for kind in (Kind.UHD, Kind.HD):
        submitted.want_upgrade(kind, 0, 1000.0)
    _order(submitted, submitted.renditions[1], 1000.0, policy, ORDERED)
    assert submitted.claim_upgrade(Kind.HD, 0, 1000.0, policy, "other") is None
    assert submitted.renditions[2].error == _excess(180, 5, 184)


def test_what_is_ordered_already_is_asked_about_whatever_the_budget(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, ORDERED)
    assert mirroring.claim_upgrade(Kind.UHD, 0, 1600.0, Policy(credits_per_generation=0.0), "other") is not None


def test_an_upgrade_beyond_it_is_ordered_once_more_is_allowed(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    assert mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, Policy(credits_per_generation=0.0), "secret") is None
    mirroring.want_upgrade(Kind.UHD, 0, 2000.0)
    assert _order(mirroring, upgrade, 2000.0, policy, ORDERED).price == 120.0
    assert upgrade.orders == 1


# --- ids of their own --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task_id", "alias"), [("a1", "a1"), ("t1", ""), (None, ""), ("", "")])
def test_an_order_is_named_by_an_id_of_its_own(
    mirroring: Generation, upgrade: Rendition, policy: Policy, task_id: str | None, alias: str
) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy)
    mirroring.name_order(upgrade, task_id)
    assert order.alias == alias


def test_a_name_that_is_known_is_not_lost(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    order = _order(mirroring, upgrade, 1000.0, policy)
    for task_id in ("a1", None, "t1"):
        mirroring.name_order(upgrade, task_id)
    assert order.alias == "a1"


def test_what_was_not_ordered_is_not_named(mirroring: Generation, upgrade: Rendition) -> None:
    mirroring.name_order(upgrade, "a1")
    assert upgrade.order is None


# --- where a repeated order would buy again ----------------------------------------------------------------------------


def _sends_again(generation: Generation, upgrade: Rendition, now: float, policy: Policy, *, repeats: bool) -> bool:
    upgrade.work.put_back(now)
    claim = generation.claim_upgrade(Kind.UHD, 0, now, policy, "other")
    assert claim is not None
    return generation.may_send_order(upgrade, claim.fence, now, policy, repeats=repeats)


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(
    ("answers", "again"),
    [
        ([], False),
        ([ORDERED], False),
        ([UNCERTAIN], False),
        ([OrderAnswer(OrderProgress.UNCERTAIN, 500)], False),
        ([NOT_YET], True),
        ([NOT_YET, UNCERTAIN], True),
        ([ORDERED, NOT_YET], True),
    ],
    ids=["dead worker", "ordered", "time-out", "code 500", "not yet", "not yet, nothing since", "ordered, not yet"],
)
def test_an_order_goes_out_once_unless_it_was_certainly_not_taken(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answers: list[OrderAnswer], again: bool, repeats: bool
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, *answers)
    assert _sends_again(mirroring, upgrade, 5000.0, policy, repeats=repeats) is (again or repeats)


def test_an_order_that_was_not_taken_twice_goes_out_thrice(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, NOT_YET)
    assert _sends_again(mirroring, upgrade, 2000.0, policy, repeats=False)
    mirroring.hear_order(upgrade, NOT_YET, 2001.0, policy)
    assert _sends_again(mirroring, upgrade, 3000.0, policy, repeats=False)
    mirroring.hear_order(upgrade, UNCERTAIN, 3001.0, policy)
    assert not _sends_again(mirroring, upgrade, 4000.0, policy, repeats=False)
    assert upgrade.order is not None
    assert (upgrade.order.asks, upgrade.order.asked_at, upgrade.orders) == (3, 3000.0, 1)


def test_an_order_that_was_not_taken_keeps_to_the_poll_interval(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, NOT_YET)
    assert not _sends_again(mirroring, upgrade, 1029.0, policy, repeats=False)
    assert upgrade.order is not None
    assert (upgrade.order.asks, upgrade.order.arrived) == (1, False)


def test_a_new_order_of_what_became_unavailable_goes_out(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, ORDERED, GONE)
    mirroring.want_upgrade(Kind.UHD, 0, 2000.0)
    assert _sends_again(mirroring, upgrade, 2000.0, policy, repeats=False)
    assert not _sends_again(mirroring, upgrade, 3000.0, policy, repeats=False)


# --- giving up ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("give_up_after", "end"), [(86400.0, FORTNIGHT), (2 * FORTNIGHT, 2 * FORTNIGHT)])
def test_while_the_vendor_cannot_be_reached_an_order_is_given_up_at_the_end_of_its_links_life(
    mirroring: Generation, upgrade: Rendition, give_up_after: float, end: float
) -> None:
    policy = Policy(give_up_after=give_up_after)
    _order(mirroring, upgrade, 1000.0, policy, ORDERED)
    mirroring.hear_order(upgrade, UNCERTAIN, 1000.0 + end - 1, policy)
    assert (upgrade.state, upgrade.error) == (RenditionState.REQUESTED, "ReadTimeout")
    mirroring.hear_order(upgrade, UNCERTAIN, 1000.0 + end, policy)
    assert (upgrade.state, upgrade.work.at) == (RenditionState.UNAVAILABLE, None)
    assert upgrade.error == f"nothing within {end:.0f} s; last: ReadTimeout"
    assert mirroring.cost == 120.0, "it was taken, and may have been paid for"


def test_an_order_that_was_only_ever_put_off_costs_nothing_in_the_end(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _order(mirroring, upgrade, 1000.0, policy, NOT_YET)
    mirroring.hear_order(upgrade, NOT_YET, 1000.0 + 86400, policy)
    assert (upgrade.state, upgrade.refused, mirroring.cost) == (RenditionState.UNAVAILABLE, True, 0.0)
    assert mirroring.bills() == {"upgrade/t1/4k/0#1": 0.0}
