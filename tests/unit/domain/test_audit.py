"""The audit: what was paid for, what came of it, and what is suspicious about it."""

import json
from dataclasses import replace

import pytest

from app.domain.audit import Charge, Row, Suspicion, Totals, describe_row, describe_totals, examine, show_credits
from app.domain.callbacks import Callback, Outcome
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Rendition
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind

SUB = "sub_" + "0" * 32
SHA = "ab" * 32
HD_VIDEO = Media("video/mp4", "mp4", 1280, 720, 8.0)
UHD_VIDEO = Media("video/mp4", "mp4", 3840, 2160, 8.0)
DONE = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4?sig=s3cret",)))
FAILURE = Verdict(Progress.FAILED, 501, "broken")
ORDERED = OrderAnswer(OrderProgress.ORDERED, 200, task_id="alias-1")
READY = OrderAnswer(
    OrderProgress.READY, 200, urls=Urls(result=("https://x/4k.mp4",), image=("https://x/4k.jpg",)), task_id="alias-1"
)
GONE = OrderAnswer(OrderProgress.UNAVAILABLE, 500, "no 4K of this video")
FAILED, TWICE, MORE, LESS, NEVER = Suspicion


def submit(task_id: str = "", price: float = 60.0) -> Submission:
    """A submission of a generation; with an id: the vendor has taken it."""
    return _submission(GenerateRequest(prompt="a cat"), SubmitAnswer(SubmitProgress.CREATED, task_id=task_id), price)


def _submission(request: GenerateRequest | ExtendRequest, answer: SubmitAnswer | None, price: float) -> Submission:
    policy = Policy()
    submission = Submission(
        id=SUB, tracked_at=900.0, since=900.0, request=request, fingerprint="f", token="s3cret", price=price
    )
    submission.work.at = 900.0
    fence = submission.claim(901.0, policy, early=False)
    assert fence is not None
    sending = submission.may_send(fence, 902.0, policy)
    assert sending is not None
    if answer is not None:
        submission.hear(answer, sending, 903.0, policy, 0.5)
    return submission


def store(generation: Generation, kind: Kind = Kind.RESULT, index: int = 0, media: Media = HD_VIDEO) -> None:
    """Mirror a rendition."""
    rendition = generation.find(kind, index)
    assert rendition is not None
    assert generation.claim_mirror(rendition, 9000.0, Policy()) is not None
    generation.store(rendition, f"veo/t1/{kind}-{index}.mp4", 1000, SHA, media, 9001.0)


def order(generation: Generation, *answers: OrderAnswer, kind: Kind = Kind.UHD, now: float = 1100.0) -> Rendition:
    """Want an upgrade, send its order and have the vendor answer, again and again."""
    generation.want_upgrade(kind, 0, now)
    rendition = generation.find(kind, 0)
    assert rendition is not None
    for step, answer in enumerate(answers):
        at = now + 1000.0 * step
        claim = generation.claim_upgrade(kind, 0, at, Policy(), "s3cret")
        assert claim is not None
        assert generation.may_send_order(rendition, claim.fence, at, Policy())
        generation.hear_order(rendition, answer, at + 1, Policy())
    return rendition


def found(row: Row) -> list[Suspicion]:
    """The names of all that is suspicious."""
    return [finding.name for finding in row.findings]


def pick(row: Row, what: str) -> Charge:
    """A row's first charge of a sort."""
    return next(charge for charge in row.charges if charge.what == what)


@pytest.fixture
def own(waiting: Generation) -> Generation:
    """Submitted here for 60 credits, without a verdict."""
    assert waiting.adopt(submit("t1"), 1000.0)
    return waiting


@pytest.fixture
def done(own: Generation) -> Generation:
    """Submitted here, succeeded and stored."""
    own.hear(DONE, "poll", 1000.0)
    store(own)
    return own


# --- what is in a row ------------------------------------------------------------------------------------------------------


def test_what_was_delivered_for_its_price_is_not_suspicious(done: Generation, policy: Policy) -> None:
    done.hear_credits(60.0, 1000.0)
    order(done, ORDERED, replace(READY, credits=120.0))
    store(done, Kind.UHD, media=UHD_VIDEO)
    store(done, Kind.IMAGE)
    row = examine(done, policy)
    assert row.findings == ()
    assert [(charge.what, charge.index, charge.delivered, charge.consumed) for charge in row.charges] == [
        ("generation", None, True, 60.0),
        ("4k", 0, True, 120.0),
    ]


def test_a_row_has_what_the_vendors_support_asks_for(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, READY)
    store(done, Kind.UHD, media=UHD_VIDEO)
    row = examine(done, policy)
    assert (row.id, row.task_id, row.prompt, row.state) == (SUB, "t1", "a cat", State.MIRRORING)
    assert (row.tracked_at, row.verdict_at) == (900.0, 1000.0)
    own, upgrade = row.charges
    assert (own.vendor_id, own.code, own.msg, own.reserved, own.price) == ("t1", 200, "done", 60.0, 60.0)
    assert (upgrade.vendor_id, upgrade.ordered_at, upgrade.asked_at, upgrade.asks) == ("alias-1", 1100.0, 2100.0, 2)
    assert (upgrade.reserved, upgrade.consumed, upgrade.price) == (120.0, None, 120.0)
    assert [(file.kind, file.sha256, file.bytes, file.stored_at) for file in upgrade.stored] == [
        (Kind.UHD, SHA, 1000, 9001.0)
    ]


def test_a_picture_comes_with_its_4k_and_every_file_with_one_charge(done: Generation, policy: Policy) -> None:
    order(done, READY)
    row = examine(done, policy)
    assert [[file.kind for file in charge.files] for charge in row.charges] == [[Kind.RESULT], [Kind.UHD, Kind.IMAGE]]


def test_an_upgrade_that_is_not_ordered_yet_is_no_charge(done: Generation, policy: Policy) -> None:
    order(done)
    (charge,) = examine(done, policy).charges
    assert (charge.what, charge.delivered, [file.kind for file in charge.files]) == ("generation", True, [Kind.RESULT])


def test_a_4k_that_is_tracked_by_its_own_id_is_that_generations_file(waiting: Generation, policy: Policy) -> None:
    waiting.hear(replace(DONE, main=Kind.UHD), "poll", 1000.0)
    (charge,) = examine(waiting, policy).charges
    assert (charge.delivered, [file.kind for file in charge.files]) == (False, [Kind.UHD])
    store(waiting, Kind.UHD, media=UHD_VIDEO)
    (charge,) = examine(waiting, policy).charges
    assert (charge.delivered, [file.kind for file in charge.stored]) == (True, [Kind.UHD])


def test_a_generation_is_delivered_when_all_its_videos_are(own: Generation, policy: Policy) -> None:
    own.hear(replace(DONE, urls=Urls(result=("https://x/0", "https://x/1"))), "poll", 1000.0)
    store(own)
    assert not examine(own, policy).charges[0].delivered
    store(own, index=1)
    assert examine(own, policy).charges[0].delivered


def test_what_an_order_brings_is_not_the_generations(waiting: Generation, policy: Policy) -> None:
    order(waiting, ORDERED)
    waiting.hear(replace(DONE, main=Kind.UHD), "poll", 1000.0)
    own, upgrade = examine(waiting, policy).charges
    assert (own.delivered, own.files, [file.kind for file in upgrade.files]) == (False, (), [Kind.UHD])


def test_an_extension_is_called_one(policy: Policy) -> None:
    request = ExtendRequest(task_id="t0", prompt="more")
    submission = _submission(request, SubmitAnswer(SubmitProgress.CREATED, task_id="t1"), 60.0)
    generation = Generation.track("t1", 1000.0, policy)
    generation.adopt(submission, 1000.0)
    for row in (examine(submission, policy), examine(generation, policy)):
        assert (row.parent, row.charges[0].what) == ("t0", "extension")


def test_judging_changes_nothing(done: Generation, policy: Policy) -> None:
    order(done, GONE)
    before = done.model_copy(deep=True)
    assert examine(done, policy) == examine(done, policy)
    assert done == before


# --- charged but failed ----------------------------------------------------------------------------------------------------


def test_a_failure_that_took_credits_is_suspicious(waiting: Generation, policy: Policy) -> None:
    waiting.hear(replace(FAILURE, credits=60.5), "poll", 1100.0)
    row = examine(waiting, policy)
    assert [(finding.name, finding.sentence) for finding in row.findings] == [
        (FAILED, "it failed with code 501, and 60.5 credits were taken")
    ]


def test_a_failure_that_took_nothing_is_not(own: Generation, policy: Policy) -> None:
    own.hear(replace(FAILURE, credits=0.0), "poll", 1100.0)
    assert found(examine(own, policy)) == []


def test_a_failure_of_what_was_submitted_here_was_perhaps_charged(own: Generation, policy: Policy) -> None:
    own.hear(FAILURE, "poll", 1100.0)
    (finding,) = examine(own, policy).findings
    assert finding.name is FAILED
    assert "perhaps 60 credits were charged" in finding.sentence


def test_a_failure_of_what_was_submitted_elsewhere_is_no_reason_to_ask(waiting: Generation, policy: Policy) -> None:
    waiting.hear(FAILURE, "poll", 1100.0)
    assert found(examine(waiting, policy)) == []


def test_what_was_given_up_was_perhaps_charged_and_never_delivered(own: Generation, policy: Policy) -> None:
    own.await_verdict(90_000.0, policy)
    row = examine(own, policy)
    assert (row.state, found(row)) == (State.LOST, [FAILED, NEVER])
    assert "perhaps 60" in row.findings[0].sentence
    assert "no verdict within 86400 s" in row.findings[1].sentence


def test_what_waits_for_a_verdict_is_not_suspicious(own: Generation, policy: Policy) -> None:
    own.hear_credits(60.0, 1000.0)
    assert found(examine(own, policy)) == []


def test_an_upgrade_that_was_taken_and_came_to_nothing_is_suspicious(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, GONE)
    row = examine(done, policy)
    assert found(row) == [FAILED]
    assert "perhaps 120 credits were charged" in row.findings[0].sentence
    assert pick(row, "4k").findings
    assert (pick(row, "4k").vendor_id, pick(row, "4k").error) == ("alias-1", "no 4K of this video")


def test_an_upgrade_that_came_to_nothing_and_took_nothing_is_not(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, replace(GONE, credits=0.0))
    assert found(examine(done, policy)) == []


def test_an_upgrade_that_was_only_refused_is_not(done: Generation, policy: Policy) -> None:
    order(done, GONE)
    row = examine(done, policy)
    assert found(row) == []
    assert (pick(row, "4k").reserved, pick(row, "4k").state) == (0.0, "unavailable")


def test_a_refusal_that_took_credits_is_suspicious(done: Generation, policy: Policy) -> None:
    order(done, replace(GONE, credits=120.0))
    assert found(examine(done, policy)) == [FAILED]


def test_an_upgrade_under_way_is_not_suspicious(done: Generation, policy: Policy) -> None:
    order(done, ORDERED)
    assert found(examine(done, policy)) == []


def test_an_upgrade_that_was_never_ordered_is_not_suspicious(waiting: Generation, policy: Policy) -> None:
    waiting.hear(DONE, "poll", 1000.0)
    waiting.deny_upgrade(Kind.UHD, 0, "nobody asked for it", 1000.0)
    row = examine(waiting, policy)
    assert (found(row), len(row.charges)) == ([], 1)


# --- bought twice, charged more --------------------------------------------------------------------------------------------


def test_two_orders_that_were_taken_are_suspicious(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, replace(GONE, credits=110.0))
    order(done, READY, now=5000.0)
    store(done, Kind.UHD, media=UHD_VIDEO)
    row = examine(done, policy)
    assert found(row) == [FAILED, TWICE]
    assert row.findings[1].sentence == "the vendor took 2 orders of the same 4k"
    _, present, former = row.charges
    assert (present.delivered, present.findings, present.reserved) == (True, (), 120.0)
    assert (former.orders, former.reserved, former.delivered, former.vendor_id) == (1, 110.0, False, "")


def test_an_order_after_one_that_was_refused_is_not_bought_twice(done: Generation, policy: Policy) -> None:
    order(done, GONE)
    order(done, READY, now=5000.0)
    row = examine(done, policy)
    assert (found(row), len(row.charges)) == ([], 2)


def test_a_refusal_hides_no_order_that_was_taken_before(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, GONE)
    order(done, GONE, now=5000.0)
    row = examine(done, policy)
    assert found(row) == [FAILED]
    assert [charge.cost for charge in row.charges] == [60.0, 0.0, 120.0]


def test_an_order_before_the_present_one_that_took_nothing_was_no_charge(done: Generation, policy: Policy) -> None:
    order(done, ORDERED, replace(GONE, credits=0.0))
    order(done, ORDERED, now=5000.0)
    assert found(examine(done, policy)) == [TWICE]


@pytest.mark.parametrize(
    ("credits", "names"), [(59.9, []), (60.0, []), (60.1, [MORE]), (119.9, [MORE]), (120.0, [TWICE]), (500.0, [TWICE])]
)
def test_what_was_taken_is_held_against_the_price(
    done: Generation, policy: Policy, credits: float, names: list[Suspicion]
) -> None:
    done.hear_credits(credits, 1000.0)
    row = examine(done, policy)
    assert found(row) == names
    assert all(f"{show_credits(credits)} credits were taken" in finding.sentence for finding in row.findings)


@pytest.mark.parametrize(("credits", "names"), [(120.0, []), (121.0, [MORE]), (240.0, [TWICE])])
def test_what_an_upgrade_took_is_held_against_its_price(
    done: Generation, policy: Policy, credits: float, names: list[Suspicion]
) -> None:
    order(done, replace(ORDERED, credits=credits))
    assert found(examine(done, policy)) == names


def test_what_should_cost_nothing_is_charged_more_and_not_twice(waiting: Generation, policy: Policy) -> None:
    waiting.adopt(submit("t1", price=0.0), 1000.0)
    waiting.hear(replace(DONE, credits=1.0), "poll", 1000.0)
    assert found(examine(waiting, policy)) == [MORE]


def test_what_was_submitted_elsewhere_has_no_price_to_be_held_against(waiting: Generation, policy: Policy) -> None:
    waiting.hear(replace(DONE, credits=9999.0), "poll", 1000.0)
    row = examine(waiting, policy)
    assert (found(row), row.charges[0].price) == ([], None)


def test_an_order_from_before_prices_were_recorded_has_the_policys(done: Generation) -> None:
    rendition = order(done, replace(ORDERED, credits=150.0))
    assert rendition.order is not None
    rendition.order.price = 0.0
    assert found(examine(done, Policy(prices={"4k": 150.0}))) == []
    assert found(examine(done, Policy(prices={"4k": 140.0}))) == [MORE]


# --- downgraded ------------------------------------------------------------------------------------------------------------


def test_a_4k_without_its_lines_is_downgraded(done: Generation, policy: Policy) -> None:
    order(done, READY)
    store(done, Kind.UHD, media=HD_VIDEO)
    row = examine(done, policy)
    assert found(row) == [LESS]
    assert "720 lines" in pick(row, "4k").findings[0].sentence


def test_a_result_that_is_not_what_was_asked_for_is_downgraded(waiting: Generation, policy: Policy) -> None:
    answer = SubmitAnswer(SubmitProgress.CREATED, task_id="t1")
    waiting.adopt(_submission(GenerateRequest(prompt="a cat", resolution="1080p"), answer, 65.0), 1000.0)
    waiting.hear(DONE, "poll", 1000.0)
    store(waiting)
    row = examine(waiting, policy)
    assert found(row) == [LESS]
    assert "1080p was asked for" in pick(row, "generation").findings[0].sentence


def test_a_video_of_the_fallback_model_is_downgraded(waiting: Generation, policy: Policy) -> None:
    waiting.hear(replace(DONE, fallback=True), "poll", 1000.0)
    assert found(examine(waiting, policy)) == [LESS]


# --- never delivered -------------------------------------------------------------------------------------------------------


def test_a_dead_link_is_never_delivered(own: Generation, policy: Policy) -> None:
    own.hear(replace(DONE, credits=60.0), "poll", 1000.0)
    own.fail(own.renditions[0], "link dead everywhere: HTTP 404", 1100.0)
    row = examine(own, policy)
    assert (row.state, found(row)) == (State.LOST, [NEVER])
    assert row.findings[0].sentence == "result 0 is lost: link dead everywhere: HTTP 404"
    assert not row.charges[0].delivered


def test_a_dead_link_of_an_upgrade_is_the_upgrades(done: Generation, policy: Policy) -> None:
    upgrade = order(done, READY)
    done.fail(upgrade, "link dead everywhere: HTTP 404", 3000.0)
    row = examine(done, policy)
    assert [finding.name for finding in pick(row, "4k").findings] == [NEVER]
    assert (pick(row, "generation").findings, pick(row, "generation").delivered) == ((), True)


def test_a_picture_is_no_loss(done: Generation, policy: Policy) -> None:
    order(done, READY)
    store(done, Kind.UHD, media=UHD_VIDEO)
    picture = done.find(Kind.IMAGE, 0)
    assert picture is not None
    done.fail(picture, "link dead", 3000.0)
    row = examine(done, policy)
    assert (found(row), pick(row, "4k").delivered) == ([], True)


def test_a_picture_beside_a_result_is_no_loss_either(own: Generation, policy: Policy) -> None:
    own.hear(replace(DONE, urls=Urls(result=("https://x/0.mp4",), image=("https://x/0.jpg",))), "poll", 1000.0)
    store(own)
    own.fail(own.renditions[1], "link dead", 3000.0)
    row = examine(own, policy)
    assert (found(row), row.charges[0].delivered) == ([], True)


def test_a_success_that_names_no_result_is_never_delivered(own: Generation, policy: Policy) -> None:
    own.hear(replace(DONE, urls=Urls()), "poll", 1000.0)
    assert found(examine(own, policy)) == [NEVER]


def test_results_that_the_vendor_does_not_name_are_never_delivered(own: Generation, policy: Policy) -> None:
    own.hear(replace(DONE, urls=Urls(result=("https://x/0.mp4", ""))), "poll", 1000.0)
    store(own)
    row = examine(own, policy)
    assert found(row) == [NEVER]
    assert row.findings[0].sentence.endswith("(the vendor is still being asked)")
    assert not row.charges[0].delivered
    own.await_verdict(90_000.0, policy)
    assert examine(own, policy).findings[0].sentence.endswith("(given up)")


# --- submissions -----------------------------------------------------------------------------------------------------------

NO_ANSWER = SubmitAnswer(SubmitProgress.UNCERTAIN, msg="timed out")


def test_a_submission_on_its_way_is_not_suspicious(policy: Policy) -> None:
    row = examine(_submission(GenerateRequest(prompt="a cat"), None, 60.0), policy)
    assert (row.id, row.task_id, row.state, row.sent_at, found(row)) == (SUB, "", State.WAITING, 902.0, [])
    assert (row.charges[0].reserved, row.charges[0].consumed) == (60.0, None)


def test_an_uncertain_submission_is_never_delivered_and_found_by_its_prompt(policy: Policy) -> None:
    row = examine(_submission(GenerateRequest(prompt="a cat"), NO_ANSWER, 60.0), policy)
    assert (row.state, found(row), row.prompt, row.sent_at) == (State.UNCERTAIN, [NEVER], "a cat", 902.0)
    assert "perhaps 60 credits" in row.findings[0].sentence


def test_a_lost_submission_is_never_delivered(policy: Policy) -> None:
    submission = _submission(GenerateRequest(prompt="a cat"), NO_ANSWER, 60.0)
    fence = submission.claim(99_000.0, policy, early=True)
    assert fence is not None
    submission.wait(fence, 99_000.0, policy)
    row = examine(submission, policy)
    assert (row.state, found(row)) == (State.LOST, [NEVER])


def test_a_submission_that_was_created_and_failed_was_perhaps_charged(policy: Policy) -> None:
    submission = _submission(GenerateRequest(prompt="a cat"), NO_ANSWER, 60.0)
    submission.hear_callback(Callback(None, Outcome.FAILED, 400, "unsafe"), 950.0)
    row = examine(submission, policy)
    assert (row.state, found(row)) == (State.FAILED, [FAILED])
    assert (row.charges[0].code, row.charges[0].msg, row.charges[0].reserved) == (400, "unsafe", 60.0)


def test_a_submission_that_was_refused_cost_nothing(policy: Policy) -> None:
    answer = SubmitAnswer(SubmitProgress.REFUSED, 402, "no credits")
    row = examine(_submission(GenerateRequest(prompt="a cat"), answer, 60.0), policy)
    assert (row.state, found(row), row.charges[0].reserved) == (State.FAILED, [], 0.0)


# --- totals ----------------------------------------------------------------------------------------------------------------


def test_totals_add_up(done: Generation, policy: Policy) -> None:
    done.hear_credits(60.5, 1000.0)  # 0.5 more than the price
    order(done, replace(READY, credits=100.0))
    store(done, Kind.UHD, media=UHD_VIDEO)
    failed = Generation.track("t2", 1000.0, policy)
    failed.hear(replace(FAILURE, credits=30.0), "poll", 1000.0)
    uncertain = _submission(GenerateRequest(prompt="a cat"), NO_ANSWER, 250.0)
    totals = Totals()
    for record in (done, failed, uncertain):
        totals = totals.plus(examine(record, policy))
    assert totals.reserved == 60 + 120 + 250
    assert totals.consumed == 60.5 + 100 + 30
    assert totals.delivered == 60.5 + 100
    assert totals.suspicious == 60.5 + 30 + 250
    assert (totals.suspects, totals.files, totals.bytes) == (3, 2, 2000)
    assert {state: count for state, count in totals.generations.items() if count} == {
        State.MIRRORING: 1,
        State.FAILED: 1,
        State.UNCERTAIN: 1,
    }
    assert totals.findings == {FAILED: 1, TWICE: 0, MORE: 1, LESS: 0, NEVER: 1}


def test_totals_of_nothing_name_every_state_and_suspicion() -> None:
    shown = describe_totals(Totals())
    assert shown["generations"] == {str(state): 0 for state in State}
    assert shown["findings"] == {str(name): 0 for name in Suspicion}
    assert sum(value for value in shown.values() if not isinstance(value, dict)) == 0


# --- as it is shown --------------------------------------------------------------------------------------------------------


def test_a_row_as_json(done: Generation, policy: Policy) -> None:
    done.hear_credits(61.0, 1000.0)
    order(done, ORDERED)
    shown = describe_row(examine(done, policy))
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    own, upgrade = shown.pop("charges")
    assert shown == {
        "id": SUB,
        "taskId": "t1",
        "state": "mirroring",
        "extends": None,
        "prompt": "a cat",
        "trackedAt": "1970-01-01T00:15:00.000Z",
        "sentAt": None,
        "verdictAt": "1970-01-01T00:16:40.000Z",
        "completeAt": None,
        "suspicious": True,
    }
    assert own.pop("files") == [
        {
            "kind": "result",
            "index": 0,
            "state": "stored",
            "key": "veo/t1/result-0.mp4",
            "bytes": 1000,
            "sha256": SHA,
            "storedAt": "1970-01-01T02:30:01.000Z",
            "note": None,
        }
    ]
    assert own.pop("findings") == [
        {"name": "charged_more", "sentence": "61 credits were taken, the price is reckoned to be 60"}
    ]
    assert own == {
        "what": "generation",
        "index": None,
        "orders": 1,
        "vendorId": "t1",
        "state": "mirroring",
        "creditsReserved": 60.0,
        "creditsConsumed": 61.0,
        "creditsReckoned": 60.0,
        "delivered": True,
        "orderedAt": None,
        "askedAt": None,
        "asks": 0,
        "code": 200,
        "msg": "done",
        "error": None,
    }
    assert (upgrade["what"], upgrade["index"], upgrade["vendorId"]) == ("4k", 0, "alias-1")
    assert (upgrade["orderedAt"], upgrade["state"]) == ("1970-01-01T00:18:20.000Z", "requested")


def test_nothing_secret_and_nothing_that_steers_a_terminal_is_shown(waiting: Generation, policy: Policy) -> None:
    odd = "see https://x/a.mp4?sig=s3cret or /callbacks/veo/s3cret \x1b[31m\r\nnow\u202e"
    request = GenerateRequest(prompt=odd, image_urls=["https://x/in.png?sig=s3cret"])
    submission = _submission(request, SubmitAnswer(SubmitProgress.CREATED, task_id="t1"), 60.0)
    waiting.adopt(submission, 1000.0)
    waiting.hear(replace(DONE, msg=odd), "poll", 1000.0)
    upgrade = order(waiting, ORDERED)
    waiting.expect_upgrade(upgrade, odd, 1200.0, policy)
    waiting.fail(waiting.renditions[0], odd, 1300.0)
    uncertain = _submission(request, SubmitAnswer(SubmitProgress.UNCERTAIN, msg=odd), 60.0)
    for row in (examine(waiting, policy), examine(uncertain, policy)):
        text = json.dumps(describe_row(row), ensure_ascii=False)
        assert "s3cret" not in text
        assert "\\u001b" not in text
        assert "\\r" not in text
        assert text.isprintable()
        assert "https://x/a.mp4?… or /callbacks/veo/… [31m now" in text


@pytest.mark.parametrize(
    ("credits", "text"), [(0.0, "0"), (60.0, "60"), (60.5, "60.5"), (1234567.25, "1234567.25"), (100.0, "100")]
)
def test_credits_are_shown_in_full(credits: float, text: str) -> None:
    assert show_credits(credits) == text
