"""Submitting: one request, whatever dies in between; what may have been created is followed by its token and never sent again."""

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.domain.asked import Asked
from app.domain.errors import LedgerUnavailable
from app.domain.generation import Generation
from app.domain.ledger import Limit, Slot
from app.domain.policy import Policy
from app.domain.requests import ExtendRequest, GenerateRequest, Request
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import SubmitAnswer, SubmitProgress
from app.domain.work import Item, Kind
from app.pipeline import budget, lease
from app.pipeline import submit as module
from app.pipeline.submit import NO_KEY, Acceptance, accept, name_submission, submit, why_not_named
from tests.unit.pipeline.fakes import Died, Fate, MemoryLedger, ScriptedVendor

CAT = GenerateRequest(prompt="a cat", resolution="4k", imageUrls=["https://x/a.png?sig=s3cret"])
CREATED = SubmitAnswer(SubmitProgress.CREATED, 200, "success", "v1")
BUSY = SubmitAnswer(SubmitProgress.BUSY, 455, "maintenance")
LIMITED = SubmitAnswer(SubmitProgress.BUSY, 429, "too often", pause=12.5)
REFUSED = SubmitAnswer(SubmitProgress.REFUSED, 402, "no credits")
SILENT = SubmitAnswer(SubmitProgress.UNCERTAIN, msg="ReadTimeout")
ORDERS = Limit("orders", 20, 10.3)
DAY = 86400.0


def _body(code: int, task_id: str | None = None) -> str:
    data = {"taskId": task_id} if task_id else None
    return json.dumps({"code": code, "msg": "so it is", "data": data})


NAMED, NAMELESS_FAILURE, NAMELESS_QUESTION = _body(200, "v1"), _body(501), _body(408)


@pytest.fixture(autouse=True)
def _half_a_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.random, "random", lambda: 0.5)


@pytest.fixture
def accepted(policy: Policy) -> MemoryLedger:
    """A generation with a 4K was asked for at 1000, and waits to be sent."""
    return _accept(MemoryLedger(), CAT, policy)


def _accept(ledger: MemoryLedger, request: Request, policy: Policy) -> MemoryLedger:
    outcome = accept(request, [Kind.UHD], {"project": "cats"}, "key", ledger, policy).outcome
    assert outcome is Acceptance.ACCEPTED
    ledger.reserved = []
    return ledger


def _known(ledger: MemoryLedger) -> Submission:
    assert ledger.submission is not None
    return ledger.submission


def _item(ledger: MemoryLedger) -> Item:
    return _known(ledger).item


def _url(token: str) -> str | None:
    return f"https://keep.example/{token}"


def _run(ledger: MemoryLedger, vendor: ScriptedVendor | None, policy: Policy) -> None:
    submit(_item(ledger), ledger, vendor, policy, _url)


@pytest.fixture
def uncertain(accepted: MemoryLedger, policy: Policy) -> MemoryLedger:
    """Sent at 1000, with a time-out for an answer; now it is 2000."""
    _run(accepted, ScriptedVendor(submits=[SILENT]), policy)
    assert _known(accepted).state is State.UNCERTAIN
    accepted.now = 2000.0
    return accepted


# --- sending -----------------------------------------------------------------------------------------------------------


def test_it_is_sent_once_with_the_tokens_callback_url(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [CREATED]
    token = _known(accepted).token
    _run(accepted, vendor, policy)
    assert (vendor.asked, vendor.submitted) == ([f"submit a cat https://keep.example/{token}"], [CAT])
    assert (accepted.slots, accepted.confirmed) == ([(ORDERS, _item(accepted))], ["1"])
    assert (accepted.settled, accepted.pauses) == ({}, [])
    _run(accepted, vendor, policy)
    assert (len(vendor.asked), len(accepted.slots)) == (1, 1)


def test_the_note_stands_before_the_request_goes_out(accepted: MemoryLedger, policy: Policy) -> None:
    class Looking(ScriptedVendor):
        def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
            it = _known(accepted)
            assert (it.sent_at, it.sends, it.progress, it.work.leased) == (1000.0, 1, None, True)
            return super().submit(request, callback_url)

    looking = Looking(submits=[CREATED])
    _run(accepted, looking, policy)
    assert len(looking.asked) == 1


def test_where_the_vendor_cannot_reach_us_no_callback_is_asked_for(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [CREATED]
    submit(_item(accepted), accepted, vendor, policy, lambda token: None)
    assert vendor.asked == ["submit a cat None"]


def test_nothing_is_made_of_an_item_that_nobody_knows(vendor: ScriptedVendor, policy: Policy) -> None:
    ledger = MemoryLedger()
    submit(Item.parse("submit/sub_0123456789abcdef0123456789abcdef"), ledger, vendor, policy, _url)
    assert (ledger.submission, ledger.generation, vendor.asked, ledger.slots) == (None, None, [], [])


def test_a_second_worker_finds_it_taken(accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _known(accepted).claim(1000.0, policy, early=False)
    before = _known(accepted).model_copy(deep=True)
    _run(accepted, vendor, policy)
    assert (_known(accepted), vendor.asked, accepted.slots) == (before, [], [])


def test_without_a_key_it_waits_by_name_and_takes_nothing(accepted: MemoryLedger, policy: Policy) -> None:
    _run(accepted, None, policy)
    it = _known(accepted)
    assert (it.error, it.work.at, it.work.leased, it.sent_at) == (NO_KEY, 1300.0, False, None)
    assert (accepted.reserved, accepted.slots) == ([], [])


def test_once_there_is_a_key_it_is_sent(accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    _run(accepted, None, policy)
    accepted.now, vendor.submits = 1300.0, [CREATED]
    _run(accepted, vendor, policy)
    assert (_known(accepted).linked, _known(accepted).error) == (True, "")


def test_over_budget_it_is_held_until_tomorrow_and_takes_no_slot(
    accepted: MemoryLedger, vendor: ScriptedVendor
) -> None:
    policy = Policy(credits_per_day=500.0)
    accepted.over_budget = DAY
    _run(accepted, vendor, policy)
    it = _known(accepted)
    assert (it.error, it.work.at, it.state, it.sends) == (budget.HELD, DAY, State.WAITING, 0)
    assert (accepted.reserved, accepted.slots) == ([(str(it.item), 180.0, {"total": 500.0})], [])
    accepted.over_budget, accepted.now, vendor.submits = None, DAY, [CREATED]
    _run(accepted, vendor, policy)
    assert _known(accepted).linked


def test_without_a_slot_it_is_put_off_to_its_turn(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    accepted.no_slot = 1003.5
    _run(accepted, vendor, policy)
    it = _known(accepted)
    assert (it.error, it.work.at, it.work.leased) == (budget.WAITING, 1003.5, False)
    assert (it.sent_at, it.sends, vendor.asked, accepted.confirmed) == (None, 0, [], [])
    accepted.now = 1003.4
    _run(accepted, vendor, policy)
    assert len(accepted.slots) == 1
    accepted.now, accepted.no_slot, vendor.submits = 1003.5, None, [CREATED]
    _run(accepted, vendor, policy)
    assert (len(vendor.asked), _known(accepted).linked, _known(accepted).error) == (1, True, "")


def test_its_slot_is_one_among_the_orders_at_the_rate_that_is_set(accepted: MemoryLedger) -> None:
    accepted.no_slot = 1003.5
    _run(accepted, ScriptedVendor(), Policy(provider_rate=(5, 2.0)))
    assert accepted.slots == [(Limit("orders", 5, 2.06), _item(accepted))]


# --- answers -----------------------------------------------------------------------------------------------------------


def test_a_rate_limit_pauses_everybody_and_it_goes_again(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [LIMITED, CREATED]
    _run(accepted, vendor, policy)
    assert (accepted.pauses, accepted.settled) == ([("orders", 12.5)], {})
    assert (_known(accepted).state, _known(accepted).work.at) == (State.WAITING, 1012.5)
    accepted.now = 1012.4
    _run(accepted, vendor, policy)
    assert len(vendor.asked) == 1
    accepted.now = 1012.5
    _run(accepted, vendor, policy)
    assert (len(vendor.asked), _known(accepted).sends, _known(accepted).linked) == (2, 2, True)
    assert vendor.asked[0] == vendor.asked[1]


def test_what_the_vendor_could_not_take_goes_again_after_a_while(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [BUSY]
    _run(accepted, vendor, policy)
    assert (accepted.pauses, accepted.settled, _known(accepted).work.at) == ([], {}, 1001.0)


def test_what_the_vendor_refuses_costs_nothing(accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.submits = [REFUSED]
    _run(accepted, vendor, policy)
    assert (_known(accepted).state, _known(accepted).work.at) == (State.FAILED, None)
    assert accepted.settled == {str(_item(accepted)): 0.0}
    assert accepted.generation is None


def test_what_was_refused_and_is_tried_again_is_reserved_for_again(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [REFUSED, CREATED]
    _run(accepted, vendor, policy)
    _known(accepted).retry(1000.0)
    accepted.reserved = []
    _run(accepted, vendor, policy)
    assert (len(accepted.reserved), _known(accepted).linked) == (1, True)


def test_what_is_uncertain_stays_reserved_and_is_not_sent_again(uncertain: MemoryLedger, policy: Policy) -> None:
    vendor = ScriptedVendor()
    assert uncertain.settled == {}
    for now in (2000.0, 1000.0 + DAY, 1000.0 + 3 * DAY):
        uncertain.now = now
        _run(uncertain, vendor, policy)
    assert (_known(uncertain).state, _known(uncertain).work.at) == (State.LOST, None)
    assert (vendor.asked, uncertain.settled, len(uncertain.slots)) == ([], {}, 1)


def test_an_answer_that_comes_when_another_worker_has_looked_still_counts(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    class Slow(ScriptedVendor):
        def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
            accepted.now += policy.lease
            _run(accepted, vendor, policy)
            assert _known(accepted).state is State.UNCERTAIN
            return super().submit(request, callback_url)

    slow = Slow(submits=[CREATED])
    _run(accepted, slow, policy)
    assert (len(slow.asked), vendor.asked, _known(accepted).linked) == (1, [], True)


def test_a_worker_that_lost_its_claim_while_it_waited_for_a_slot_sends_nothing(policy: Policy) -> None:
    other = ScriptedVendor(submits=[SILENT])

    class Slow(MemoryLedger):
        def take_slot(self, limit: Limit, item: Item, *, waits: bool = True) -> Slot:
            if not self.slots:
                self.now += policy.lease
                super().take_slot(limit, item)
                _run(self, other, policy)
            return super().take_slot(limit, item)

    ledger, vendor = _accept(Slow(), CAT, policy), ScriptedVendor()
    _run(ledger, vendor, policy)
    assert (len(other.asked), vendor.asked) == (1, [])
    assert (_known(ledger).state, _known(ledger).sends) == (State.UNCERTAIN, 1)


def test_what_was_refused_is_not_looked_at_as_if_it_were_to_be_sent(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [REFUSED]
    _run(accepted, vendor, policy)
    accepted.slots, accepted.reserved = [], []
    accepted.call_back_there(NAMELESS_FAILURE)
    _run(accepted, vendor, policy)
    assert (accepted.slots, accepted.reserved, len(vendor.asked)) == ([], [], 1)
    assert (accepted.pending_there, _known(accepted).state) == ([], State.FAILED)


def test_neither_token_nor_prompt_nor_signed_query_is_logged(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    vendor.submits = [LIMITED, CREATED]
    with caplog.at_level(logging.INFO):
        _run(accepted, vendor, policy)
        accepted.now = 1012.5
        _run(accepted, vendor, policy)
    events = [record.getMessage() for record in caplog.records]
    assert events == ["submission.answered", "submission.answered", "submission.linked"]
    logged = " ".join(f"{record.getMessage()} {getattr(record, 'fields', {})}" for record in caplog.records)
    assert "'created': 'v1'" in logged
    for secret in (_known(accepted).token, "a cat", "s3cret"):
        assert secret not in logged


# --- handing over ------------------------------------------------------------------------------------------------------


def test_the_generation_carries_on_under_the_vendors_id(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [CREATED]
    accepted.now = 1005.0
    _run(accepted, vendor, policy)
    it, generation = _known(accepted), accepted.generation
    assert (it.linked, it.state, it.work.at, it.task_id) == (True, None, None, "v1")
    assert accepted.tokens == {it.token: "v1"}
    assert generation is not None
    assert (generation.task_id, generation.submission, generation.price) == ("v1", it.id, 180.0)
    assert (generation.tracked_at, generation.settle.at) == (1000.0, 1305.0)
    assert (generation.labels, generation.upgrades) == ({"project": "cats"}, [Kind.UHD])
    assert generation.request == CAT.shown()
    assert generation.asked == Asked(resolution="4k", aspect_ratio="16:9")


def test_an_extension_names_its_parent(succeeded: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    ledger = _accept(succeeded, ExtendRequest(taskId="t1", prompt="it goes on"), policy)
    vendor.submits = [CREATED]
    _run(ledger, vendor, policy)
    assert ledger.generation is not None
    assert (ledger.generation.task_id, ledger.generation.parent, ledger.generation.price) == ("v1", "t1", 60.0)


def test_a_generation_that_is_tracked_already_is_adopted(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    accepted.generation = Generation.track("v1", 500.0, policy)
    accepted.generation.set_labels({"mine": "yes"}, 500.0)
    vendor.submits = [CREATED]
    _run(accepted, vendor, policy)
    assert (accepted.generation.submission, accepted.generation.tracked_at) == (_known(accepted).id, 500.0)
    assert accepted.generation.labels == {"mine": "yes", "project": "cats"}


@pytest.mark.parametrize("raw", [NAMED, _body(500, "v1")])
def test_a_callback_names_what_was_uncertain_and_is_passed_on(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    uncertain.call_back_there(raw)
    (entry,) = [pending.entry for pending in uncertain.pending_there]
    _run(uncertain, vendor, policy)
    assert (_known(uncertain).linked, _known(uncertain).task_id, vendor.asked) == (True, "v1", [])
    assert uncertain.recorded == [("v1", None, entry)]
    assert ([pending.entry for pending in uncertain.pending], uncertain.pending_there) == ([entry], [])
    assert uncertain.tokens == {_known(uncertain).token: "v1"}


def test_what_was_given_up_is_settled_by_a_late_callback(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    uncertain.now = 1000.0 + DAY
    _run(uncertain, vendor, policy)
    assert _known(uncertain).state is State.LOST
    uncertain.now = 1000.0 + 9 * DAY
    uncertain.call_back_there(NAMED)
    _run(uncertain, vendor, policy)
    assert (_known(uncertain).linked, _known(uncertain).given_up) == (True, False)


def test_all_callbacks_that_wait_are_passed_on_in_their_order(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    for raw in (NAMELESS_QUESTION, _body(500, "v1"), NAMED):
        uncertain.call_back_there(raw)
    _run(uncertain, vendor, policy)
    assert [pending.entry.raw for pending in uncertain.pending] == [NAMELESS_QUESTION, _body(500, "v1"), NAMED]
    assert uncertain.pending_there == []
    assert [task_id for task_id, _, _ in uncertain.recorded] == ["v1", "v1", "v1"]


def test_a_callback_is_passed_on_to_the_generation_that_it_names(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    assert name_submission(_known(uncertain).id, "v7", uncertain) is not None
    for raw in (NAMED, NAMELESS_QUESTION, "{"):
        uncertain.call_back_there(raw)
    _run(uncertain, vendor, policy)
    assert [(task_id, token) for task_id, token, _ in uncertain.recorded] == [("v1", None), ("v7", None), ("v7", None)]
    assert _known(uncertain).linked


def test_a_generation_that_was_paid_for_is_tracked_though_another_was_named_meanwhile(policy: Policy) -> None:
    class Noting(MemoryLedger):
        def change(self, record_id: str, transition: Any, focus: Item | None = None) -> Any:
            noted.append(record_id)
            return super().change(record_id, transition, focus)

    class Slow(ScriptedVendor):
        def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
            ledger.now += policy.lease
            _run(ledger, ScriptedVendor(), policy)
            assert name_submission(_known(ledger).id, "v7", ledger) is not None
            noted.clear()
            return super().submit(request, callback_url)

    noted: list[str] = []
    ledger = _accept(Noting(), CAT, policy)
    _run(ledger, Slow(submits=[CREATED]), policy)
    assert noted[:3] == [_known(ledger).id, "v1", "v7"]
    assert (_known(ledger).task_id, _known(ledger).linked) == ("v7", True)


def test_a_callback_that_comes_while_the_others_are_passed_on_stays(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    uncertain.call_back_there(NAMED)
    record = uncertain.record

    def recording(*args: object) -> object:
        uncertain.call_back_there(_body(500, "v1"))
        return record(*args)  # type: ignore[arg-type]

    uncertain.record = recording  # type: ignore[assignment, method-assign]
    _run(uncertain, vendor, policy)
    assert [pending.entry.raw for pending in uncertain.pending_there] == [_body(500, "v1")]
    uncertain.record = record  # type: ignore[method-assign]
    _run(uncertain, vendor, policy)
    assert [pending.entry.raw for pending in uncertain.pending] == [NAMED, _body(500, "v1")]
    assert uncertain.pending_there == []


def test_a_failure_that_names_no_id_ends_it_and_is_kept(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    uncertain.call_back_there(NAMELESS_FAILURE)
    _run(uncertain, vendor, policy)
    it = _known(uncertain)
    assert (it.state, it.error, it.work.at) == (State.FAILED, "it was created and failed: so it is", None)
    assert (uncertain.pending_there, [entry.raw for entry in uncertain.kept]) == ([], [NAMELESS_FAILURE])
    assert (vendor.asked, uncertain.settled, uncertain.generation) == ([], {}, None)


@pytest.mark.parametrize("raw", [NAMELESS_QUESTION, "{}", "{", '"text"'])
def test_a_callback_that_says_nothing_is_kept_and_asks_for_nothing_more(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    uncertain.call_back_there(raw)
    _run(uncertain, vendor, policy)
    assert (_known(uncertain).state, _known(uncertain).work.at) == (State.UNCERTAIN, 1000.0 + DAY)
    assert (uncertain.pending_there, [entry.raw for entry in uncertain.kept]) == ([], [raw])
    assert _known(uncertain).agenda(pending=bool(uncertain.pending_there)) == {_item(uncertain): 1000.0 + DAY}


@pytest.mark.parametrize("raw", [NAMELESS_QUESTION, "{}", "{", '"text"', "[" * 100_000])
def test_a_callback_that_says_nothing_changes_nothing(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy, raw: str
) -> None:
    uncertain.call_back_there(raw)
    _run(uncertain, vendor, policy)
    assert (_known(uncertain).state, _known(uncertain).work.at) == (State.UNCERTAIN, 1000.0 + DAY)
    assert (vendor.asked, uncertain.recorded) == ([], [])


def test_a_callback_while_the_request_is_under_way_waits_for_the_answer(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    class Quick(ScriptedVendor):
        def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
            accepted.call_back_there(NAMED)
            _run(accepted, vendor, policy)
            return super().submit(request, callback_url)

    _run(accepted, Quick(submits=[CREATED]), policy)
    assert (_known(accepted).linked, vendor.asked) == (True, [])
    assert [pending.entry.raw for pending in accepted.pending] == [NAMED]


@pytest.mark.parametrize("by", ["answer", "callback"])
def test_a_generation_that_another_submission_has_brought_about_is_not_adopted(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, by: str
) -> None:
    others = Generation.track("v1", 500.0, policy)
    others.submission = "sub_ffffffffffffffffffffffffffffffff"
    accepted.generation = others.model_copy(deep=True)
    vendor.submits = [CREATED if by == "answer" else SILENT]
    if by == "callback":
        _run(accepted, vendor, policy)
        accepted.call_back_there(NAMED)
    _run(accepted, vendor, policy)
    it = _known(accepted)
    assert (accepted.generation, accepted.pending_there) == (others, [])
    assert (it.state, it.task_id, it.linked, it.work.at) == (State.UNCERTAIN, "", False, 1000.0 + DAY)
    assert accepted.tokens == {it.token: it.id}, "its own callback may still come"
    accepted.now = 2000.0
    accepted.call_back_there(_body(200, "v2"))
    accepted.generation, accepted.pending = None, []
    _run(accepted, vendor, policy)
    assert (_known(accepted).task_id, _known(accepted).linked, len(vendor.asked)) == ("v2", True, 1)


def test_a_mistake_that_two_workers_find_is_found_once(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy, caplog: pytest.LogCaptureFixture
) -> None:
    uncertain.generation = Generation.track("v1", 500.0, policy)
    uncertain.generation.submission = "sub_ffffffffffffffffffffffffffffffff"
    uncertain.call_back_there(NAMED)
    record, others = uncertain.record, [NAMELESS_QUESTION]

    def recording(*args: object) -> object:
        if others:
            later = others.pop()
            uncertain.now += policy.lease
            _run(uncertain, vendor, policy)
            assert _known(uncertain).task_id == ""
            uncertain.call_back_there(later)
        return record(*args)  # type: ignore[arg-type]

    uncertain.record = recording  # type: ignore[assignment, method-assign]
    with caplog.at_level(logging.INFO):
        _run(uncertain, vendor, policy)
    assert "submission.mistaken" in [entry.getMessage() for entry in caplog.records]
    assert [pending.entry.raw for pending in uncertain.pending_there] == [NAMELESS_QUESTION]


# --- killed at any moment ----------------------------------------------------------------------------------------------


@dataclass
class TrueVendor(ScriptedVendor):
    """Creates what it answers to have created, whether or not its answer arrives."""

    created: list[str] = field(default_factory=list)

    def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
        answer = super().submit(request, callback_url)
        if answer.task_id:
            self.created.append(answer.task_id)
        return answer


def _live_on(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    """Whenever it is due, another worker takes it on."""
    for _ in range(20):
        due = min(_known(ledger).agenda(pending=bool(ledger.pending_there)).values(), default=None)
        if due is None:
            return
        ledger.now = max(ledger.now, due)
        _run(ledger, vendor, policy)
    raise AssertionError("it is looked at for ever")


def _kill(ledger: MemoryLedger, vendor: ScriptedVendor, policy: Policy, fate: Fate) -> None:
    item = _item(ledger)
    with pytest.raises(Died):
        submit(item, fate.watch(ledger), fate.watch(vendor), policy, _url)


CALLS = ["claim", "reserve", "take_slot", "note", "submit", "hear", "confirm_slot", "adopt", "read", "link"]
POINTS = [(number, after) for number in range(1, len(CALLS) + 1) for after in (False, True)]
NAMES = [f"{'after' if after else 'before'} {CALLS[number - 1]}" for number, after in POINTS]


def test_every_call_is_known_by_name(accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    fate = Fate(0, after=False)
    vendor.submits = [CREATED]
    submit(_item(accepted), fate.watch(accepted), fate.watch(vendor), policy, _url)
    assert fate.calls == len(CALLS)


@pytest.mark.parametrize(("number", "after"), POINTS, ids=NAMES)
@pytest.mark.parametrize("callback", [False, True], ids=["silent", "with a callback"])
def test_a_worker_that_is_killed_anywhere_leads_to_no_second_request(
    accepted: MemoryLedger, policy: Policy, number: int, after: bool, callback: bool
) -> None:
    vendor = TrueVendor(submits=[CREATED])
    _kill(accepted, vendor, policy, Fate(number, after))
    called_back = callback and bool(vendor.created)
    if called_back:
        accepted.call_back_there(NAMED)
    _live_on(accepted, vendor, policy)
    it, noted = _known(accepted), (number, after) >= (4, True)
    assert len(vendor.asked) <= 1
    assert noted or vendor.created, "what was never sent is sent by the next"
    heard = not noted or (number, after) >= (6, True) or called_back
    assert it.linked is heard
    assert it.state is (None if heard else State.LOST)
    if heard:
        assert accepted.generation is not None
        assert (accepted.generation.task_id, accepted.generation.submission) == ("v1", it.id)
        assert accepted.tokens == {it.token: "v1"}
    assert (accepted.pending_there, bool(accepted.pending)) == ([], called_back)


#: in these courses a seventh call confirms the slot, and an eighth pauses everybody, or puts an end to the claim
NOT_TAKEN = [(number, after) for number in range(1, 9) for after in (False, True)]


@pytest.mark.parametrize(("number", "after"), NOT_TAKEN)
@pytest.mark.parametrize("answer", [LIMITED, BUSY], ids=["rate limit", "busy"])
def test_a_worker_that_is_killed_over_a_request_that_was_not_taken_leads_to_one_creation_at_most(
    accepted: MemoryLedger, policy: Policy, number: int, after: bool, answer: SubmitAnswer
) -> None:
    vendor = TrueVendor(submits=[answer, CREATED])
    _kill(accepted, vendor, policy, Fate(number, after))
    _live_on(accepted, vendor, policy)
    unsure = (4, True) <= (number, after) < (6, True)
    assert len(vendor.created) == (0 if unsure else 1)
    assert len(vendor.asked) <= (1 if unsure else 2)
    assert _known(accepted).state is (State.LOST if unsure else None)


@pytest.mark.parametrize(("number", "after"), NOT_TAKEN)
def test_a_worker_that_is_killed_over_a_refusal_leads_to_no_second_request(
    accepted: MemoryLedger, policy: Policy, number: int, after: bool
) -> None:
    vendor = TrueVendor(submits=[REFUSED])
    _kill(accepted, vendor, policy, Fate(number, after))
    _live_on(accepted, vendor, policy)
    unsure = (4, True) <= (number, after) < (6, True)
    assert len(vendor.asked) <= 1
    assert _known(accepted).state is (State.LOST if unsure else State.FAILED)


#: claim; adoption, look for callbacks, passing on of two, link
HANDING_OVER = [(number, after) for number in range(1, 7) for after in (False, True)]


@pytest.mark.parametrize(("number", "after"), HANDING_OVER)
def test_a_worker_that_is_killed_while_handing_over_loses_no_callback(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy, number: int, after: bool
) -> None:
    for raw in (NAMELESS_QUESTION, NAMED):
        uncertain.call_back_there(raw)
    _kill(uncertain, vendor, policy, Fate(number, after))
    _live_on(uncertain, vendor, policy)
    assert (_known(uncertain).linked, uncertain.pending_there, vendor.asked) == (True, [], [])
    assert {pending.entry.raw for pending in uncertain.pending} == {NAMELESS_QUESTION, NAMED}
    assert uncertain.tokens == {_known(uncertain).token: "v1"}


# --- the ledger is away ------------------------------------------------------------------------------------------------


def _without(ledger: MemoryLedger, name: str, calls: int) -> None:
    """One method of the ledger's is away for some calls."""
    method, left = getattr(ledger, name), [calls]

    def away(*args: object, **named: object) -> object:
        if left[0]:
            left[0] -= 1
            raise LedgerUnavailable("Redis is down")
        return method(*args, **named)

    setattr(ledger, name, away)


@pytest.mark.parametrize("name", ["reserve", "take_slot"])
def test_what_the_ledger_cannot_clear_is_not_sent(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, name: str
) -> None:
    _without(accepted, name, 1)
    with pytest.raises(LedgerUnavailable):
        _run(accepted, vendor, policy)
    assert (vendor.asked, _known(accepted).sent_at) == ([], None)
    vendor.submits, accepted.now = [CREATED], 1060.0
    _run(accepted, vendor, policy)
    assert _known(accepted).linked


def test_what_the_ledger_cannot_note_is_not_sent(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    accepted.outages = {accepted.changes + 2}
    with pytest.raises(LedgerUnavailable):
        _run(accepted, vendor, policy)
    assert (vendor.asked, _known(accepted).sent_at) == ([], None)


def test_an_answer_is_written_down_once_the_ledger_is_back(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    accepted.outages = {accepted.changes + number for number in (3, 4, 5)}
    vendor.submits = [LIMITED]
    _run(accepted, vendor, policy)
    assert (accepted.pauses, _known(accepted).to_be_sent) == ([("orders", 12.5)], True)
    assert _known(accepted).error == "not taken yet, goes again: too often"


@pytest.mark.parametrize("name", ["confirm_slot", "pause"])
def test_an_answer_is_not_lost_with_what_follows_it(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy, name: str
) -> None:
    _without(accepted, name, 1)
    vendor.submits = [LIMITED]
    with pytest.raises(LedgerUnavailable):
        _run(accepted, vendor, policy)
    assert (_known(accepted).to_be_sent, _known(accepted).work.at) == (True, 1012.5)


def test_an_answer_that_cannot_be_written_down_is_not_asked_for_again(
    accepted: MemoryLedger, vendor: ScriptedVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    policy = Policy(lease=0.02)
    vendor.submits = [CREATED]
    accepted.outages = set(range(accepted.changes + 3, 100_000))
    with pytest.raises(LedgerUnavailable):
        _run(accepted, vendor, policy)
    accepted.outages, accepted.now = set(), 1001.0
    _run(accepted, vendor, policy)
    assert (len(vendor.asked), _known(accepted).state) == (1, State.UNCERTAIN)


# --- the user knows ----------------------------------------------------------------------------------------------------


def test_the_user_may_name_what_was_uncertain(uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    named = name_submission(_known(uncertain).id, "v7", uncertain)
    assert named is not None
    assert (named.task_id, named.work.at, _known(uncertain).task_id) == ("v7", 2000.0, "v7")
    _run(uncertain, vendor, policy)
    assert (_known(uncertain).linked, vendor.asked) == (True, [])
    assert uncertain.generation is not None
    assert (uncertain.generation.task_id, uncertain.generation.submission) == ("v7", named.id)


def test_the_user_may_name_what_was_given_up(uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    uncertain.now = 1000.0 + DAY
    _run(uncertain, vendor, policy)
    named = name_submission(_known(uncertain).id, "v7", uncertain)
    assert named is not None
    assert (named.task_id, named.state, named.given_up) == ("v7", State.WAITING, False)


def test_the_user_may_name_what_was_created_and_failed_without_an_id(
    uncertain: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    uncertain.call_back_there(NAMELESS_FAILURE)
    _run(uncertain, vendor, policy)
    named = name_submission(_known(uncertain).id, "v7", uncertain)
    assert named is not None
    assert (named.task_id, named.state) == ("v7", State.WAITING)


def _name_in_vain(ledger: MemoryLedger) -> str:
    """Why `v7` was not taken for what has come of it."""
    before = _known(ledger).model_copy(deep=True)
    assert name_submission(before.id, "v7", ledger) == before
    assert _known(ledger) == before
    return why_not_named(before, "v7").removeprefix(f"{before.id} ")


def test_the_user_names_nothing_that_was_not_sent(accepted: MemoryLedger) -> None:
    assert _name_in_vain(accepted) == "is waiting: what has come of it is no question"


def test_the_user_names_nothing_that_is_on_its_way(accepted: MemoryLedger, policy: Policy) -> None:
    class Quick(ScriptedVendor):
        def submit(self, request: Request, callback_url: str | None) -> SubmitAnswer:
            reasons.append(_name_in_vain(accepted))
            return super().submit(request, callback_url)

    reasons: list[str] = []
    _run(accepted, Quick(submits=[CREATED]), policy)
    assert reasons == ["is waiting: what has come of it is no question"]


def test_the_user_names_nothing_that_was_refused(
    accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy
) -> None:
    vendor.submits = [REFUSED]
    _run(accepted, vendor, policy)
    assert _name_in_vain(accepted) == "is failed: what has come of it is no question"


def test_an_id_that_is_known_is_not_named_anew(accepted: MemoryLedger, vendor: ScriptedVendor, policy: Policy) -> None:
    vendor.submits = [CREATED]
    _run(accepted, vendor, policy)
    assert _name_in_vain(accepted) == "has brought about v1"


def test_a_generation_of_another_submission_is_not_named(uncertain: MemoryLedger, policy: Policy) -> None:
    uncertain.generation = Generation.track("v7", 500.0, policy)
    uncertain.generation.submission = "sub_ffffffffffffffffffffffffffffffff"
    assert _name_in_vain(uncertain) == "v7 has come of another submission"


@pytest.mark.parametrize("own", [False, True])
def test_a_generation_of_no_other_submission_may_be_named(uncertain: MemoryLedger, policy: Policy, own: bool) -> None:
    uncertain.generation = Generation.track("v7", 500.0, policy)
    uncertain.generation.submission = _known(uncertain).id if own else ""
    named = name_submission(_known(uncertain).id, "v7", uncertain)
    assert named is not None
    assert named.task_id == "v7"


def test_nobody_names_what_is_not_known(accepted: MemoryLedger) -> None:
    assert name_submission("sub_ffffffffffffffffffffffffffffffff", "v7", accepted) is None
