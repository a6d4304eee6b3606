"""Settling: callbacks are taken in, the vendor is asked until the verdict is clear, whatever happens to workers in between."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.generation import Generation
from app.domain.ledger import Entry, Limit, Pending, Route, Slot, Trust
from app.domain.policy import INVISIBLE, Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline.settle import NOT_ASKED_FOR, settle
from tests.unit.pipeline.fakes import Died, MemoryLedger, ScriptedVendor

SETTLE = Item(Step.SETTLE, "t1")
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/true.mp4",)), credits=60.0)
FAILURE = Verdict(Progress.FAILED, 500, "broken")
RUNNING = Verdict(Progress.GENERATING, 200)
SILENT = VendorUnreachable("/api/v1/veo/record-info: ConnectTimeout")


def _body(code: int, url: str = "", **data: Any) -> str:
    info = {"resultUrls": [url]} if url else {}
    return json.dumps({"code": code, "msg": "so it is", "data": {"taskId": "t1", "info": info, **data}})


SAYS_SUCCESS, SAYS_FAILURE, SAYS_NOTHING = _body(200, "https://x/said.mp4"), _body(500), _body(200)
CONTRADICTIONS = [SAYS_SUCCESS, SAYS_NOTHING]


def _known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def _fail(ledger: MemoryLedger) -> None:
    _known(ledger).hear(FAILURE, "callback", 1000.0)


def _give_up(ledger: MemoryLedger, policy: Policy) -> None:
    _known(ledger).await_verdict(1000.0 + policy.give_up_after, policy)
    ledger.now = 90_000.0


def _order_4k(ledger: MemoryLedger, policy: Policy, task_id: str | None = None) -> Rendition:
    """A 4K that was ordered at 1000 and is under way.

    :param task_id: the id of its own that it runs under, if any
    """
    generation = _known(ledger)
    generation.want_upgrade(Kind.UHD, 0, 1000.0)
    claim = generation.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret")
    rendition = _find_4k(ledger)
    assert claim is not None
    assert generation.may_send_order(rendition, claim.fence, 1000.0, policy)
    generation.hear_order(rendition, OrderAnswer(OrderProgress.ORDERED, 200, task_id=task_id), 1000.0, policy)
    return rendition


def _find_4k(ledger: MemoryLedger) -> Rendition:
    found = _known(ledger).find(Kind.UHD, 0)
    assert found is not None
    return found


def _follow(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, until: float = 1e6) -> list[float]:
    """Settle whenever it is due. Gives when that was."""
    times = []
    while (at := _known(ledger).settle.at) is not None and at < until:
        ledger.now = at
        times.append(at)
        assert len(times) < 10_000, "it is asked for ever"
        settle(SETTLE, ledger, vendor, policy)
    return times


# --- the verdict -------------------------------------------------------------------------------------------------------


def test_what_a_callback_says_is_confirmed_by_asking(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    ledger.call_back(SAYS_SUCCESS)
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    generation = _known(ledger)
    assert (generation.state, generation.verdict_from, generation.settle.at) == (State.MIRRORING, "callback", None)
    assert [rendition.url for rendition in generation.renditions] == ["https://x/true.mp4"]
    assert (vendor.asked, ledger.pending, len(ledger.kept)) == (["details t1"], [], 1)


def test_a_verdict_without_a_callback_is_polled_for(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["t1"] = [RUNNING, FAILURE]
    assert _follow(ledger, vendor, policy) == [1300.0, 1330.0]
    assert (_known(ledger).state, _known(ledger).verdict_from) == (State.FAILED, "poll")


def test_a_generation_that_is_heard_of_by_its_callback_alone_is_tracked(vendor: ScriptedVendor, policy: Policy) -> None:
    ledger = MemoryLedger()
    ledger.call_back(SAYS_SUCCESS)
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    assert _known(ledger).state is State.MIRRORING


def test_nothing_is_made_of_an_item_that_nobody_knows(vendor: ScriptedVendor, policy: Policy) -> None:
    ledger = MemoryLedger()
    settle(SETTLE, ledger, vendor, policy)
    assert (ledger.generation, vendor.asked) == (None, [])


@pytest.mark.parametrize("raw", [SAYS_SUCCESS, SAYS_FAILURE, SAYS_NOTHING])
def test_a_callback_after_a_success_is_counted_and_nobody_is_asked(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    succeeded.call_back(raw)
    settle(SETTLE, succeeded, vendor, policy)
    assert (vendor.asked, succeeded.pending, _known(succeeded).received) == ([], [], 1)
    assert (_known(succeeded).state, _known(succeeded).settle.at) == (State.MIRRORING, None)


def test_a_repeated_failure_is_not_asked_about(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _fail(ledger)
    ledger.call_back(SAYS_FAILURE)
    settle(SETTLE, ledger, vendor, policy)
    assert (vendor.asked, _known(ledger).settle.at, _known(ledger).doubt_since) == ([], None, None)


@pytest.mark.parametrize("raw", CONTRADICTIONS)
def test_a_contradicted_failure_is_asked_about_until_the_vendor_can_be_reached(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    _fail(ledger)
    ledger.now = 2000.0
    ledger.call_back(raw)
    vendor.details["t1"] = [SILENT, SILENT, SILENT, SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    generation = _known(ledger)
    assert (generation.state, generation.settle.at, ledger.pending) == (State.FAILED, 2001.0, [])
    times = _follow(ledger, vendor, policy)
    assert (len(times), len(vendor.asked), _known(ledger).state) == (3, 4, State.MIRRORING)
    assert (_known(ledger).error, _known(ledger).doubt_since) == ("", None)


def test_a_contradicted_failure_that_the_vendor_confirms_is_believed_after_a_while(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    _fail(ledger)
    ledger.now = 2000.0
    ledger.call_back(SAYS_SUCCESS)
    vendor.details["t1"] = [FAILURE]
    settle(SETTLE, ledger, vendor, policy)
    times = _follow(ledger, vendor, policy)
    assert times[-2] <= 2000.0 + INVISIBLE < times[-1] < 2000.0 + 2 * INVISIBLE
    assert (_known(ledger).state, _known(ledger).settle.at, _known(ledger).msg) == (State.FAILED, None, "broken")


@pytest.mark.parametrize("raw", [SAYS_FAILURE, *CONTRADICTIONS])
def test_any_callback_about_what_was_given_up_has_the_vendor_asked(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    _give_up(ledger, policy)
    ledger.call_back(raw)
    vendor.details["t1"] = [SILENT, RUNNING, SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    assert (_known(ledger).state, _known(ledger).error) == (State.LOST, "no verdict within 86400 s")
    _follow(ledger, vendor, policy)
    assert (len(vendor.asked), _known(ledger).state) == (3, State.MIRRORING)


def test_a_doubt_about_what_was_given_up_ends_after_its_time(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    _give_up(ledger, policy)
    ledger.call_back(SAYS_NOTHING)
    vendor.details["t1"] = [RUNNING]
    settle(SETTLE, ledger, vendor, policy)
    assert _follow(ledger, vendor, policy)[-1] == 90_000.0 + policy.give_up_after
    assert (_known(ledger).state, _known(ledger).doubt_since) == (State.LOST, None)


@pytest.mark.parametrize("before", ["waiting", "failed", "lost"])
def test_what_a_dead_worker_had_taken_in_is_asked_about_by_the_next(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, before: str
) -> None:
    if before == "failed":
        _fail(ledger)
    elif before == "lost":
        _give_up(ledger, policy)
    shown, began = _known(ledger).state, ledger.now
    ledger.call_back(SAYS_SUCCESS)
    vendor.details["t1"] = [Died(), SUCCESS]
    with pytest.raises(Died):
        settle(SETTLE, ledger, vendor, policy)
    assert (ledger.pending, _known(ledger).state, _known(ledger).undecided) == ([], shown, True)
    ledger.now = began + policy.lease - 1
    settle(SETTLE, ledger, vendor, policy)
    assert len(vendor.asked) == 1
    assert _follow(ledger, vendor, policy) == [began + policy.lease]
    assert (_known(ledger).state, len(vendor.asked)) == (State.MIRRORING, 2)


def test_an_answer_that_comes_after_the_claim_was_lost_counts_and_leaves_the_next_claim_alone(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    ledger.now = 1300.0

    class Slow(ScriptedVendor):
        def ask_details(self, task_id: str) -> Verdict:
            ledger.now += policy.lease
            _known(ledger).settle.claim(ledger.now, policy.lease)
            return super().ask_details(task_id)

    slow = Slow(details={"t1": [RUNNING]})
    settle(SETTLE, ledger, slow, policy)
    assert (_known(ledger).settle.leased, _known(ledger).settle.at) == (True, 1420.0)


def test_why_the_vendor_cannot_be_asked_is_shown(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    ledger.now = 1300.0
    vendor.details["t1"] = [SILENT, RUNNING]
    settle(SETTLE, ledger, vendor, policy)
    assert _known(ledger).error == f"the vendor cannot be asked: {SILENT}"
    ledger.now = 1330.0
    settle(SETTLE, ledger, vendor, policy)
    assert _known(ledger).error == ""


def test_nothing_is_given_up_within_the_links_life_while_the_vendor_cannot_be_asked(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.details["t1"] = [SILENT]
    assert _follow(ledger, vendor, policy, until=2e6)[-1] == 1000.0 + policy.link_lifetime
    assert _known(ledger).state is State.LOST


# --- what is believed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", [Trust.SIGNED, Trust.UNSIGNED])
def test_without_a_vendor_a_callback_is_believed(ledger: MemoryLedger, policy: Policy, trust: Trust) -> None:
    ledger.call_back(SAYS_SUCCESS, trust=trust)
    settle(SETTLE, ledger, None, policy)
    assert _known(ledger).renditions[0].url == "https://x/said.mp4"


def test_without_a_vendor_a_success_outranks_a_failure(ledger: MemoryLedger, policy: Policy) -> None:
    for raw in (SAYS_FAILURE, SAYS_SUCCESS, SAYS_FAILURE):
        ledger.call_back(raw)
    settle(SETTLE, ledger, None, policy)
    assert (_known(ledger).state, _known(ledger).settle.at) == (State.MIRRORING, None)


@pytest.mark.parametrize("raw", [SAYS_SUCCESS, SAYS_FAILURE])
def test_an_old_signature_is_a_reason_to_ask_and_no_more(ledger: MemoryLedger, policy: Policy, raw: str) -> None:
    ledger.call_back(raw, trust=Trust.STALE)
    settle(SETTLE, ledger, None, policy)
    assert (_known(ledger).state, _known(ledger).renditions, _known(ledger).received) == (State.WAITING, [], 1)


def test_an_old_signature_raises_a_doubt(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _fail(ledger)
    ledger.call_back(SAYS_SUCCESS, trust=Trust.STALE)
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    assert _known(ledger).state is State.MIRRORING


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(("trust", "credits"), [(Trust.SIGNED, 7.5), (Trust.UNSIGNED, 7.5), (Trust.STALE, None)])
def test_credits_are_not_taken_from_a_callback_with_an_old_signature(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, trust: Trust, credits: float | None, keyed: bool
) -> None:
    ledger.call_back(_body(500, creditsConsumed=7.5), trust=trust)
    vendor.details["t1"] = [RUNNING]
    settle(SETTLE, ledger, vendor if keyed else None, policy)
    assert _known(ledger).credits == credits


@pytest.mark.parametrize(
    "raw", ["", "{", "[" * 100_000, '"text"', "{}"], ids=["empty", "cut", "deep", "text", "object"]
)
def test_a_recorded_callback_that_cannot_be_read_is_a_reason_to_ask(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    _fail(ledger)
    ledger.call_back(raw)
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    assert (_known(ledger).state, ledger.pending, len(ledger.kept)) == (State.MIRRORING, [], 1)
    assert _known(ledger).heard == ["generation ask 0"]


def test_repeats_are_counted_and_kept_once(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    for raw in (SAYS_SUCCESS, SAYS_SUCCESS, SAYS_FAILURE):
        ledger.call_back(raw)
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, policy)
    assert (_known(ledger).received, _known(ledger).duplicates, len(ledger.kept)) == (3, 1, 2)


# --- upgrades ----------------------------------------------------------------------------------------------------------

UHD = (Kind.UHD, 0)


@pytest.mark.parametrize(("raw", "reported"), [(SAYS_FAILURE, "so it is"), (SAYS_SUCCESS, ""), (SAYS_NOTHING, "")])
def test_a_callback_about_an_ordered_4k_brings_the_question_forward(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str, reported: str
) -> None:
    _order_4k(succeeded, policy)
    succeeded.now = 1100.0
    succeeded.call_back(raw, Route.UHD, Trust.TOKEN, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    rendition = _find_4k(succeeded)
    assert rendition.order is not None
    assert (rendition.order.reported, rendition.order.news, rendition.work.at) == (reported, True, 1100.0)
    assert (rendition.url, vendor.asked) == ("", [])


def test_a_success_revives_a_4k_that_had_come_to_be_unavailable(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    rendition = _order_4k(succeeded, policy, "a1")
    gone = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "unavailable")
    _known(succeeded).hear_order(rendition, gone, 1001.0, policy)
    succeeded.now = 1100.0
    succeeded.call_back(SAYS_FAILURE, Route.UHD, Trust.TOKEN, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert _find_4k(succeeded).state is RenditionState.UNAVAILABLE
    succeeded.call_back(SAYS_SUCCESS, Route.UHD, Trust.TOKEN, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert (_find_4k(succeeded).state, _find_4k(succeeded).work.at) == (RenditionState.REQUESTED, 1100.0)


@pytest.mark.parametrize(
    ("raw", "trust", "times"),
    [(SAYS_SUCCESS, Trust.STALE, 1), (SAYS_NOTHING, Trust.SIGNED, 1), (SAYS_SUCCESS, Trust.SIGNED, 2)],
    ids=["stale", "says nothing for sure", "a repeat"],
)
def test_what_proves_little_revives_no_4k(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str, trust: Trust, times: int
) -> None:
    _order_4k(succeeded, policy, "a1")
    gone = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "unavailable")
    for _ in range(times):
        _known(succeeded).hear_order(_find_4k(succeeded), gone, 1001.0, policy)
        succeeded.call_back(raw, Route.UHD, trust, UHD)
        settle(SETTLE, succeeded, vendor, policy)
    assert _find_4k(succeeded).state is RenditionState.UNAVAILABLE


def test_a_success_revives_a_4k_though_one_with_an_old_signature_came_before(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    rendition = _order_4k(succeeded, policy, "a1")
    gone = OrderAnswer(OrderProgress.UNAVAILABLE, 422, "unavailable")
    _known(succeeded).hear_order(rendition, gone, 1001.0, policy)
    for trust in (Trust.STALE, Trust.SIGNED):
        assert _find_4k(succeeded).state is RenditionState.UNAVAILABLE
        succeeded.call_back(SAYS_SUCCESS, Route.UHD, trust, UHD)
        settle(SETTLE, succeeded, vendor, policy)
    assert _find_4k(succeeded).state is RenditionState.REQUESTED


def test_a_callback_about_a_4k_that_cannot_be_read_is_a_reason_to_ask(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    _order_4k(succeeded, policy)
    succeeded.now = 1100.0
    succeeded.call_back("{", Route.UHD, Trust.TOKEN, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert _find_4k(succeeded).work.at == 1100.0


@pytest.mark.parametrize("raw", [SAYS_FAILURE, SAYS_SUCCESS])
def test_a_callback_about_a_4k_is_none_about_the_generation(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    _fail(ledger)
    ledger.call_back(raw, Route.UHD, Trust.TOKEN, UHD)
    settle(SETTLE, ledger, vendor, policy)
    assert (_known(ledger).doubt_since, vendor.asked) == (None, [])


def test_a_4k_that_nobody_asked_for_is_denied_and_nobody_is_asked(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    succeeded.call_back(SAYS_SUCCESS, Route.UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert (_find_4k(succeeded).state, _find_4k(succeeded).error) == (RenditionState.UNAVAILABLE, NOT_ASKED_FOR)
    assert (vendor.asked, _find_4k(succeeded).order) == ([], None)


def test_without_a_vendor_a_callback_about_a_4k_is_believed(succeeded: MemoryLedger, policy: Policy) -> None:
    _order_4k(succeeded, policy)
    succeeded.call_back(SAYS_SUCCESS, Route.UHD, Trust.SIGNED, UHD)
    settle(SETTLE, succeeded, None, policy)
    assert (_find_4k(succeeded).url, _find_4k(succeeded).work.at) == ("https://x/said.mp4", 1000.0)


def test_without_a_vendor_a_4k_that_nobody_asked_for_is_kept(succeeded: MemoryLedger, policy: Policy) -> None:
    succeeded.call_back(SAYS_SUCCESS, Route.UHD)
    settle(SETTLE, succeeded, None, policy)
    assert _find_4k(succeeded).url == "https://x/said.mp4"


def test_without_a_vendor_a_failure_of_an_ordered_4k_ends_it(succeeded: MemoryLedger, policy: Policy) -> None:
    _order_4k(succeeded, policy)
    succeeded.call_back(SAYS_FAILURE, Route.UHD, Trust.SIGNED, UHD)
    settle(SETTLE, succeeded, None, policy)
    assert (_find_4k(succeeded).state, _find_4k(succeeded).error) == (RenditionState.UNAVAILABLE, "so it is")


@pytest.mark.parametrize(
    "order",
    [
        lambda ledger, policy: None,
        lambda ledger, policy: _order_4k(ledger, policy, "a1"),
        lambda ledger, policy: _order_4k(ledger, policy),
    ],
    ids=["not ordered", "with an id", "without an id"],
)
def test_without_a_vendor_a_success_of_a_4k_outranks_its_failure(
    succeeded: MemoryLedger, policy: Policy, order: Callable[[MemoryLedger, Policy], object]
) -> None:
    order(succeeded, policy)
    for raw in (SAYS_FAILURE, SAYS_SUCCESS):
        succeeded.call_back(raw, Route.UHD, Trust.SIGNED, UHD)
        settle(SETTLE, succeeded, None, policy)
    assert _find_4k(succeeded).url == "https://x/said.mp4"


# --- pace --------------------------------------------------------------------------------------------------------------

POLLS = Limit("polls", 7, 3.0)
PACED = Policy(poll_rate=(7, 3.0))


def test_a_question_takes_a_slot_among_the_questions(ledger: MemoryLedger, vendor: ScriptedVendor) -> None:
    ledger.now = 1300.0
    vendor.details["t1"] = [RUNNING]
    settle(SETTLE, ledger, vendor, PACED)
    assert (ledger.slots, ledger.pauses, vendor.asked) == ([(POLLS, SETTLE)], [], ["details t1"])


def test_without_a_slot_the_question_is_put_off_to_its_turn_and_callbacks_are_taken_in(
    ledger: MemoryLedger, vendor: ScriptedVendor
) -> None:
    ledger.call_back(SAYS_SUCCESS)
    ledger.no_slot = 1003.5
    vendor.details["t1"] = [SUCCESS]
    settle(SETTLE, ledger, vendor, PACED)
    generation = _known(ledger)
    assert (vendor.asked, ledger.pending, generation.received, len(ledger.kept)) == ([], [], 1, 1)
    assert (generation.settle.at, generation.settle.leased, generation.state) == (1003.5, False, State.WAITING)
    assert generation.agenda(pending=False) == {SETTLE: 1003.5}
    ledger.now, ledger.no_slot = 1003.5, None
    settle(SETTLE, ledger, vendor, PACED)
    assert (vendor.asked, _known(ledger).state) == (["details t1"], State.MIRRORING)


def test_where_there_is_nothing_to_ask_no_slot_is_taken(succeeded: MemoryLedger, vendor: ScriptedVendor) -> None:
    succeeded.call_back(SAYS_SUCCESS)
    settle(SETTLE, succeeded, vendor, PACED)
    settle(SETTLE, MemoryLedger(generation=Generation.track("t1", 1000.0, PACED)), None, PACED)
    assert (succeeded.slots, _known(succeeded).received) == ([], 1)


def test_without_a_key_no_slot_is_taken(ledger: MemoryLedger) -> None:
    ledger.now = 1300.0
    settle(SETTLE, ledger, None, PACED)
    assert (ledger.slots, _known(ledger).settle.at) == ([], 1330.0)


def test_a_worker_that_lost_its_claim_while_it_waited_for_a_slot_puts_nothing_off(vendor: ScriptedVendor) -> None:
    class Slow(MemoryLedger):
        def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
            assert waits
            self.now += PACED.lease
            _known(self).settle.claim(self.now, PACED.lease)
            return Slot(5000.0)

    slow = Slow(now=1300.0, generation=Generation.track("t1", 1000.0, PACED))
    settle(SETTLE, slow, vendor, PACED)
    assert (_known(slow).settle.leased, _known(slow).settle.at, vendor.asked) == (True, 1420.0, [])


@pytest.mark.parametrize(
    ("trouble", "pauses"),
    [
        (VendorBusy("HTTP 429", 12.5), [("orders", 12.5), ("polls", 12.5)]),
        (VendorUnreachable("HTTP 502"), []),
    ],
)
def test_only_a_rate_limit_pauses_everybody_elses_questions(
    ledger: MemoryLedger, vendor: ScriptedVendor, trouble: VendorUnreachable, pauses: list[tuple[str, float]]
) -> None:
    ledger.now = 1300.0
    vendor.details["t1"] = [trouble]
    settle(SETTLE, ledger, vendor, PACED)
    assert ledger.pauses == pauses
    assert (_known(ledger).error, _known(ledger).settle.at) == (f"the vendor cannot be asked: {trouble}", 1330.0)


def test_a_missing_result_is_asked_about_again_and_again(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    gap = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4", "")))
    whole = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4", "https://x/1.mp4")))
    vendor.details["t1"] = [gap, gap, whole]
    assert _follow(ledger, vendor, policy) == [1300.0, 1330.0, 1360.0]
    assert [rendition.index for rendition in _known(ledger).renditions] == [0, 1]


# --- credits -----------------------------------------------------------------------------------------------------------

OWN_ID = "sub_0123456789abcdef0123456789abcdef"


@pytest.fixture
def submitted(ledger: MemoryLedger) -> MemoryLedger:
    """The same ledger; `t1` was submitted here for 60 credits."""
    _known(ledger).submission, _known(ledger).price = OWN_ID, 60.0
    return ledger


def test_what_the_details_say_was_taken_settles_the_budget_once(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    submitted.now = 1300.0
    vendor.details["t1"] = [Verdict(Progress.GENERATING, 200, credits=55.5)]
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {f"submit/{OWN_ID}": 55.5}
    submitted.settled, submitted.now = {}, 1330.0
    settle(SETTLE, submitted, vendor, policy)
    assert (submitted.settled, len(vendor.asked)) == ({}, 2)


@pytest.mark.parametrize("keyed", [True, False])
def test_what_a_callback_says_was_taken_settles_the_budget_once(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, keyed: bool
) -> None:
    vendor.details["t1"] = [RUNNING]
    for settled in ({f"submit/{OWN_ID}": 75.0}, {}):
        submitted.settled = {}
        submitted.call_back(_body(500, creditsConsumed=75.0))
        settle(SETTLE, submitted, vendor if keyed else None, policy)
        assert submitted.settled == settled


@pytest.mark.parametrize(
    ("credits", "settled"), [(0.0, False), (59.9, False), (60.0, True), (240.0, True), (240.1, False), (1e9, False)]
)
def test_a_callbacks_word_frees_no_budget_and_fills_none(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, credits: float, settled: bool
) -> None:
    vendor.details["t1"] = [RUNNING]
    submitted.call_back(_body(500, creditsConsumed=credits))
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == ({f"submit/{OWN_ID}": credits} if settled else {})
    assert _known(submitted).credits == (credits if settled else None)


@pytest.mark.parametrize(("verdict", "credits"), [(RUNNING, 7.5), (FAILURE, 0.0), (FAILURE, 7.5), (SUCCESS, 0.0)])
def test_what_the_vendor_says_when_it_is_asked_counts_in_any_case(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, verdict: Verdict, credits: float
) -> None:
    submitted.now = 1300.0
    vendor.details["t1"] = [replace(verdict, credits=credits)]
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {f"submit/{OWN_ID}": credits}


def test_that_nothing_was_taken_yet_frees_no_budget(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    submitted.now = 1300.0
    vendor.details["t1"] = [replace(RUNNING, credits=0.0)]
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {}


def test_an_old_signature_settles_nothing(submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    submitted.call_back(_body(500, creditsConsumed=75.0), trust=Trust.STALE)
    vendor.details["t1"] = [RUNNING]
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {}


def test_what_was_not_submitted_here_is_not_settled(
    ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    ledger.now = 1300.0
    vendor.details["t1"] = [Verdict(Progress.GENERATING, 200, credits=55.5)]
    settle(SETTLE, ledger, vendor, policy)
    assert (_known(ledger).credits, ledger.settled) == (55.5, {})


@pytest.mark.parametrize(("credits", "settled"), [(119.9, False), (120.0, True), (480.0, True), (480.1, False)])
def test_what_a_callback_says_an_upgrade_took_settles_its_order(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, credits: float, settled: bool
) -> None:
    _order_4k(succeeded, policy)
    succeeded.call_back(_body(200, "https://x/said.mp4", creditsConsumed=credits), Route.UHD, Trust.SIGNED, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert succeeded.settled == ({"upgrade/t1/4k/0#1": credits} if settled else {})
    assert _known(succeeded).credits is None


def test_what_a_callback_says_was_taken_is_settled_though_there_is_no_slot(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    submitted.call_back(_body(500, creditsConsumed=75.0))
    submitted.no_slot = 1003.5
    settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {f"submit/{OWN_ID}": 75.0}


def test_what_a_callback_said_to_a_worker_that_died_is_settled(
    submitted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    submitted.call_back(_body(500, creditsConsumed=75.0))
    vendor.details["t1"] = [Died()]
    with pytest.raises(Died):
        settle(SETTLE, submitted, vendor, policy)
    assert submitted.settled == {f"submit/{OWN_ID}": 75.0}


# --- orders that run under an id of their own ---------------------------------------------------------------------------


def _call_back_as(
    ledger: MemoryLedger,
    task_id: str | None,
    trust: Trust = Trust.SIGNED,
    upgrade: tuple[Kind, int] | None = UHD,
    **data: Any,
) -> None:
    body = {"code": 500, "msg": "so it is", "data": {"taskId": task_id, **data} if task_id else None}
    ledger.call_back(json.dumps(body), Route.UHD, trust, upgrade)


def _alias(ledger: MemoryLedger) -> str:
    order = _find_4k(ledger).order
    assert order is not None
    return order.alias


@pytest.mark.parametrize("trust", [Trust.SIGNED, Trust.STALE])
def test_a_callback_under_an_orders_token_names_it_however_old_its_signature(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, trust: Trust
) -> None:
    _order_4k(succeeded, policy)
    _call_back_as(succeeded, "a1", trust, creditsConsumed=130.0)
    settle(SETTLE, succeeded, vendor, policy)
    assert (_alias(succeeded), succeeded.aliases, vendor.asked) == ("a1", {"a1": "t1/4k/0#1"}, [])
    order = _find_4k(succeeded).order
    assert order is not None
    assert order.credits == (130.0 if trust is Trust.SIGNED else None), (
        "an old signature's word on a price counts for nothing"
    )


@pytest.mark.parametrize(
    ("task_id", "trust", "upgrade"),
    [("t1", Trust.SIGNED, UHD), (None, Trust.TOKEN, UHD), ("a1", Trust.STALE, None)],
    ids=["parent", "none", "old and without a token"],
)
def test_other_callbacks_name_no_order(
    succeeded: MemoryLedger,
    vendor: ScriptedVendor,
    policy: Policy,
    task_id: str | None,
    trust: Trust,
    upgrade: tuple[Kind, int] | None,
) -> None:
    _order_4k(succeeded, policy)
    _call_back_as(succeeded, task_id, trust, upgrade)
    settle(SETTLE, succeeded, vendor, policy)
    assert (_alias(succeeded), succeeded.aliases) == ("", {})


def test_an_order_that_has_its_name_keeps_it(succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _order_4k(succeeded, policy)
    for task_id in ("a1", "a2"):
        _call_back_as(succeeded, task_id)
        settle(SETTLE, succeeded, vendor, policy)
    assert (_alias(succeeded), succeeded.aliases) == ("a1", {"a1": "t1/4k/0#1"})


def test_a_success_that_names_an_order_has_what_had_failed_without_an_id_asked_about(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    """Else it is paid for and made, and to ask for it by name could buy it again."""
    rendition = _order_4k(succeeded, policy)
    _known(succeeded).hear_order(rendition, OrderAnswer(OrderProgress.UNAVAILABLE, msg="broken"), 1001.0, policy)
    succeeded.now = 1100.0
    succeeded.call_back(_body(200, "https://x/said.mp4", taskId="a1"), Route.UHD, Trust.SIGNED, UHD)
    settle(SETTLE, succeeded, vendor, policy)
    assert (_find_4k(succeeded).state, _find_4k(succeeded).work.at) == (RenditionState.REQUESTED, 1100.0)
    order = _find_4k(succeeded).order
    assert order is not None
    assert (order.alias, order.reopened) == ("a1", True)


def test_what_was_not_ordered_is_not_named(succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _call_back_as(succeeded, "a1")
    settle(SETTLE, succeeded, vendor, policy)
    assert (_find_4k(succeeded).order, succeeded.aliases) == (None, {})


def _order_again(ledger: MemoryLedger, policy: Policy) -> None:
    """The first order came to nothing, and a second one is under way since 2000."""
    generation, rendition = _known(ledger), _order_4k(ledger, policy)
    generation.hear_order(rendition, OrderAnswer(OrderProgress.UNAVAILABLE, 422, "gone"), 1001.0, policy)
    generation.want_upgrade(Kind.UHD, 0, 2000.0)
    claim = generation.claim_upgrade(Kind.UHD, 0, 2000.0, policy, "other")
    assert claim is not None
    assert claim.order == 2
    assert generation.may_send_order(rendition, claim.fence, 2000.0, policy)
    generation.hear_order(rendition, OrderAnswer(OrderProgress.ORDERED, 200), 2000.0, policy)
    ledger.now = 2100.0


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("raw", [SAYS_SUCCESS, SAYS_FAILURE])
def test_a_callback_about_a_former_order_says_nothing_of_the_present_one(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str, order: int
) -> None:
    _order_again(succeeded, policy)
    before = _find_4k(succeeded).model_copy(deep=True)
    body = json.loads(raw)
    body["data"] |= {"taskId": "a1", "creditsConsumed": 130.0}
    entry = Entry(at=1.0, route=Route.UHD, trust=Trust.SIGNED, raw=json.dumps(body))
    succeeded.pending.append(Pending(entry, *UHD, order))
    settle(SETTLE, succeeded, vendor, policy)
    assert (_find_4k(succeeded) == before) is (order == 1)
    assert succeeded.aliases == ({} if order == 1 else {"a1": "t1/4k/0#2"})
    assert (_known(succeeded).received, succeeded.pending) == (1, [])


def test_callbacks_about_two_orders_are_no_repeats_of_each_other(
    succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    _order_again(succeeded, policy)
    for order in (1, 2, 1, 2):
        entry = Entry(at=1.0, route=Route.UHD, trust=Trust.SIGNED, raw=SAYS_FAILURE)
        succeeded.pending.append(Pending(entry, *UHD, order))
    settle(SETTLE, succeeded, vendor, policy)
    assert _known(succeeded).heard == ["4k/0 failed 500", "4k/0#2 failed 500"]
    assert _known(succeeded).duplicates == 2
