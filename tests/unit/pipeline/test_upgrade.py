"""Ordering and asking about upgrades: one order, whatever dies in between, and no request that may not be sent."""

from collections.abc import Callable

import pytest

from app.domain.errors import LedgerUnavailable, VendorUnreachable
from app.domain.generation import Generation
from app.domain.policy import PRICES, Policy
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.urls import NO_URLS, Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline import lease
from app.pipeline.track import UpgradeRequest, request_upgrade
from app.pipeline.upgrade import NO_KEY, upgrade
from tests.unit.pipeline.fakes import Died, MemoryLedger, ScriptedVendor

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
    wanted.now, wanted.slots = 1601.0, []
    return wanted


def test_the_intention_is_in_the_ledger_before_anything_is_sent(
    wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.orders = [Died()]
    with pytest.raises(Died):
        upgrade(UPGRADE, wanted, vendor, policy, _url)
    order = _order(wanted)
    assert (order.intended_at, order.asked_at, order.asks, _find(wanted).orders) == (1000.0, 1000.0, 1, 1)
    assert wanted.tokens == {order.token: (Kind.UHD, 0)}
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
    assert wanted.aliases == {"a1": (Kind.UHD, 0)}
    assert _known(wanted).find(Kind.IMAGE, 0) is not None


def test_a_1080p_has_no_callback_and_no_token(succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _known(succeeded).want_upgrade(Kind.HD, 0, 1000.0)
    vendor.orders = [OrderAnswer(OrderProgress.ORDERED, 400)]
    upgrade(Item(Step.UPGRADE, "t1", Kind.HD, 0), succeeded, vendor, policy, lambda token: None)
    assert (vendor.asked, succeeded.tokens) == (["1080p t1 0 None"], {})


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
        Verdict(Progress.GENERATING, 200),
        Verdict(Progress.SUCCEEDED, 200, "success"),
        Verdict(Progress.UNKNOWN, 422, "Record not found"),
        VendorUnreachable("HTTP 502"),
    ],
    ids=["generating", "succeeded-without-urls", "unknown", "unreachable"],
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


def test_a_first_order_is_paid_from_the_days_budget_and_takes_a_slot(
    wanted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    vendor.orders = [ORDERED]
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert wanted.reserved == [("upgrade/t1/4k/0#1", PRICES[Kind.UHD], 240.0)]
    assert wanted.slots == [("orders", 20, 10.0)]


def test_a_question_takes_a_slot_and_costs_nothing(ordered: MemoryLedger, vendor: ScriptedVendor) -> None:
    vendor.details["a1"] = [Verdict(Progress.SUCCEEDED, 200, "", FILES)]
    upgrade(UPGRADE, ordered, vendor, BUDGET, _url)
    assert (ordered.reserved, ordered.slots) == ([], [("orders", 20, 10.0)])


def test_a_new_order_of_the_same_upgrade_has_a_place_of_its_own_in_the_budget(
    wanted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    vendor.orders = [GONE]
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    wanted.now, wanted.reserved = 1100.0, []
    assert request_upgrade("t1", Kind.UHD, 0, wanted, BUDGET)[0] is UpgradeRequest.ACCEPTED
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert [name for name, _, _ in wanted.reserved] == ["upgrade/t1/4k/0#2"] * 2
    assert (_find(wanted).orders, len(wanted.tokens)) == (2, 2)


def test_an_upgrade_that_is_under_way_is_not_asked_for_twice(ordered: MemoryLedger) -> None:
    assert request_upgrade("t1", Kind.UHD, 0, ordered, BUDGET)[0] is UpgradeRequest.ALREADY
    assert ordered.reserved == []


def test_a_request_over_budget_changes_nothing(wanted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.orders = [GONE]
    upgrade(UPGRADE, wanted, vendor, policy, _url)
    wanted.over_budget = 86_400.0
    assert request_upgrade("t1", Kind.UHD, 0, wanted, BUDGET)[0] is UpgradeRequest.OVER_BUDGET
    assert _find(wanted).state is RenditionState.UNAVAILABLE


def test_an_order_over_budget_is_put_off_by_name(wanted: MemoryLedger, vendor: ScriptedVendor) -> None:
    wanted.over_budget = 86_400.0
    upgrade(UPGRADE, wanted, vendor, BUDGET, _url)
    assert (_find(wanted).work.at, _find(wanted).order, vendor.asked, wanted.slots) == (86_400.0, None, [], [])
    assert _find(wanted).error == "over the day's budget (REELKEEP_UPGRADE_CREDITS_PER_DAY)"


@pytest.mark.parametrize("which", ["wanted", "ordered"])
def test_whatever_has_no_slot_is_put_off_by_name(
    which: str, request: pytest.FixtureRequest, vendor: ScriptedVendor, policy: Policy
) -> None:
    ledger: MemoryLedger = request.getfixturevalue(which)
    ledger.no_slot = ledger.now + 3.5
    upgrade(UPGRADE, ledger, vendor, policy, _url)
    assert (_find(ledger).work.at, vendor.asked) == (ledger.now + 3.5, [])
    assert _find(ledger).error == "waiting for the vendor's rate limit"


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
    assert (len(vendor.asked), _order(wanted).alias, wanted.aliases) == (1, "a1", {"a1": (Kind.UHD, 0)})


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
