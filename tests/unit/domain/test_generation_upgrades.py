"""Upgrades: wanted, ordered once, asked about, and received or ended by name."""

from dataclasses import replace

import pytest

from app.domain.generation import DENIALS, SAID_OTHERWISE, Generation
from app.domain.policy import Policy
from app.domain.rendition import OrderClaim, Rendition, RenditionState
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind

ORDERED = OrderAnswer(OrderProgress.ORDERED, 200, "success")
NAMED = OrderAnswer(OrderProgress.ORDERED, 200, "success", task_id="alias1")
NOT_YET = OrderAnswer(OrderProgress.NOT_YET, 429, "too often")
UNCERTAIN = OrderAnswer(OrderProgress.UNCERTAIN, msg="timed out")
READY = OrderAnswer(
    OrderProgress.READY, 422, "made", Urls(result=("https://x/4k.mp4",), image=("https://x/4k.jpg",)), "alias1"
)
GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "Temporarily supports records within 14 days.")
BROKEN = OrderAnswer(OrderProgress.UNCERTAIN, 500, "")


@pytest.fixture
def upgrade(mirroring: Generation) -> Rendition:
    """A 4K that is wanted and not yet ordered."""
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    found = mirroring.find(Kind.UHD, 0)
    assert found is not None
    return found


def _claim(generation: Generation, now: float, policy: Policy, token: str = "secret") -> OrderClaim:
    claim = generation.claim_upgrade(Kind.UHD, 0, now, policy, token)
    assert claim is not None
    return claim


def _send(generation: Generation, now: float, policy: Policy) -> OrderClaim:
    """Claim the 4K and send the ordering request."""
    claim = _claim(generation, now, policy)
    upgrade = generation.find(Kind.UHD, 0)
    assert upgrade is not None
    assert generation.may_send_order(upgrade, claim.fence, now, policy)
    return claim


def _end(generation: Generation, upgrade: Rendition, policy: Policy, *answers: OrderAnswer) -> None:
    """Order the 4K, hear the answers, and then that it will never be."""
    _send(generation, 1000.0, policy)
    for answer in (*answers, GONE):
        generation.hear_order(upgrade, answer, 1001.0, policy)
    assert upgrade.state is RenditionState.UNAVAILABLE


def test_upgrades_are_wanted_only_after_success(waiting: Generation) -> None:
    waiting.want_upgrades([Kind.UHD], 1000.0)
    assert waiting.renditions == []
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4",))), "poll", 1100.0)
    assert waiting.find(Kind.UHD, 0) is not None


def test_an_upgrade_that_is_wanted_twice_is_wanted_once(mirroring: Generation) -> None:
    mirroring.want_upgrades([Kind.UHD], 1000.0)
    mirroring.want_upgrades([Kind.UHD, Kind.HD], 1100.0)
    assert [r.kind for r in mirroring.renditions] == [Kind.RESULT, Kind.UHD, Kind.HD]
    assert mirroring.upgrades == [Kind.UHD, Kind.HD]


def test_a_policys_upgrades_are_wanted_of_every_generation() -> None:
    generation = Generation.track("t1", 1000.0, Policy(upgrades=(Kind.HD,)))
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4",))), "poll", 1100.0)
    assert [r.kind for r in generation.renditions] == [Kind.RESULT, Kind.HD]


def test_a_video_of_the_fallback_model_has_no_upgrades(waiting: Generation, policy: Policy) -> None:
    waiting.want_upgrades([Kind.UHD], 1000.0)
    verdict = Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4",)), fallback=True)
    waiting.hear(verdict, "poll", 1100.0)
    upgrade = waiting.find(Kind.UHD, 0)
    assert upgrade is not None
    assert (upgrade.state, upgrade.error) == (
        RenditionState.UNAVAILABLE,
        "made by the fallback model: cannot be upgraded",
    )
    assert waiting.claim_upgrade(Kind.UHD, 0, 2000.0, policy, "secret") is None
    assert waiting.retry(2000.0) == 0


def test_the_intention_is_recorded_by_the_claim(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    claim = _claim(mirroring, 1000.0, policy)
    assert upgrade.state is RenditionState.REQUESTED
    assert upgrade.order is not None
    assert (upgrade.order.intended_at, upgrade.order.token, upgrade.orders) == (1000.0, "secret", 1)
    assert (upgrade.order.asked_at, upgrade.order.asks) == (0.0, 0)
    assert claim == OrderClaim(1, 1, "secret", "", sent=False)


def test_only_the_sending_counts_as_asking(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    claim = _claim(mirroring, 1000.0, policy)
    assert mirroring.may_send_order(upgrade, claim.fence, 1007.0, policy)
    assert upgrade.order is not None
    assert (upgrade.order.intended_at, upgrade.order.asked_at, upgrade.order.asks) == (1000.0, 1007.0, 1)
    assert _claim(mirroring, 1070.0, policy).sent


def test_the_sending_prolongs_the_claim(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    claim = _claim(mirroring, 1000.0, policy)
    mirroring.may_send_order(upgrade, claim.fence, 1030.0, policy)
    assert (upgrade.work.at, upgrade.work.holds(claim.fence)) == (1090.0, True)


def test_a_worker_that_lost_its_claim_may_not_send(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    lost, present = _claim(mirroring, 1000.0, policy), _claim(mirroring, 1060.0, policy)
    assert not mirroring.may_send_order(upgrade, lost.fence, 1061.0, policy)
    assert upgrade.order is not None
    assert (upgrade.order.asks, upgrade.work.at) == (0, 1120.0)
    assert mirroring.may_send_order(upgrade, present.fence, 1061.0, policy)


def test_a_worker_that_gave_its_claim_back_may_not_send(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    claim = _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    assert not mirroring.may_send_order(upgrade, claim.fence, 1040.0, policy)
    assert upgrade.work.at == 1601.0


def test_what_was_never_claimed_is_never_sent(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    assert not mirroring.may_send_order(upgrade, 0, 1000.0, policy)


def test_a_second_worker_finds_the_order_taken(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    assert mirroring.claim_upgrade(Kind.UHD, 0, 1001.0, policy, "other") is None


def test_a_later_claim_asks_about_the_same_order(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy, "secret")
    later = _claim(mirroring, 1060.0, policy, "other")
    assert (later.token, later.fence) == ("secret", 2)
    assert upgrade.order is not None
    assert upgrade.order.intended_at == 1000.0


def test_the_vendor_is_never_asked_twice_within_the_poll_interval(mirroring: Generation, upgrade: Rendition) -> None:
    policy = Policy(lease=5, poll_interval=30)
    sent = []
    for now in range(1000, 1200, 5):
        claim = _claim(mirroring, now, policy)
        if mirroring.may_send_order(upgrade, claim.fence, now, policy):
            sent.append(now)
            mirroring.hear_order(upgrade, UNCERTAIN, now, policy)
            upgrade.work.put_back(now)
    assert sent == [1000, 1030, 1060, 1090, 1120, 1150, 1180]
    assert upgrade.order is not None
    assert upgrade.order.asks == 7


def test_what_is_not_wanted_is_not_ordered(mirroring: Generation, policy: Policy) -> None:
    assert mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret") is None
    assert mirroring.find(Kind.UHD, 0) is None


def test_a_result_is_never_ordered(mirroring: Generation, policy: Policy) -> None:
    mirroring.renditions[0].url = ""
    assert mirroring.claim_upgrade(Kind.RESULT, 0, 1000.0, policy, "secret") is None


def test_an_order_that_was_taken_is_asked_about_after_its_usual_time(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    assert (upgrade.work.at, upgrade.work.leased, upgrade.error) == (1601.0, False, "")


def test_an_order_that_is_still_under_way_is_asked_about_at_poll_intervals(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    _send(mirroring, 1601.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1602.0, policy)
    assert upgrade.work.at == pytest.approx(1662.2)


def test_news_that_come_while_a_worker_asks_shorten_the_first_pause(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1000.5, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    assert upgrade.work.at == 1031.0
    assert upgrade.order is not None
    assert not upgrade.order.news


def test_the_first_pause_is_long_only_if_the_order_was_sent(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    assert upgrade.work.at == 1031.0


@pytest.mark.parametrize("answer", [NOT_YET, UNCERTAIN])
def test_an_order_that_was_not_taken_is_asked_about_soon_and_says_why(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answer: OrderAnswer
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, answer, 1001.0, policy)
    assert (upgrade.work.at, upgrade.error, upgrade.state) == (1031.0, answer.msg, RenditionState.REQUESTED)


def test_the_id_that_the_upgrade_runs_under_is_learned(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias1"), 1001.0, policy)
    assert _claim(mirroring, 1601.0, policy).alias == "alias1"


def test_the_parents_own_id_is_no_alias(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.ORDERED, 200, task_id="t1"), 1001.0, policy)
    assert _claim(mirroring, 1601.0, policy).alias == ""


def test_a_file_that_is_ready_is_wanted_with_its_picture(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, READY, 1001.0, policy)
    picture = mirroring.find(Kind.IMAGE, 0)
    assert (upgrade.state, upgrade.url, upgrade.work.at) == (RenditionState.WANTED, "https://x/4k.mp4", 1001.0)
    assert picture is not None
    assert (picture.url, picture.work.at) == ("https://x/4k.jpg", 1001.0)


def test_a_file_that_is_ready_is_not_ordered_again(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, READY, 1001.0, policy)
    assert mirroring.claim_upgrade(Kind.UHD, 0, 5000.0, policy, "other") is None


def test_later_news_about_a_file_that_is_ready_changes_nothing(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, READY, 1001.0, policy)
    before = mirroring.model_copy(deep=True)
    for answer in (GONE, ORDERED, BROKEN, READY):
        mirroring.hear_order(upgrade, answer, 1002.0, policy)
    mirroring.expect_upgrade(upgrade, "unavailable", 1002.0, policy)
    assert mirroring == before


def test_an_upgrade_that_will_never_be_ends_with_the_vendors_words(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, GONE, 1001.0, policy)
    assert (upgrade.state, upgrade.error) == (RenditionState.UNAVAILABLE, GONE.msg)
    assert upgrade.work.at is None


def test_code_500_alone_is_asked_about_again(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, BROKEN, 1001.0, policy)
    assert not upgrade.ended


@pytest.mark.parametrize("code", [500, 501])
def test_code_500_again_and_again_after_a_callback_that_reported_failure_ends_it(
    mirroring: Generation, upgrade: Rendition, policy: Policy, code: int
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1200.0, policy)
    for number in range(DENIALS):
        assert not upgrade.ended
        _send(mirroring, 1200.0 + 40 * number, policy)
        mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.UNCERTAIN, code), 1201.0 + 40 * number, policy)
    assert DENIALS == 3
    assert (upgrade.state, upgrade.error) == (RenditionState.UNAVAILABLE, f"the vendor answered code {code}")


@pytest.mark.parametrize("other", [ORDERED, NOT_YET, UNCERTAIN])
def test_only_denials_in_a_row_count(
    mirroring: Generation, upgrade: Rendition, policy: Policy, other: OrderAnswer
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1010.0, policy)
    for answer in [BROKEN, BROKEN, other] * 5:
        mirroring.hear_order(upgrade, answer, 1020.0, policy)
    assert not upgrade.ended


def test_code_500_without_a_reported_failure_ends_nothing_however_often(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1010.0, policy)
    for _ in range(DENIALS * 3):
        mirroring.hear_order(upgrade, BROKEN, 1020.0, policy)
    assert not upgrade.ended


def test_a_success_takes_a_reported_failure_back(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1010.0, policy)
    mirroring.hear_order(upgrade, BROKEN, 1020.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1030.0, policy)
    for _ in range(DENIALS):
        mirroring.hear_order(upgrade, BROKEN, 1040.0, policy)
    assert not upgrade.ended


def test_what_a_callback_reported_is_noted(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1010.0, policy)
    assert upgrade.order is not None
    assert (upgrade.order.reported, upgrade.order.news) == ("it broke", True)
    mirroring.expect_upgrade(upgrade, "", 1020.0, policy)
    assert (upgrade.order.reported, upgrade.order.news) == ("", True)


@pytest.mark.parametrize("named", [NAMED, replace(UNCERTAIN, task_id="alias1"), replace(NOT_YET, task_id="alias1")])
def test_a_success_after_the_end_has_the_upgrade_asked_about_once_more(
    mirroring: Generation, upgrade: Rendition, policy: Policy, named: OrderAnswer
) -> None:
    _end(mirroring, upgrade, policy, named)
    mirroring.expect_upgrade(upgrade, "", 1002.0, policy)
    assert (upgrade.state, upgrade.error, upgrade.work.at) == (RenditionState.REQUESTED, "", 1002.0)
    assert upgrade.order is not None
    assert (upgrade.order.token, upgrade.orders, upgrade.order.intended_at) == ("secret", 1, 1002.0)
    assert upgrade.order.confirmed, "asking about it is no new order"
    claim = _claim(mirroring, 1002.0, policy, "other")
    assert claim == OrderClaim(2, 1, "secret", "alias1", sent=True, reopened=True)
    mirroring.hear_order(upgrade, READY, 1003.0, policy)
    assert upgrade.url == "https://x/4k.mp4"


def test_a_new_order_keeps_to_the_poll_interval_of_the_one_before(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _end(mirroring, upgrade, policy)
    mirroring.want_upgrade(Kind.UHD, 0, 1005.0)
    claim = _claim(mirroring, 1006.0, policy, "other")
    assert not mirroring.may_send_order(upgrade, claim.fence, 1006.0, policy)
    assert mirroring.may_send_order(upgrade, claim.fence, 1000.0 + policy.poll_interval, policy)


@pytest.mark.parametrize(
    "answers",
    [(), (ORDERED,), (UNCERTAIN,)],
    ids=["refused", "without an id", "never confirmed"],
)
def test_a_success_for_what_only_an_order_could_ask_about_buys_nothing_and_says_so_once(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answers: tuple[OrderAnswer, ...]
) -> None:
    _end(mirroring, upgrade, policy, *answers)
    changes = mirroring.changes
    for now in (2000.0, 3000.0):
        mirroring.expect_upgrade(upgrade, "", now, policy)
    assert (upgrade.state, upgrade.work.at, upgrade.error) == (
        RenditionState.UNAVAILABLE,
        None,
        f"{GONE.msg}{SAID_OTHERWISE}",
    )
    assert mirroring.changes == changes + 1


def test_what_proves_little_is_not_said(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _end(mirroring, upgrade, policy, NAMED)
    before = mirroring.model_copy(deep=True)
    mirroring.expect_upgrade(upgrade, "", 2000.0, policy, revive=False)
    assert mirroring == before


def test_former_denials_do_not_count_after_a_success(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, NAMED, 1001.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1010.0, policy)
    for _ in range(DENIALS):
        mirroring.hear_order(upgrade, BROKEN, 1020.0, policy)
    assert upgrade.ended
    mirroring.expect_upgrade(upgrade, "", 2000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 2001.0, policy)
    for _ in range(DENIALS - 1):
        mirroring.hear_order(upgrade, BROKEN, 2002.0, policy)
    assert not upgrade.ended


def test_a_failure_reported_after_the_end_changes_nothing(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _end(mirroring, upgrade, policy)
    before = mirroring.model_copy(deep=True)
    mirroring.expect_upgrade(upgrade, "it broke", 2000.0, policy)
    assert mirroring == before


def test_a_success_revives_nothing_that_was_never_ordered(mirroring: Generation, policy: Policy) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    before = mirroring.model_copy(deep=True)
    mirroring.expect_upgrade(mirroring.renditions[1], "", 1200.0, policy)
    assert mirroring == before


@pytest.mark.parametrize("state", [RenditionState.STORED, RenditionState.FAILED])
def test_a_success_revives_no_download(
    mirroring: Generation, upgrade: Rendition, policy: Policy, state: RenditionState
) -> None:
    _send(mirroring, 1000.0, policy)
    upgrade.end(state, "")
    before = mirroring.model_copy(deep=True)
    mirroring.expect_upgrade(upgrade, "", 1200.0, policy)
    assert mirroring == before


def test_a_reported_failure_alone_ends_nothing(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "unavailable", 1200.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1201.0, policy)
    assert not upgrade.ended


def test_a_callback_brings_the_question_forward(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1200.0, policy)
    assert upgrade.work.at == 1200.0


def test_a_callback_never_brings_the_question_within_the_poll_interval(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1002.0, policy)
    assert upgrade.work.at == 1030.0


def test_an_upgrade_with_an_id_of_its_own_may_be_asked_about_at_once(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias1"), 1001.0, policy)
    mirroring.expect_upgrade(upgrade, "", 1002.0, policy)
    assert upgrade.work.at == 1002.0


def test_a_callback_never_puts_the_question_off(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, ORDERED, 1001.0, policy)
    for now in (1002.0, 1003.0, 1029.0):
        mirroring.expect_upgrade(upgrade, "", now, policy)
    assert upgrade.work.at == 1030.0


def test_a_callback_takes_no_work_out_of_a_workers_hands(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    claim = _claim(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "unavailable", 1002.0, policy)
    assert upgrade.work.holds(claim.fence)
    assert upgrade.work.at == 1060.0


def test_a_callback_about_what_was_never_ordered_changes_nothing(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    before = mirroring.model_copy(deep=True)
    mirroring.expect_upgrade(upgrade, "unavailable", 1002.0, policy)
    mirroring.hear_order(upgrade, READY, 1002.0, policy)
    assert mirroring == before


def test_an_upgrade_is_given_up_with_the_vendors_last_words(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, NOT_YET, 1000.0 + 86399, policy)
    assert not upgrade.ended
    mirroring.hear_order(upgrade, NOT_YET, 1000.0 + 86400, policy)
    assert (upgrade.state, upgrade.error) == (
        RenditionState.UNAVAILABLE,
        "nothing within 86400 s; last: too often",
    )


@pytest.mark.parametrize("code", [0, 429])
def test_an_upgrade_is_given_up_only_by_a_real_answer(
    mirroring: Generation, upgrade: Rendition, policy: Policy, code: int
) -> None:
    _send(mirroring, 1000.0, policy)
    late = 1000.0 + 5 * 86400
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.UNCERTAIN, code, "timed out"), late, policy)
    assert upgrade.ended is bool(code)
    assert upgrade.work.at == (None if code else late + 300)


def test_what_was_given_up_says_what_was_reported_last(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.expect_upgrade(upgrade, "it broke", 1010.0, policy)
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.ORDERED, 200), 1000.0 + 86400, policy)
    assert upgrade.error == "nothing within 86400 s; last: it broke"


def test_trying_again_what_failed_leaves_an_unavailable_upgrade_alone(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _end(mirroring, upgrade, policy)
    before = upgrade.model_copy(deep=True)
    assert mirroring.retry(90_000.0) == 0
    mirroring.fail(mirroring.renditions[0], "link dead everywhere", 90_000.0)
    assert mirroring.retry(90_001.0) == 1
    assert upgrade == before


def test_trying_again_what_failed_fetches_a_lost_upgrade(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, READY, 1001.0, policy)
    mirroring.fail(upgrade, "link dead everywhere", 1100.0)
    assert mirroring.retry(1200.0) == 1
    assert (upgrade.url, upgrade.work.at, upgrade.orders) == ("https://x/4k.mp4", 1200.0, 1)


def test_an_unavailable_upgrade_that_is_wanted_again_is_a_new_order(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _end(mirroring, upgrade, policy)
    assert not mirroring.asked_for(Kind.UHD, 0)
    mirroring.want_upgrade(Kind.UHD, 0, 90_000.0)
    assert (upgrade.state, upgrade.error, upgrade.order, upgrade.orders) == (RenditionState.WANTED, "", None, 1)
    assert mirroring.asked_for(Kind.UHD, 0)
    assert _claim(mirroring, 90_000.0, policy, "other") == OrderClaim(2, 2, "other", "", sent=False)
    assert upgrade.orders == 2
    assert upgrade.order is not None
    assert upgrade.order.intended_at == 90_000.0


@pytest.mark.parametrize("answer", [ORDERED, READY])
def test_an_upgrade_under_way_that_is_wanted_again_stays_as_it_is(
    mirroring: Generation, upgrade: Rendition, policy: Policy, answer: OrderAnswer
) -> None:
    _send(mirroring, 1000.0, policy)
    mirroring.hear_order(upgrade, answer, 1001.0, policy)
    before = mirroring.model_copy(deep=True)
    assert mirroring.asked_for(Kind.UHD, 0)
    mirroring.want_upgrade(Kind.UHD, 0, 1100.0)
    assert mirroring == before


def test_a_4k_that_nobody_asked_for_is_denied(mirroring: Generation, policy: Policy) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    denied = mirroring.find(Kind.UHD, 0)
    assert denied is not None
    assert (denied.state, denied.error) == (RenditionState.UNAVAILABLE, "nobody asked")
    assert mirroring.claim_upgrade(Kind.UHD, 0, 2000.0, policy, "secret") is None
    assert not mirroring.asked_for(Kind.UHD, 0)


def test_a_4k_that_was_denied_can_be_asked_for(mirroring: Generation, policy: Policy) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    mirroring.want_upgrade(Kind.UHD, 0, 1200.0)
    assert mirroring.asked_for(Kind.UHD, 0)
    assert not _send(mirroring, 1200.0, policy).sent


def test_a_4k_that_was_denied_is_wanted_with_the_others(mirroring: Generation, policy: Policy) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    mirroring.want_upgrades([Kind.UHD], 1200.0)
    assert (mirroring.renditions[1].state, mirroring.renditions[1].work.at) == (RenditionState.WANTED, 1200.0)


def test_trying_again_what_failed_buys_no_4k_that_nobody_asked_for(mirroring: Generation, policy: Policy) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    assert mirroring.retry(1200.0) == 0
    assert mirroring.claim_upgrade(Kind.UHD, 0, 1200.0, policy, "secret") is None


def test_an_upgrade_that_is_wanted_is_not_denied(mirroring: Generation, upgrade: Rendition) -> None:
    mirroring.deny_upgrade(Kind.UHD, 0, "nobody asked", 1100.0)
    assert not upgrade.ended


def test_an_upgrade_that_was_refused_is_not_wanted_again_by_the_list_of_upgrades(
    mirroring: Generation, upgrade: Rendition, policy: Policy
) -> None:
    _end(mirroring, upgrade, policy)
    before = upgrade.model_copy(deep=True)
    mirroring.want_upgrades([Kind.UHD], 1200.0)
    verdict = Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/0.mp4",)))
    mirroring.hear(verdict, "poll", 1300.0)
    assert upgrade == before
    assert mirroring.upgrades == [Kind.UHD]


def test_a_video_of_the_fallback_model_has_no_upgrades_however_often_they_are_wanted(mirroring: Generation) -> None:
    mirroring.fallback = True
    for _ in range(2):
        mirroring.want_upgrade(Kind.UHD, 0, 1200.0)
        mirroring.want_upgrades([Kind.UHD], 1200.0)
    upgrade = mirroring.find(Kind.UHD, 0)
    assert upgrade is not None
    assert (upgrade.state, upgrade.order, upgrade.orders) == (RenditionState.UNAVAILABLE, None, 0)
    assert upgrade.error == "made by the fallback model: cannot be upgraded"


def test_an_order_that_may_not_be_sent_yet_is_put_off_by_name(mirroring: Generation, upgrade: Rendition) -> None:
    mirroring.postpone_upgrade(upgrade, "over the day's budget", 5000.0, 1000.0)
    assert (upgrade.error, upgrade.work.at, upgrade.order) == ("over the day's budget", 5000.0, None)


def test_an_order_whose_sender_died_is_put_off_too(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    _claim(mirroring, 1000.0, policy)
    mirroring.postpone_upgrade(upgrade, "over the day's budget", 5000.0, 1000.0 + policy.lease)
    assert (upgrade.work.at, upgrade.work.leased) == (5000.0, False)


def test_an_order_that_is_being_sent_is_not_put_off(mirroring: Generation, upgrade: Rendition, policy: Policy) -> None:
    claim = _claim(mirroring, 1000.0, policy)
    mirroring.postpone_upgrade(upgrade, "over the day's budget", 5000.0, 1001.0)
    assert upgrade.work.holds(claim.fence)
