"""Ordering and asking about upgrades: one order, whatever dies in between, and no request that may not be sent."""

import logging
from collections.abc import Callable

import pytest

from app.domain.errors import LedgerUnavailable, VendorBusy, VendorUnreachable
from app.domain.generation import Generation
from app.domain.ledger import Draft, Limit
from app.domain.policy import PRICES, Policy
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.urls import NO_URLS, Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline import budget, lease
from app.pipeline.track import UpgradeRequest, request_upgrade
from app.pipeline.upgrade import NO_KEY, upgrade
from tests.unit.pipeline.fakes import Died, Fate, MemoryLedger, ScriptedVendor

UPGRADE = Item(Step.UPGRADE, "t1", Kind.UHD, 0)
FILES = Urls(result=("https://x/4k.mp4",), image=("https://x/4k.jpg",))
ORDERED = OrderAnswer(OrderProgress.ORDERED, 200, task_id="a1")
READY = OrderAnswer(OrderProgress.READY, 422, "made", FILES, "a1")
GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "Temporarily supports records within 14 days.")
SILENT = OrderAnswer(OrderProgress.UNCERTAIN, msg="/api/v1/veo/get-4k-video: ReadTimeout")


def _url(token: str) -> str | None:
    return f"https://keep.example/{token}"


def _known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def _find(ledger: MemoryLedger) -> Rendition:
    found = _known(ledger).find(Kind.UHD, 0)
    assert found is not None
    return found


def _order(ledger: MemoryLedger) -> Order:
    order = _find(ledger).order
    assert order is not None
    return order


@pytest.fixture
def wanted(succeeded: MemoryLedger) -> MemoryLedger:
    """A 4K is wanted and not yet ordered."""
    _known(succeeded).want_upgrade(Kind.UHD, 0, 1000.0)
    return succeeded


@pytest.fixture
def ordered(wanted: MemoryLedger, policy: Policy) -> MemoryLedger:
    """A 4K was ordered at 1000, runs under the id `a1`, and is due now, at 1601."""
    upgrade(UPGRADE, wanted, ScriptedVendor(orders=[ORDERED]), policy, _url)
    assert _find(wanted).work.at == 1600.0
    wanted.now, wanted.slots, wanted.reserved = 1601.0, [], []
    return wanted


def test_the_intention_is_in_the_ledger_before_anything_is_sent(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [Died()]
    with pytest.raises(Died):
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    order = _order(wanted)
    assert (order.intended_at, order.asked_at, order.asks, _find(wanted).orders) == (1000.0, 1000.0, 1, 1)
    assert wanted.tokens == {order.token: "t1/4k/0#1"}
    assert vendor.asked == [f"4k t1 0 https://keep.example/{order.token}"]
    assert len(order.token) >= 32


def test_the_next_worker_asks_about_the_order_of_the_dead_one(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [Died(), READY]
    with pytest.raises(Died):
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.now = 1060.0
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert vendor.asked[0] == vendor.asked[1]
    assert (_find(wanted).orders, _order(wanted).asks, _find(wanted).url) == (1, 2, "https://x/4k.mp4")
    assert len(wanted.tokens) == 1


def test_a_worker_that_dies_before_it_sends_has_asked_nothing(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    wanted.outages = {2}
    with pytest.raises(LedgerUnavailable):
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (vendor.asked, _order(wanted).asks, _order(wanted).asked_at) == ([], 0, 0.0)


def test_a_file_that_is_ready_is_received_with_its_own_id(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [READY]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (_find(wanted).url, _find(wanted).work.at) == ("https://x/4k.mp4", 1000.0)
    assert wanted.aliases == {"a1": "t1/4k/0#1"}
    assert _known(wanted).find(Kind.IMAGE, 0) is not None


def test_a_1080p_has_a_token_and_a_callback_url_of_its_own_too(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    _known(succeeded).want_upgrade(Kind.HD, 0, 1000.0)
    vendor.orders = [OrderAnswer(OrderProgress.ORDERED, 400)]
    upgrade(Item(Step.UPGRADE, "t1", Kind.HD, 0), succeeded, vendor, policy, _url)
    (token,) = succeeded.tokens
    assert (vendor.asked, succeeded.tokens[token]) == ([f"1080p t1 0 {_url(token)}"], "t1/1080p/0#1")


def test_where_the_vendor_cannot_reach_us_no_callback_is_asked_for(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [ORDERED]
    upgrade(UPGRADE, wanted, vendor, policy, lambda token: None)
    assert vendor.asked == ["4k t1 0 None"]


@pytest.mark.parametrize("kind", [Kind.RESULT, Kind.UHD, None])
def test_what_is_not_wanted_is_not_ordered(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, kind: Kind | None
) -> None:
    upgrade(Item(Step.UPGRADE, "t1", kind, 0), succeeded, vendor, policy, _url)
    assert vendor.asked == []


# --- an upgrade with an id of its own ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        Verdict(Progress.SUCCEEDED, 200, "success"),
        Verdict(Progress.UNKNOWN, 422, "Record not found"),
        VendorUnreachable("HTTP 502"),
    ],
    ids=["succeeded-without-urls", "unknown", "unreachable"],
)
def test_a_record_of_its_own_that_decides_nothing_is_followed_by_the_ordering_request(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy, record: Verdict | Exception
) -> None:
    vendor.details["a1"], vendor.orders = [record], [READY]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert vendor.asked == ["details a1", f"4k t1 0 {_url(_order(ordered).token)}"]
    assert (_find(ordered).url, _order(ordered).asks, _order(ordered).asked_at) == ("https://x/4k.mp4", 2, 1601.0)


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (Verdict(Progress.GENERATING, 200), ""),
        (Verdict(Progress.SUCCEEDED, 200, "success"), ""),
        (Verdict(Progress.UNKNOWN, 422, "Record not found"), "Record not found"),
        (VendorUnreachable("HTTP 502"), "asked a moment ago"),
    ],
    ids=["generating", "succeeded-without-urls", "unknown", "unreachable"],
)
def test_the_ordering_request_is_not_sent_again_within_the_poll_interval(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy, record: Verdict | Exception, error: str
) -> None:
    ordered.now = 1029.0
    _find(ordered).work.put_back(1029.0)
    vendor.details["a1"] = [record]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked, _order(ordered).asks) == (["details a1"], 1)
    assert (_find(ordered).state, _find(ordered).error) == (RenditionState.REQUESTED, error)
    assert _find(ordered).work.at is not None


def test_a_record_of_its_own_that_is_under_way_is_enough(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["a1"] = [Verdict(Progress.GENERATING, 200)]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked, _order(ordered).asks, _find(ordered).state) == (["details a1"], 1, RenditionState.REQUESTED)


def test_an_upgrade_that_is_under_way_is_asked_about_at_poll_intervals_by_its_own_id_too(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["a1"] = [Verdict(Progress.GENERATING, 200)]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert _find(ordered).work.at == pytest.approx(1601.0 + policy.poll_pause(601.0, expected=False))


def test_a_record_of_its_own_with_urls_is_enough(ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.details["a1"] = [Verdict(Progress.SUCCEEDED, 200, "success", FILES)]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked, _order(ordered).asks, _find(ordered).url) == (["details a1"], 1, "https://x/4k.mp4")


def test_a_record_of_its_own_that_failed_ends_it(ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.details["a1"] = [Verdict(Progress.FAILED, 501, "it broke")]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert vendor.asked == ["details a1"]
    assert (_find(ordered).state, _find(ordered).error) == (RenditionState.UNAVAILABLE, "it broke")


def test_a_worker_that_lost_its_claim_while_asking_sends_nothing(ordered: MemoryLedger, policy: Policy) -> None:
    class Slow(ScriptedVendor):
        def ask_details(self, task_id: str) -> Verdict:
            ordered.now += policy.lease
            assert _known(ordered).claim_upgrade(Kind.UHD, 0, ordered.now, policy, "other") is not None
            return super().ask_details(task_id)

    slow = Slow(details={"a1": [Verdict(Progress.GENERATING)]})
    upgrade(UPGRADE, ordered, slow, policy, _url)
    assert slow.asked == ["details a1"]
    assert (_find(ordered).work.leased, _find(ordered).work.at) == (True, 1721.0)


def test_an_answer_that_comes_after_the_claim_was_lost_is_passed_over(wanted: MemoryLedger, policy: Policy) -> None:
    class Slow(ScriptedVendor):
        def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
            wanted.now += policy.lease
            assert _known(wanted).claim_upgrade(Kind.UHD, 0, wanted.now, policy, "other") is not None
            return super().ask_upgrade(kind, task_id, index, callback_url)

    upgrade(UPGRADE, wanted, Slow(orders=[GONE]), policy, _url)
    assert (_find(wanted).state, _find(wanted).work.leased) == (RenditionState.REQUESTED, True)


# --- no key ------------------------------------------------------------------------------------------------------------


def test_without_a_key_an_order_that_was_never_sent_is_unavailable_by_name(
    wanted: MemoryLedger, policy: Policy
) -> None:
    upgrade(UPGRADE, wanted, None, policy, _url)
    assert (_find(wanted).state, _find(wanted).error, _find(wanted).work.at) == (
        RenditionState.UNAVAILABLE,
        NO_KEY,
        None,
    )
    assert _order(wanted).asks == 0
    assert (wanted.reserved, wanted.slots) == ([], []), "what is not asked for costs nothing"


def test_without_a_key_an_order_that_was_sent_is_waited_for(ordered: MemoryLedger, policy: Policy) -> None:
    ordered.now = 1000.0 + 3 * policy.give_up_after
    upgrade(UPGRADE, ordered, None, policy, _url)
    assert (_find(ordered).state, _find(ordered).error) == (RenditionState.REQUESTED, NO_KEY)
    assert _find(ordered).work.at == ordered.now + policy.poll_interval_max


def test_an_order_that_was_waited_for_is_asked_about_once_there_is_a_key_again(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    upgrade(UPGRADE, ordered, None, policy, _url)
    ordered.now = 2000.0
    vendor.details["a1"] = [Verdict(Progress.SUCCEEDED, 200, "", FILES)]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert _find(ordered).url == "https://x/4k.mp4"


def test_while_the_vendor_cannot_be_reached_an_order_is_waited_for(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    ordered.now = 1000.0 + 3 * policy.give_up_after
    vendor.details["a1"], vendor.orders = [VendorUnreachable("HTTP 502")], [SILENT]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (_find(ordered).state, _find(ordered).error) == (RenditionState.REQUESTED, SILENT.msg)


# --- budget and rate ---------------------------------------------------------------------------------------------------

BUDGET = Policy(upgrade_credits_per_day=240.0)
ORDERS, POLLS = Limit("orders", 20, 10.3), Limit("polls", 100, 10.0)


def test_a_first_order_is_paid_from_the_days_budget_and_takes_a_slot(
    wanted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    vendor.orders = [ORDERED]
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert wanted.reserved == [("upgrade/t1/4k/0#1", PRICES[Kind.UHD], {"upgrade": 240.0})]
    assert (wanted.slots, wanted.confirmed) == ([(ORDERS, UPGRADE)], ["1"])


def test_a_question_takes_a_slot_among_the_questions_and_costs_nothing(
    ordered: MemoryLedger, vendor: ScriptedVendor
) -> None:
    vendor.details["a1"] = [Verdict(Progress.SUCCEEDED, 200, "", FILES)]
    upgrade(UPGRADE, ordered, vendor, BUDGET, _url)
    assert (ordered.reserved, ordered.slots) == ([], [(POLLS, UPGRADE)])


def test_a_new_order_of_the_same_upgrade_has_a_place_of_its_own_in_the_budget(
    wanted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    vendor.orders = [GONE]
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    wanted.now, wanted.reserved = 1100.0, []
    assert request_upgrade("t1", Kind.UHD, 0, wanted, BUDGET).outcome is UpgradeRequest.ACCEPTED
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert [name for name, _, _ in wanted.reserved] == ["upgrade/t1/4k/0#2"] * 2
    assert (_find(wanted).orders, len(wanted.tokens)) == (2, 2)


def test_an_upgrade_that_is_under_way_is_not_asked_for_twice(ordered: MemoryLedger) -> None:
    assert request_upgrade("t1", Kind.UHD, 0, ordered, BUDGET).outcome is UpgradeRequest.ALREADY
    assert ordered.reserved == []


def test_a_request_over_budget_changes_nothing(wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.orders = [GONE]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.over_budget = 86_400.0
    answer = request_upgrade("t1", Kind.UHD, 0, wanted, BUDGET)
    assert (answer.outcome, answer.reason) == (UpgradeRequest.OVER_BUDGET, budget.OVER_BUDGET)
    assert _find(wanted).state is RenditionState.UNAVAILABLE


def test_an_order_over_budget_is_put_off_by_name(wanted: MemoryLedger, vendor: ScriptedVendor) -> None:
    wanted.over_budget = 86_400.0
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert (_find(wanted).work.at, _find(wanted).order, vendor.asked, wanted.slots) == (86_400.0, None, [], [])
    assert _find(wanted).error == budget.HELD


@pytest.mark.parametrize("which", ["wanted", "ordered"])
def test_whatever_has_no_slot_is_put_off_by_name(
    which: str, request: pytest.FixtureRequest, vendor: ScriptedVendor, policy: Policy
) -> None:
    ledger: MemoryLedger = request.getfixturevalue(which)
    ledger.no_slot = ledger.now + 3.5
    upgrade(UPGRADE, ledger, vendor, policy, _url)
    assert (_find(ledger).work.at, vendor.asked, ledger.confirmed[1:]) == (ledger.now + 3.5, [], [])
    assert _find(ledger).error == budget.WAITING


@pytest.mark.parametrize("end", [lambda r: r.end(RenditionState.UNAVAILABLE, "no"), lambda r: setattr(r, "url", "x")])
def test_what_is_not_to_be_asked_about_takes_neither_budget_nor_slot(
    wanted: MemoryLedger, vendor: ScriptedVendor, end: Callable[[Rendition], None]
) -> None:
    end(_find(wanted))
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert (vendor.asked, wanted.reserved, wanted.slots) == ([], [], [])


# --- the ledger is away when the answer is there -----------------------------------------------------------------------


def test_an_answer_is_written_down_once_the_ledger_is_back(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    vendor.orders = [ORDERED]
    wanted.outages = {3, 4, 5}
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (len(vendor.asked), _order(wanted).alias, wanted.aliases) == (1, "a1", {"a1": "t1/4k/0#1"})


def test_an_answer_that_cannot_be_written_down_is_asked_for_again(
    wanted: MemoryLedger, vendor: ScriptedVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    policy = Policy(lease=0.02)
    vendor.orders = [ORDERED]
    wanted.outages = set(range(3, 100_000))
    with pytest.raises(LedgerUnavailable):
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.outages = set()
    wanted.now = 1040.0
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert vendor.asked[0] == vendor.asked[1]
    assert (_find(wanted).orders, _order(wanted).asks) == (1, 2)


def test_no_url_is_no_file(wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.orders = [OrderAnswer(OrderProgress.READY, 200, urls=NO_URLS)]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (_find(wanted).state, _find(wanted).work.at) == (RenditionState.REQUESTED, 1030.0)


# --- which limit, and who is paused ------------------------------------------------------------------------------------

NOT_YET = OrderAnswer(OrderProgress.NOT_YET, 422, "record status is not success.")
LIMITED = OrderAnswer(OrderProgress.NOT_YET, 429, "too often", pause=12.5)


@pytest.mark.parametrize(
    ("first", "limit", "reserved"),
    [(ORDERED, POLLS, 1), (SILENT, ORDERS, 2), (NOT_YET, ORDERS, 2)],
    ids=["ordered", "time-out", "not yet"],
)
def test_until_the_vendor_says_that_it_has_it_asking_is_ordering(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, first: OrderAnswer, limit: Limit, reserved: int
) -> None:
    vendor.orders, vendor.details["a1"] = [first, READY], [VendorUnreachable("HTTP 502")]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.now = 5000.0
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert wanted.slots == [(ORDERS, UPGRADE), (limit, UPGRADE)]
    assert [name for name, _, _ in wanted.reserved] == ["upgrade/t1/4k/0#1"] * reserved


def test_the_slots_are_those_of_the_rates_that_are_set(wanted: MemoryLedger, vendor: ScriptedVendor) -> None:
    policy = Policy(provider_rate=(5, 2.0), poll_rate=(7, 3.0))
    vendor.orders, vendor.details["a1"] = [ORDERED], [VendorUnreachable("HTTP 502")]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.now = 5000.0
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert wanted.slots == [(Limit("orders", 5, 2.06), UPGRADE), (Limit("polls", 7, 3.0), UPGRADE)]


def test_a_rate_limit_pauses_everybodys_orders_and_it_goes_again(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [LIMITED, ORDERED]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (wanted.pauses, _find(wanted).error, _find(wanted).work.at) == ([("orders", 12.5)], "too often", 1030.0)
    wanted.now = 1030.0
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (len(vendor.asked), _order(wanted).taken, wanted.pauses) == (2, True, [("orders", 12.5)])


def test_a_rate_limit_of_a_question_pauses_everybodys_questions(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["a1"], vendor.orders = [Verdict(Progress.UNKNOWN)], [LIMITED]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (len(vendor.asked), ordered.pauses) == (2, [("orders", 12.5), ("polls", 12.5)])


def test_a_rate_limit_of_a_question_by_its_own_id_is_one_too(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["a1"], vendor.orders = [VendorBusy("HTTP 429", 12.5)], [READY]
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked, ordered.pauses) == (["details a1"], [("orders", 12.5), ("polls", 12.5)])


# --- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "settled"),
    [
        (ORDERED, {}),
        (SILENT, {}),
        (NOT_YET, {}),
        (GONE, {"upgrade/t1/4k/0#1": 0.0}),
        (OrderAnswer(OrderProgress.ORDERED, 200, credits=118.5), {"upgrade/t1/4k/0#1": 118.5}),
        (OrderAnswer(OrderProgress.READY, 200, "", FILES, credits=0.0), {"upgrade/t1/4k/0#1": 0.0}),
    ],
    ids=["ordered", "time-out", "not yet", "refused", "ordered for", "ready for nothing"],
)
def test_what_is_known_to_have_been_paid_settles_the_order(
    wanted: MemoryLedger,
    vendor: ScriptedVendor,
    policy: Policy,
    answer: OrderAnswer,
    settled: dict[str, float],
) -> None:
    vendor.orders = [answer]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert wanted.settled == settled


def test_what_its_own_record_says_was_taken_settles_the_order_once(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["a1"] = [Verdict(Progress.GENERATING, 200), Verdict(Progress.GENERATING, credits=118.5)]
    for now, settled in ((1601.0, {}), (3000.0, {"upgrade/t1/4k/0#1": 118.5}), (4000.0, {})):
        ordered.now, ordered.settled = now, {}
        upgrade(UPGRADE, ordered, vendor, policy, _url)
        assert ordered.settled == settled
    vendor.details["a1"], ordered.now = [Verdict(Progress.SUCCEEDED, 200, "", FILES, credits=120.5)], 5000.0
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (ordered.settled, _order(ordered).credits) == ({"upgrade/t1/4k/0#1": 120.5}, 120.5)


def test_an_answer_that_comes_after_the_claim_was_lost_names_the_order_all_the_same(
    wanted: MemoryLedger, policy: Policy
) -> None:
    class Slow(ScriptedVendor):
        def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
            wanted.now += policy.lease
            assert _known(wanted).claim_upgrade(Kind.UHD, 0, wanted.now, policy, "other") is not None
            return super().ask_upgrade(kind, task_id, index, callback_url)

    upgrade(UPGRADE, wanted, Slow(orders=[READY]), policy, _url)
    assert (_order(wanted).alias, wanted.aliases, _find(wanted).url) == ("a1", {"a1": "t1/4k/0#1"}, "")
    assert _find(wanted).work.leased


def test_an_answer_about_a_former_order_says_nothing_of_the_present_one(wanted: MemoryLedger, policy: Policy) -> None:
    class Slow(ScriptedVendor):
        def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
            _find(wanted).end(RenditionState.UNAVAILABLE)
            _known(wanted).want_upgrade(Kind.UHD, 0, wanted.now)
            claim = _known(wanted).claim_upgrade(Kind.UHD, 0, wanted.now, policy, "other")
            assert claim is not None
            assert claim.order == 2
            return super().ask_upgrade(kind, task_id, index, callback_url)

    upgrade(UPGRADE, wanted, Slow(orders=[READY]), policy, _url)
    assert (_order(wanted).token, _order(wanted).alias, wanted.aliases) == ("other", "", {})


def test_an_answer_that_is_passed_over_settles_nothing(wanted: MemoryLedger, policy: Policy) -> None:
    class Slow(ScriptedVendor):
        def ask_upgrade(self, kind: Kind, task_id: str, index: int, callback_url: str | None) -> OrderAnswer:
            wanted.now += policy.lease
            assert _known(wanted).claim_upgrade(Kind.UHD, 0, wanted.now, policy, "other") is not None
            return super().ask_upgrade(kind, task_id, index, callback_url)

    upgrade(UPGRADE, wanted, Slow(orders=[GONE]), policy, _url)
    assert wanted.settled == {}


LEAN = Policy(credits_per_generation=119.5)


def test_what_is_ordered_already_is_asked_about_in_its_turn_whatever_the_budget(
    ordered: MemoryLedger, vendor: ScriptedVendor
) -> None:
    ordered.no_slot = ordered.now + 3.5
    upgrade(UPGRADE, ordered, vendor, LEAN, _url)
    assert (vendor.asked, _find(ordered).work.at, ordered.slots) == ([], ordered.now + 3.5, [(POLLS, UPGRADE)])


def test_an_order_beyond_the_budget_of_one_generation_is_not_sent(wanted: MemoryLedger, vendor: ScriptedVendor) -> None:
    upgrade(UPGRADE, wanted, vendor, LEAN, _url)
    assert (vendor.asked, wanted.tokens, _find(wanted).order) == ([], {}, None)
    assert (_find(wanted).state, _find(wanted).work.at) == (RenditionState.UNAVAILABLE, None)
    assert _find(wanted).error == "over REELKEEP_CREDITS_PER_GENERATION: 0 spent or planned, 120 more exceed 119.5"
    assert (wanted.reserved, wanted.slots) == ([], [])


def test_nothing_is_ordered_that_was_not_reserved_for_though_the_generations_budget_has_room_again(
    wanted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    class Busy(MemoryLedger):
        """Where another upgrade is refused, whose price counted until then, when somebody has just looked."""

        def read(self, record_id: str) -> Draft:
            draft = super().read(record_id)
            self.generation = _with_1080p_refused(self.generation)
            return draft

    generation = _known(wanted)
    generation.want_upgrade(Kind.HD, 0, 1000.0)
    assert generation.claim_upgrade(Kind.HD, 0, 1000.0, LEAN, "other") is not None
    lean = Policy(credits_per_generation=120.0)
    vendor.orders = [ORDERED]
    busy = Busy(generation=generation)
    upgrade(UPGRADE, busy, vendor, lean, _url)
    assert (vendor.asked, busy.reserved, _find(busy).order, _find(busy).work.at) == ([], [], None, 1000.0)
    upgrade(UPGRADE, busy, vendor, lean, _url)
    assert ([name for name, _, _ in busy.reserved], len(vendor.asked)) == (["upgrade/t1/4k/0#1"], 1)


def _with_1080p_refused(generation: Generation | None) -> Generation:
    assert generation is not None
    changed = generation.model_copy(deep=True)
    upgrade = changed.find(Kind.HD, 0)
    assert upgrade is not None
    changed.hear_order(upgrade, GONE, 1000.0, LEAN)
    return changed


# --- where a repeated order would buy again ----------------------------------------------------------------------------


@pytest.fixture
def buying() -> ScriptedVendor:
    """A vendor that takes a repeated order for another one."""
    return ScriptedVendor(repeats_are_questions=False)


@pytest.mark.parametrize("first", [Died(), SILENT, OrderAnswer(OrderProgress.ORDERED, 200)])
def test_an_order_that_may_have_arrived_is_not_sent_again(
    wanted: MemoryLedger, buying: ScriptedVendor, policy: Policy, first: OrderAnswer | Died
) -> None:
    buying.orders = [first, READY]
    try:
        upgrade(UPGRADE, wanted, buying, policy, _url)
    except Died:
        assert isinstance(first, Died)
    for now in (3000.0, 4000.0, 5000.0):
        wanted.now = now
        upgrade(UPGRADE, wanted, buying, policy, _url)
    assert (len(buying.asked), _order(wanted).asks, _find(wanted).state) == (1, 1, RenditionState.REQUESTED)
    assert _find(wanted).error == "ordered; without an id of it only its callback can tell"


def test_an_order_that_was_certainly_not_taken_is_sent_again(
    wanted: MemoryLedger, buying: ScriptedVendor, policy: Policy
) -> None:
    buying.orders = [NOT_YET, LIMITED, ORDERED, READY]
    for now in (1000.0, 2000.0, 3000.0):
        wanted.now = now
        upgrade(UPGRADE, wanted, buying, policy, _url)
    buying.details["a1"], wanted.now = [Verdict(Progress.GENERATING, 200)], 5000.0
    upgrade(UPGRADE, wanted, buying, policy, _url)
    assert buying.asked[-1] == "details a1"
    assert (len(buying.asked), _order(wanted).asks, _find(wanted).orders) == (4, 3, 1)
    assert (len(set(buying.asked[:3])), len(wanted.tokens)) == (1, 1)


def test_an_order_with_an_id_is_asked_about_by_that_alone(
    ordered: MemoryLedger, buying: ScriptedVendor, policy: Policy
) -> None:
    buying.details["a1"] = [
        Verdict(Progress.GENERATING, 200),
        VendorUnreachable("HTTP 502"),
        Verdict(Progress.UNKNOWN, 422),
        Verdict(Progress.SUCCEEDED, 200, "", FILES),
    ]
    for now in (1700.0, 3000.0, 5000.0, 7000.0):
        ordered.now = now
        upgrade(UPGRADE, ordered, buying, policy, _url)
    assert (buying.asked, _find(ordered).url) == (["details a1"] * 4, "https://x/4k.mp4")


def _report(ledger: MemoryLedger, policy: Policy) -> None:
    """A callback under the order's token has reported a failure at 2000."""
    _known(ledger).expect_upgrade(_find(ledger), "it broke", 2000.0, policy)
    ledger.now = 2000.0


def test_where_nobody_is_left_to_be_asked_a_reported_failure_ends_an_order(
    wanted: MemoryLedger, buying: ScriptedVendor, policy: Policy
) -> None:
    buying.orders = [SILENT, READY]
    upgrade(UPGRADE, wanted, buying, policy, _url)
    _report(wanted, policy)
    upgrade(UPGRADE, wanted, buying, policy, _url)
    assert (_find(wanted).state, _find(wanted).error) == (RenditionState.UNAVAILABLE, "it broke")
    assert (len(buying.asked), wanted.settled) == (1, {}), "it may have been taken, and paid for"


@pytest.mark.parametrize("repeats", [False, True])
def test_where_somebody_can_be_asked_a_reported_failure_is_confirmed(
    ordered: MemoryLedger, policy: Policy, repeats: bool
) -> None:
    vendor = ScriptedVendor(repeats_are_questions=repeats, orders=[ORDERED])
    vendor.details["a1"] = [Verdict(Progress.GENERATING, 200)]
    _report(ordered, policy)
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked[0], _find(ordered).state) == ("details a1", RenditionState.REQUESTED)


def test_where_asking_is_ordering_again_a_reported_failure_is_confirmed_by_it(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [SILENT, READY]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    _report(wanted, policy)
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    assert (len(vendor.asked), _find(wanted).url) == (2, "https://x/4k.mp4")


def test_an_order_whose_answer_died_with_its_worker_and_whose_record_says_failed_was_paid_for(
    wanted: MemoryLedger, buying: ScriptedVendor, policy: Policy
) -> None:
    buying.orders = [Died()]
    with pytest.raises(Died):
        upgrade(UPGRADE, wanted, buying, policy, _url)
    _known(wanted).name_order(_find(wanted), "a1")
    _report(wanted, policy)
    buying.details["a1"] = [Verdict(Progress.FAILED, 500, "it broke")]
    upgrade(UPGRADE, wanted, buying, policy, _url)
    assert (_find(wanted).state, _find(wanted).error) == (RenditionState.UNAVAILABLE, "it broke")
    assert (_find(wanted).cost, wanted.settled) == (PRICES[Kind.UHD], {})


def test_a_record_of_its_own_that_is_not_found_confirms_no_failure(
    ordered: MemoryLedger, buying: ScriptedVendor, policy: Policy
) -> None:
    buying.details["a1"] = [Verdict(Progress.UNKNOWN, 422, "Record not found")]
    _report(ordered, policy)
    upgrade(UPGRADE, ordered, buying, policy, _url)
    assert (buying.asked, _find(ordered).state) == (["details a1"], RenditionState.REQUESTED)


#: look, budget, slot, claim, note, order, answer
POINTS = [(number, after) for number in range(1, 8) for after in (False, True)]


@pytest.mark.parametrize("repeats", [False, True], ids=["would buy again", "are questions"])
@pytest.mark.parametrize(("number", "after"), POINTS)
def test_a_worker_that_is_killed_anywhere_leads_to_one_order(
    wanted: MemoryLedger, policy: Policy, number: int, after: bool, repeats: bool
) -> None:
    vendor = ScriptedVendor(repeats_are_questions=repeats, orders=[ORDERED])
    vendor.details["a1"] = [Verdict(Progress.SUCCEEDED, 200, "", FILES)]
    fate = Fate(number, after)
    with pytest.raises(Died):
        upgrade(UPGRADE, fate.watch(wanted), fate.watch(vendor), policy, _url)
    for now in (1060.0, 2000.0, 3000.0):
        wanted.now = now
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    orders = [asked for asked in vendor.asked if asked.startswith("4k ")]
    assert (len(set(orders)) <= 1, len(wanted.tokens), _find(wanted).orders) == (True, 1, 1)
    noted_only, lost = (5, True) <= (number, after) < (6, True), (6, True) <= (number, after) < (7, True)
    if not repeats:
        assert len(orders) == (0 if noted_only else 1)
        assert bool(_find(wanted).url) is not (noted_only or lost)
    else:
        assert len(orders) == (2 if lost else 1)
        assert _find(wanted).url == "https://x/4k.mp4"
    assert wanted.aliases == ({"a1": "t1/4k/0#1"} if _find(wanted).url else {})


@pytest.mark.parametrize("name", ["confirm_slot", "pause"])
def test_an_answer_is_not_lost_with_what_follows_it(
    wanted: MemoryLedger, buying: ScriptedVendor, policy: Policy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def be_away(*args: object, **named: object) -> None:
        raise LedgerUnavailable("Redis is down")

    buying.orders = [LIMITED, ORDERED]
    with monkeypatch.context() as patch:
        patch.setattr(wanted, name, be_away)
        with pytest.raises(LedgerUnavailable):
            upgrade(UPGRADE, wanted, buying, policy, _url)
    assert (_find(wanted).error, _find(wanted).work.at) == ("too often", 1030.0)
    wanted.now = 1030.0
    upgrade(UPGRADE, wanted, buying, policy, _url)
    assert (len(buying.asked), _order(wanted).confirmed) == (2, True)


# --- what was final, and a callback says otherwise ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (Verdict(Progress.UNKNOWN, 422, "Record not found"), "Record not found"),
        (VendorUnreachable("HTTP 502"), "the vendor does not tell of its record"),
        (Verdict(Progress.SUCCEEDED, 200), ""),
    ],
    ids=["unknown", "unreachable", "without urls"],
)
def test_what_was_reopened_is_asked_about_by_its_own_id_and_never_ordered(
    ordered: MemoryLedger, vendor: ScriptedVendor, policy: Policy, record: Verdict | Exception, error: str
) -> None:
    _known(ordered).hear_order(_find(ordered), GONE, 1601.0, policy)
    _known(ordered).expect_upgrade(_find(ordered), "", 1700.0, policy)
    vendor.details["a1"], ordered.now = [record], 1700.0
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert (vendor.asked, _order(ordered).asks, _find(ordered).orders) == (["details a1"], 1, 1)
    assert (_find(ordered).state, _find(ordered).error) == (RenditionState.REQUESTED, error)
    vendor.details["a1"], ordered.now = [Verdict(Progress.SUCCEEDED, 200, "", FILES)], 5000.0
    upgrade(UPGRADE, ordered, vendor, policy, _url)
    assert _find(ordered).url == "https://x/4k.mp4"


def test_the_vendors_id_is_logged_before_it_is_recorded_and_no_token_is(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.orders = [ORDERED]
    wanted.outages = set(range(wanted.changes + 3, 100_000))
    with caplog.at_level(logging.INFO), pytest.raises(LedgerUnavailable):
        upgrade(UPGRADE, wanted, vendor, Policy(lease=0.0), _url)
    logged = " ".join(f"{record.getMessage()} {getattr(record, 'fields', {})}" for record in caplog.records)
    assert ("upgrade.answered" in logged, "'id': 'a1'" in logged) == (True, True)
    assert _order(wanted).token not in logged
