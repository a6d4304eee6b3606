"""Submissions through every fault that the vendor may show: real ledger, real client, real front door; the simulator's books
count what was created and paid for."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Entry, Recorded
from app.domain.submission import Submission
from app.domain.work import Item, Kind, Step
from app.pipeline.submit import name_submission, submit
from app.pipeline.track import retry, track
from app.simulator.scenarios import PostFaults, Scenario
from app.simulator.server import Options, Simulator
from tests.integration.desk import QUICK, WEBHOOK_KEY, Desk, front_door, served
from tests.integration.web import signed
from tests.support.waiting import wait_for

GENERATE, CREATE = "/api/v1/veo/generate", "/api/v1/jobs/createTask"
#: an id that the simulator has given to nobody
UNSEEN = "0" * 32
#: seconds that a client waits for an answer that comes much later
IMPATIENT = 1.0
#: beside the built-in ones
SCENARIOS = {
    "busy-once": Scenario(submit=PostFaults(refuse_429=1)),
    "refused-once": Scenario(submit=PostFaults(refuse_code=402, refuse_first=1)),
    "uncertain-many-callbacks": Scenario(submit=PostFaults(fail_500=True), callbacks=("failure", "verdict", "verdict")),
    "uncertain-charged-more": Scenario(submit=PostFaults(fail_500=True), overcharge=1.5, tells_credits=True),
    "1080p-uncertain": Scenario(order_1080p=PostFaults(fail_500=True)),
    "4k-dropped": Scenario(order_4k=PostFaults(drop=True)),
    "4k-uncertain-silent": Scenario(order_4k=PostFaults(fail_500=True), callbacks_4k=()),
    "4k-uncertain-failed": Scenario(order_4k=PostFaults(fail_500=True), upgrade_4k="unavailable", null_data=True),
}
OPTIONS = Options(speed=600, rate_limit=0, webhook_key=WEBHOOK_KEY, scenarios=SCENARIOS)

MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(redis_url: str) -> Iterator[MakeDesk]:
    with ExitStack() as stack:

        def make(*, reachable: bool = True, retry_after: int = 1, **given: Any) -> Desk:
            door = stack.enter_context(served(front_door(redis_url))) if reachable else ""
            options = replace(OPTIONS, retry_after=retry_after)
            return Desk(stack.enter_context(Simulator(options)), redis_url, door=door, **given)

        yield make


@pytest.fixture
def desk(make_desk: MakeDesk) -> Desk:
    """One that the vendor can reach, and that speaks the dedicated form of the API."""
    return make_desk()


def listed(desk: Desk, state: str) -> list[str]:
    records = desk.ledger.page(state, 100, None).generations  # type: ignore[arg-type]
    return [record.id if isinstance(record, Submission) else record.task_id for record in records]


# --- what is created ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["veo", "jobs"])
def test_a_generation_is_created_once_and_carries_on_under_the_vendors_id(make_desk: MakeDesk, form: str) -> None:
    desk = make_desk(form=form)
    record_id = desk.generate("plain", aspect_ratio="9:16")
    assert (desk.show(record_id)["state"], desk.show(record_id)["taskId"]) == ("waiting", None)
    shown = desk.work_until_state(record_id, "mirroring")
    [(task_id, row)] = desk.made().items()
    assert (shown["id"], shown["taskId"]) == (record_id, task_id)
    assert shown["request"]["prompt"] == row["prompt"] == "scenario=plain a cat"
    assert (shown["creditsReserved"], row["credits"]) == (60.0, 60)
    assert {rendition["kind"] for rendition in shown["renditions"]} == {"result", "origin"}
    assert shown == desk.show(task_id), "both ids show the same"
    assert listed(desk, "waiting") == []


def test_what_the_vendor_brings_under_the_token_is_the_generations_once_its_id_is_known(desk: Desk) -> None:
    record_id = desk.generate("duplicate-callbacks")
    desk.work(1)
    [task_id] = desk.made()
    wait_for(lambda: [row.get("status") for row in desk.made()[task_id]["deliveries"]] == [200, 200, 200])
    url = f"{desk.door}/callbacks/veo/{desk.submission(record_id).token}"
    assert {row["url"] for row in desk.made()[task_id]["deliveries"]} == {url}
    desk.work_until(lambda: desk.show(record_id)["callbacks"] == {"received": 3, "duplicates": 2})
    assert desk.ledger.read(record_id).pending == []


@pytest.mark.parametrize("form", ["veo", "jobs"])
def test_an_extension_is_created_once_and_brings_the_whole_video(make_desk: MakeDesk, form: str) -> None:
    desk = make_desk(form=form)
    parent = desk.work_until_state(desk.generate("plain"), "mirroring")["taskId"]
    record_id = desk.extend(parent)
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["id"], shown["extends"]) == (record_id, parent)
    assert {rendition["kind"] for rendition in shown["renditions"]} == {"result", "full"}
    assert {task_id: row["parent"] for task_id, row in desk.made().items()} == {parent: None, shown["taskId"]: parent}


def test_the_same_wish_twenty_times_is_twenty_generations(desk: Desk) -> None:
    ids = [desk.generate("plain") for _ in range(20)]
    for record_id in ids:
        desk.work_until_state(record_id, "mirroring")
    assert len(desk.made()) == 20
    assert sorted(desk.show(record_id)["taskId"] for record_id in ids) == sorted(desk.made())


def test_a_vendor_that_cannot_reach_us_is_given_no_callback_url_and_asked(make_desk: MakeDesk) -> None:
    desk = make_desk(reachable=False)
    shown = desk.work_until_state(desk.generate("plain"), "mirroring")
    assert shown["verdictFrom"] == "poll"
    assert [row["hasCallback"] for row in desk.made().values()] == [False]


def test_what_is_wanted_of_a_submission_is_wanted_of_its_generation(desk: Desk) -> None:
    """Also of one that was tracked before its submission was known to have brought it about."""
    record_id = desk.generate("submit-uncertain", Kind.UHD)
    desk.work(1)
    [task_id] = desk.made()
    track(task_id, [Kind.HD], {"shot": "7"}, desk.ledger, desk.policy)
    desk.work_until(lambda: len(desk.bought()) == 2)
    shown = desk.show(record_id)
    assert (shown["id"], shown["taskId"], shown["labels"]) == (record_id, task_id, {"shot": "7"})
    assert sorted(shown["upgrades"]) == ["1080p", "4k"]


# --- what is certainly not created -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scenario", "code"), [("submit-busy", 429), ("submit-maintenance", 455)])
def test_what_was_not_taken_goes_again_until_it_is(desk: Desk, scenario: str, code: int) -> None:
    record_id = desk.generate(scenario)
    desk.work(1)
    shown = desk.show(record_id)
    assert (shown["state"], shown["code"], shown["sentAt"]) == ("waiting", code, None)
    assert shown["error"].startswith("not taken yet, goes again: ")
    assert desk.made() == {}
    shown = desk.work_until_state(record_id, "mirroring")
    assert shown["error"] is None
    assert (len(desk.made()), desk.sent(GENERATE)) == (1, 3)
    assert desk.ledger.spent_today() == {"total": 60.0, "submit": 60.0}, "reserved once"


def test_the_vendors_429_holds_everybody_up(make_desk: MakeDesk) -> None:
    desk = make_desk(retry_after=4)
    busy, other = desk.generate("busy-once"), desk.generate("plain")
    desk.work()
    assert desk.sent(GENERATE) == 1
    held = desk.submission(other)
    assert held.error == "waiting for its turn at the vendor's rate limit"
    assert (held.state, held.sends, held.sent_at) == ("waiting", 0, None)
    for record_id in (busy, other):
        desk.work_until_state(record_id, "mirroring")
    assert len(desk.made()) == 2


def test_a_vendor_that_nobody_can_reach_is_tried_again(desk: Desk) -> None:
    record_id = desk.generate("plain")
    reached, desk.vendor = desk.vendor, desk.vendor_at("http://127.0.0.1:1")
    desk.work(1)
    shown = desk.show(record_id)
    assert (shown["state"], shown["sentAt"]) == ("waiting", None)
    assert shown["error"].startswith("not taken yet, goes again: ")
    desk.vendor = reached
    desk.work_until_state(record_id, "mirroring")
    assert len(desk.made()) == 1


@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("submit-refused", 422, "The request parameters are incorrect."),
        ("submit-no-credits", 402, "The current credits are insufficient. Please top up."),
        ("submit-failed-null", 500, "Server exception, please try again later."),
    ],
)
def test_a_refusal_is_shown_in_the_vendors_words_and_costs_nothing(
    desk: Desk, scenario: str, code: int, words: str
) -> None:
    record_id = desk.generate(scenario)
    desk.work()
    shown = desk.show(record_id)
    assert (shown["state"], shown["code"], shown["msg"]) == ("failed", code, words)
    assert shown["error"] == f"the vendor refused it, nothing was created: {words}"
    assert (desk.made(), desk.ledger.spent_today()) == ({}, {"total": 0.0, "submit": 0.0})
    assert (desk.work(), desk.sent(GENERATE)) == (0, 1), "it is not tried again by itself"


def test_a_refused_submission_goes_again_when_somebody_says_so(desk: Desk) -> None:
    record_id = desk.generate("refused-once")
    assert desk.work_until_state(record_id, "failed")["code"] == 402
    assert retry(record_id, desk.ledger)[0] == 1
    shown = desk.show(record_id)
    assert (shown["state"], shown["code"], shown["msg"], shown["error"]) == ("waiting", None, "", None)
    desk.work_until_state(record_id, "mirroring")
    assert (len(desk.made()), desk.sent(GENERATE)) == (1, 2)
    assert desk.ledger.spent_today() == {"total": 60.0, "submit": 60.0}, "reserved anew"


def test_a_refused_submission_that_goes_again_keeps_to_the_budget(desk: Desk) -> None:
    desk.policy = replace(QUICK, credits_per_day=100.0)
    refused = desk.generate("submit-refused")
    desk.work_until_state(refused, "failed")
    desk.work_until_state(desk.generate("plain"), "mirroring")
    assert retry(refused, desk.ledger)[0] == 1
    desk.work()
    shown = desk.show(refused)
    assert shown["state"] == "waiting"
    assert "REELKEEP_CREDITS_PER_DAY" in shown["error"]
    assert desk.submission(refused).work.at % 86400 == 0  # type: ignore[operator]
    assert desk.sent(GENERATE) == 2


# --- what may have been created ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["veo", "jobs"])
@pytest.mark.parametrize("scenario", ["submit-uncertain", "submit-dropped", "submit-timeout"])
def test_what_lost_its_answer_is_not_sent_again_and_settles_by_its_callback(
    make_desk: MakeDesk, form: str, scenario: str
) -> None:
    desk = make_desk(form=form, patience=IMPATIENT)
    record_id = desk.generate(scenario)
    desk.work(1)
    shown = desk.show(record_id)
    assert (shown["state"], shown["taskId"]) == ("uncertain", None)
    assert "it is not sent again" in shown["error"]
    assert f"reelkeep track TASK_ID --submission {record_id}" in shown["error"]
    assert listed(desk, "uncertain") == [record_id]
    assert retry(record_id, desk.ledger)[0] == 0
    [task_id] = desk.made()
    desk.vendor = desk.vendor_at(desk.simulator.url)
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["id"], shown["taskId"], shown["error"]) == (record_id, task_id, None)
    assert (shown["callbacks"]["received"], shown["verdictFrom"]) == (1, "callback")
    assert listed(desk, "uncertain") == []
    assert (len(desk.made()), desk.sent(CREATE if form == "jobs" else GENERATE)) == (1, 1)
    assert desk.ledger.spent_today() == {"total": 60.0, "submit": 60.0}


def test_callbacks_that_came_before_the_id_was_known_are_all_passed_on(desk: Desk) -> None:
    record_id = desk.generate("uncertain-many-callbacks")
    desk.work(1)
    [task_id] = desk.made()
    wait_for(lambda: [row.get("status") for row in desk.made()[task_id]["deliveries"]] == [200, 200, 200])
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["taskId"], shown["callbacks"]) == (task_id, {"received": 3, "duplicates": 1})
    assert [len(desk.ledger.read(known).pending) for known in (record_id, task_id)] == [0, 0]


def test_what_an_uncertain_submission_has_cost_is_settled_in_the_budget(desk: Desk) -> None:
    record_id = desk.generate("uncertain-charged-more")
    desk.work_until_state(record_id, "mirroring")
    assert desk.show(record_id)["creditsConsumed"] == 90.0
    assert desk.ledger.spent_today() == {"total": 90.0, "submit": 90.0}


@pytest.mark.parametrize("form", ["veo", "jobs"])
def test_what_lost_its_answer_and_then_failed_without_an_id_has_failed_and_is_not_sent_again(
    make_desk: MakeDesk, form: str
) -> None:
    desk = make_desk(form=form)
    record_id = desk.generate("submit-uncertain-failed")
    desk.work(1)
    assert desk.show(record_id)["state"] == "uncertain"
    shown = desk.work_until_state(record_id, "failed")
    assert shown["taskId"] is None
    assert shown["error"].startswith("it was created and failed: ")
    assert desk.ledger.read(record_id).pending == []
    assert retry(record_id, desk.ledger)[0] == 0
    assert desk.work() == 0
    assert len(desk.made()) == 1
    assert desk.ledger.spent_today()["total"] == 60.0, "it may have been paid"


def test_what_nobody_ever_hears_of_again_is_given_up_and_never_sent_again(desk: Desk) -> None:
    desk.policy = replace(QUICK, give_up_after=0.5)
    record_id = desk.generate("submit-uncertain-silent")
    desk.work(1)
    assert desk.show(record_id)["state"] == "uncertain"
    shown = desk.work_until_state(record_id, "lost")
    assert "it may or may not have been created" in shown["error"]
    assert retry(record_id, desk.ledger)[0] == 0
    assert desk.work() == 0
    assert (len(desk.made()), desk.sent(GENERATE)) == (1, 1)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_callback_settles_what_was_uncertain_however_late(desk: Desk, given_up: bool) -> None:
    desk.policy = replace(QUICK, give_up_after=0.5 if given_up else 86400)
    record_id = desk.generate("submit-uncertain-silent")
    desk.work_until_state(record_id, "lost" if given_up else "uncertain")
    desk.policy = QUICK
    [task_id] = desk.made()
    wait_for(lambda: desk.made()[task_id]["outcome"] == "success")
    assert desk.client.call("POST", "/_simulator/deliver", json={"taskId": task_id}).ok
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["taskId"], len(desk.made())) == (task_id, 1)


@pytest.mark.parametrize("given_up", [False, True])
def test_somebody_who_found_it_in_the_vendors_log_may_say_so(desk: Desk, given_up: bool) -> None:
    desk.policy = replace(QUICK, give_up_after=0.5 if given_up else 86400)
    record_id = desk.generate("submit-uncertain-silent", Kind.HD)
    desk.work_until_state(record_id, "lost" if given_up else "uncertain")
    desk.policy = QUICK
    [task_id] = desk.made()
    named = name_submission(record_id, task_id, desk.ledger)
    assert named is not None
    assert named.task_id == task_id
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["id"], shown["taskId"], shown["upgrades"]) == (record_id, task_id, ["1080p"])
    assert listed(desk, "uncertain") == listed(desk, "lost") == []


def test_a_wrong_word_about_a_submission_is_not_the_last(desk: Desk) -> None:
    """The generation that somebody named is another submission's: this one is as uncertain as before, and its callback tells."""
    other = desk.work_until_state(desk.generate("plain"), "mirroring")["taskId"]
    record_id = desk.generate("submit-uncertain-silent")
    desk.work_until_state(record_id, "uncertain")
    name_submission(record_id, other, desk.ledger)
    desk.work()
    shown = desk.show(record_id)
    assert (shown["state"], shown["taskId"]) == ("uncertain", None)
    assert desk.show(other)["id"] != record_id
    [task_id] = desk.made().keys() - {other}
    wait_for(lambda: desk.made()[task_id]["outcome"] == "success")
    desk.client.call("POST", "/_simulator/deliver", json={"taskId": task_id})
    assert desk.work_until_state(record_id, "mirroring")["taskId"] == task_id
    assert len(desk.made()) == 2


@pytest.mark.parametrize(
    "body",
    ['{"code":200,"msg":"?","data":null}', '{"code":455,"msg":"?","data":null}', '{"code":200,"data":{"info":null}}'],
)
def test_a_callback_that_says_nothing_of_use_leaves_it_uncertain_and_the_queue_at_rest(desk: Desk, body: str) -> None:
    record_id = desk.generate("submit-uncertain-silent")
    desk.work_until_state(record_id, "uncertain")
    path = f"{desk.door}/callbacks/veo/{desk.submission(record_id).token}"
    assert desk.post(path, body).status_code == 200
    assert desk.work(most=20) < 20
    assert desk.work() == 0
    assert desk.show(record_id)["state"] == "uncertain"
    assert desk.sent(GENERATE) == 1


def test_a_callback_outweighs_an_answer_that_said_nothing_was_created(desk: Desk) -> None:
    """Its token was given to nobody but the vendor, with this very request: to send it again could pay twice."""
    record_id = desk.generate("submit-busy")
    desk.work(1)
    assert desk.submission(record_id).sent_at is None
    path = f"{desk.door}/callbacks/veo/{desk.submission(record_id).token}"
    body = json.dumps({"code": 200, "msg": "ok", "data": {"taskId": UNSEEN}})
    assert desk.post(path, body, signed(UNSEEN, WEBHOOK_KEY)).status_code == 200
    assert desk.work(most=20) < 20
    assert desk.show(record_id)["taskId"] == UNSEEN
    assert desk.sent(GENERATE) == 1


# --- workers in each other's way ---------------------------------------------------------------------------------------


class Interrupted(RedisLedger):
    """A worker's ledger: just after it has passed on its first callback, something else happens."""

    def __init__(self, url: str, then: Callable[[], object]) -> None:
        super().__init__(url)
        self._then: Callable[[], object] | None = then

    def record(self, task_id: str | None, token: str | None, entry: Entry) -> Recorded:
        recorded = super().record(task_id, token, entry)
        then, self._then = self._then, None
        if then is not None:
            then()
        return recorded


@pytest.fixture
def named(desk: Desk) -> tuple[str, str, Callable[[int], None]]:
    """A submission whose answer was lost, the id of its generation, and how the vendor calls back with a code."""
    record_id = desk.generate("submit-uncertain-silent")
    desk.work(1)
    [task_id] = desk.made()
    path = f"{desk.door}/callbacks/veo/{desk.submission(record_id).token}"

    def call_back(code: int) -> None:
        body = json.dumps({"code": code, "msg": "?", "data": {"taskId": task_id}})
        assert desk.post(path, body, signed(task_id, WEBHOOK_KEY)).status_code == 200

    call_back(501)
    return record_id, task_id, call_back


def hand_over(desk: Desk, record_id: str, then: Callable[[], object], lease: float = 10.0) -> None:
    """What a worker does with it; something else happens just before it has come to an end."""
    policy = replace(QUICK, lease=lease)
    submit(Item(Step.SUBMIT, record_id), Interrupted(desk.redis_url, then), desk.vendor, policy, lambda _: None)


def assert_all_heard(desk: Desk, record_id: str, task_id: str) -> None:
    desk.work_until(lambda: desk.submission(record_id).linked)
    desk.work()
    assert desk.show(record_id)["taskId"] == task_id
    assert {"generation failed 501", "generation ask 200"} <= set(desk.generation(task_id).heard)


def test_a_callback_that_comes_during_the_handing_over_is_heard(
    desk: Desk, named: tuple[str, str, Callable[[int], None]]
) -> None:
    record_id, task_id, call_back = named
    hand_over(desk, record_id, lambda: call_back(200))
    assert_all_heard(desk, record_id, task_id)


def test_nobody_else_hands_over_meanwhile(desk: Desk, named: tuple[str, str, Callable[[int], None]]) -> None:
    record_id, task_id, call_back = named
    others: list[str] = []
    hand_over(desk, record_id, lambda: hand_over(desk, record_id, lambda: others.append("also handed over")))
    assert others == []
    call_back(200)
    assert_all_heard(desk, record_id, task_id)
    assert desk.show(record_id)["callbacks"] == {"received": 2, "duplicates": 0}


def test_a_worker_that_was_held_up_in_the_handing_over_takes_no_callback_off_that_it_has_not_seen(
    desk: Desk, named: tuple[str, str, Callable[[int], None]]
) -> None:
    record_id, task_id, call_back = named

    def another() -> None:
        submission = desk.submission(record_id)
        wait_for(lambda: desk.ledger.now() > (submission.work.at or 0.0), every=0.001)
        hand_over(desk, record_id, lambda: call_back(200))

    hand_over(desk, record_id, another, lease=0.001)
    assert_all_heard(desk, record_id, task_id)


# --- upgrades in the unified form: every request that arrives buys -----------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
def test_the_unified_form_sells_an_upgrade_once_however_often_it_is_asked_about(
    make_desk: MakeDesk, kind: Kind
) -> None:
    desk = make_desk(form="jobs")
    record_id = desk.generate("no-callback", kind)
    desk.work_until(lambda: desk.generation(record_id).find(kind, 0))
    desk.work_until(lambda: desk.rendition(record_id, kind).url)
    [row] = desk.bought()
    assert (row["kind"], row["form"], row["taskId"]) == (str(kind), "unified", desk.show(record_id)["taskId"])
    assert desk.sent(CREATE) == 2
    order = desk.rendition(record_id, kind).order
    assert order is not None
    assert order.alias == row["newTaskId"]


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [("4k-uncertain", Kind.UHD), ("4k-dropped", Kind.UHD), ("1080p-uncertain", Kind.HD)],
)
def test_an_order_that_lost_its_answer_is_not_repeated_in_the_unified_form_and_settles_by_its_callback(
    make_desk: MakeDesk, scenario: str, kind: Kind
) -> None:
    desk = make_desk(form="jobs")
    record_id = desk.generate(scenario, kind)
    desk.work_until(lambda: desk.bought())
    order = desk.rendition(record_id, kind).order
    assert order is not None
    assert order.alias == "", "nobody has told us its id"
    desk.work_until(lambda: desk.rendition(record_id, kind).url)
    [row] = desk.bought()
    order = desk.rendition(record_id, kind).order
    assert order is not None
    assert (order.alias, order.asks) == (row["newTaskId"], 1)
    assert desk.sent(CREATE) == 2
    assert desk.ledger.spent_today() == {"total": 60.0 + order.price, "submit": 60.0, "upgrade": order.price}


def test_an_order_of_which_nobody_hears_again_is_not_repeated_in_the_unified_form(make_desk: MakeDesk) -> None:
    desk = make_desk(form="jobs")
    record_id = desk.generate("4k-uncertain-silent", Kind.UHD)
    desk.work_until(lambda: desk.bought())
    desk.work()
    desk.work_until(lambda: "only its callback can tell" in desk.rendition(record_id, Kind.UHD).error)
    assert desk.rendition(record_id, Kind.UHD).state == "requested"
    desk.policy = replace(QUICK, give_up_after=0.01, link_lifetime=0.01)
    desk.work_until(lambda: desk.rendition(record_id, Kind.UHD).state == "unavailable")
    assert "nothing within" in desk.rendition(record_id, Kind.UHD).error
    assert (len(desk.bought()), desk.sent(CREATE)) == (1, 2)
    assert desk.ledger.spent_today()["upgrade"] == 120.0, "it may have been paid"


def test_an_order_that_lost_its_answer_and_then_failed_without_an_id_is_unavailable(make_desk: MakeDesk) -> None:
    desk = make_desk(form="jobs")
    record_id = desk.generate("4k-uncertain-failed", Kind.UHD)
    desk.work_until(lambda: desk.bought())
    desk.work_until(lambda: desk.rendition(record_id, Kind.UHD).state == "unavailable")
    assert desk.rendition(record_id, Kind.UHD).error == "Task failed."
    assert (len(desk.bought()), desk.sent(CREATE)) == (1, 2)
    assert desk.ledger.spent_today()["upgrade"] == 120.0, "it may have been paid"
