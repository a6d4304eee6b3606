"""Submitting through the front door as it is deployed: gunicorn, a real redis-server, HTTP from outside. What a worker does in
between is done by hand, with the simulator as the vendor."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.domain.ledger import Trust
from app.domain.work import Kind, is_submission_id
from app.embedded.service import free_port, running
from app.simulator.scenarios import PostFaults, Scenario
from app.simulator.server import Options, Simulator
from tests.integration.desk import TOKEN as DESK_TOKEN
from tests.integration.desk import Desk, front_door
from tests.integration.looks import queued
from tests.integration.web import KEYS, TASK, Web, signed, success, web_service

MONEY = {
    "REELKEEP_CREDITS_PER_DAY": "500",
    "REELKEEP_UPGRADE_CREDITS_PER_DAY": "200",
    "REELKEEP_CREDITS_PER_GENERATION": "320",
    "REELKEEP_CREDITS_WARN_BELOW": "100",
}
NOBODY = "sub_" + "0" * 32


@pytest.fixture(scope="module")
def served(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = tmp_path_factory.mktemp("web") / "web.log"
    env = {"REELKEEP_KIE_API_KEY": "sim-key", "REELKEEP_FIRST_POLL_AFTER": "0.05", **MONEY}
    with running(web_service(f"redis://127.0.0.1:{redis_port}/0", port, **env), log):
        yield f"http://127.0.0.1:{port}"
    assert "Traceback" not in log.read_text()


@pytest.fixture
def web(served: str, redis_url: str) -> Web:
    return Web(served, redis.Redis.from_url(redis_url), RedisLedger(redis_url))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    refused_once = Scenario(submit=PostFaults(refuse_code=402, refuse_first=1))
    options = Options(speed=600, rate_limit=0, webhook_key=KEYS[0], scenarios={"refused-once": refused_once})
    with Simulator(options) as simulator:
        yield simulator


@pytest.fixture
def desk(web: Web, simulator: Simulator, redis_url: str) -> Desk:
    return Desk(simulator, redis_url, door=web.url)


def submit(web: Web, prompt: str = "a cat", *, key: str | None = None, **fields: Any) -> requests.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return web.call("POST", "/generations", json={"prompt": prompt, **fields}, headers=headers)


def extend(web: Web, record_id: str, **fields: Any) -> requests.Response:
    return web.call("POST", f"/generations/{record_id}/extensions", json={"prompt": "and on", **fields})


def submitted(web: Web, scenario: str = "plain", **fields: Any) -> str:
    answer = submit(web, f"scenario={scenario} a cat", **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def assert_problem(answer: requests.Response, status: int, *words: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"]
    return problem


# --- submitting --------------------------------------------------------------------------------------------------------


def test_a_generation_is_taken_on_and_answered_before_the_vendor_knows_of_it(web: Web, desk: Desk) -> None:
    answer = submit(web, upgrades=["4k"], labels={"shot": "7"}, aspectRatio="9:16", seeds=12345)
    assert answer.status_code == 202
    shown = answer.json()
    assert is_submission_id(shown["id"])
    assert "taskId" not in shown
    assert (shown["state"], shown["creditsReserved"]) == ("waiting", 60.0)
    assert (shown["upgrades"], shown["labels"]) == (["4k"], {"shot": "7"})
    assert shown["request"] == {
        "prompt": "a cat",
        "model": "veo3_fast",
        "aspect_ratio": "9:16",
        "enableTranslation": True,
        "enableFallback": False,
        "seeds": 12345,
    }
    assert queued(desk.queue) == [f"submit/{shown['id']}"]
    assert web.call("GET", f"/generations/{shown['id']}").json() == shown | {"taskId": None}


def test_every_field_that_the_vendor_documents_arrives_there(web: Web, desk: Desk) -> None:
    fields: dict[str, Any] = {
        "imageUrls": ["https://example.com/a.png?X-Amz-Signature=secret", "http://example.com/b.png"],
        "model": "veo3_lite",
        "generationType": "FIRST_AND_LAST_FRAMES_2_VIDEO",
        "aspect_ratio": "Auto",
        "enableTranslation": False,
        "enableFallback": True,
        "watermark": "mine",
        "resolution": "1080p",
        "duration": 6,
        "seeds": 99999,
    }
    record_id = submitted(web, **fields)
    shown = desk.work_until_state(record_id, "mirroring")
    details = desk.client.call("GET", "/api/v1/veo/record-info", params={"taskId": shown["taskId"]}).json()
    sent = json.loads(details["data"]["paramJson"])
    assert {name: sent.get(name) for name in fields if name != "aspect_ratio"} == {
        name: value for name, value in fields.items() if name != "aspect_ratio"
    }
    assert (sent["prompt"], sent["aspectRatio"]) == ("scenario=plain a cat", "Auto")
    token = desk.submission(record_id).token
    assert sent["callBackUrl"] == f"{web.url}/callbacks/veo/{token}"
    assert shown["creditsReserved"] == 35.0, "the larger size costs what its upgrade does"
    text = web.call("GET", f"/generations/{record_id}").text
    assert "https://example.com/a.png" in text
    assert not [secret for secret in ("X-Amz-Signature", token, "sim-key") if secret in text]


def test_all_that_is_wrong_is_told_at_once(web: Web) -> None:
    body = {
        "prompt": "  ",
        "model": "veo9",
        "imageUrls": ["ftp://example.com/a.png"],
        "duration": 5,
        "seeds": 1,
        "enableTranslation": "yes",
        "unknown": 1,
        "upgrades": ["8k"],
        "labels": {"a": 1},
    }
    problem = assert_problem(web.call("POST", "/generations", json=body), 400)
    errors = {error["field"].partition(".")[0]: error["message"] for error in problem["errors"]}
    assert errors.keys() == body.keys()
    assert all(message and "pydantic" not in message for message in errors.values())
    assert errors["unknown"] == "there is no such field"
    assert all(field in problem["detail"] for field in body)
    assert web.contents() == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"prompt": "x", "callBackUrl": "https://mine.example/"}, "callBackUrl"),
        ({"prompt": "x", "imageUrls": []}, "imageUrls"),
        ({"prompt": "x", "imageUrls": ["https://e.com/a"] * 4}, "imageUrls"),
        ({"prompt": "x", "generationType": "TEXT_2_VIDEO", "imageUrls": ["https://e.com/a"]}, "generationType"),
        ({"prompt": "x", "generationType": "REFERENCE_2_VIDEO"}, "generationType"),
        ({"prompt": "x", "aspect_ratio": "4:3"}, "aspect_ratio"),
        ({"prompt": "x", "aspect_ratio": "16:9", "aspectRatio": "9:16"}, "aspect_ratio"),
        ({"prompt": "x", "resolution": "8k"}, "resolution"),
        ({"prompt": "x", "seeds": 100_000}, "seeds"),
        ({"prompt": "x", "seeds": "12345"}, "seeds"),
        ({"prompt": "x", "taskId": TASK}, "taskId"),
        ({"prompt": "x", "upgrades": "4k"}, "upgrades"),
    ],
)
def test_a_wrong_field_is_named(web: Web, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(web.call("POST", "/generations", json=body), 400)
    assert [error["field"].partition(".")[0] for error in problem["errors"]] == [field]
    assert problem["detail"].startswith(field)
    assert web.contents() == {}


def test_a_callback_url_is_refused_with_the_name_of_the_setting(web: Web) -> None:
    answer = submit(web, callBackUrl="https://mine.example/hook")
    assert_problem(answer, 400, "callBackUrl", "REELKEEP_PUBLIC_URL")


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"prompt=a cat", b'{"prompt":', b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_refused(web: Web, body: bytes) -> None:
    assert_problem(web.call("POST", "/generations", data=body), 400)
    assert web.contents() == {}


def test_nobody_without_a_token_may_spend_money(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    before = web.contents()
    for method, path in [
        ("POST", "/generations"),
        ("POST", f"/generations/{TASK}/extensions"),
        ("POST", f"/generations/{record_id}/upgrades"),
        ("POST", f"/generations/{record_id}/retry"),
        ("PUT", f"/generations/{TASK}"),
        ("GET", f"/generations/{record_id}"),
    ]:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = requests.request(method, web.url + path, headers=headers, json={"prompt": "x"}, timeout=20)
            assert_problem(answer, 401)
    assert web.contents() == before


# --- idempotency -------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_give_the_same_generation(web: Web, desk: Desk) -> None:
    first = submit(web, "a cat", key="shot-12", aspect_ratio="9:16", labels={"a": "1", "b": "2"})
    again = submit(web, "a cat", key="shot-12", aspectRatio="9:16", labels={"b": "2", "a": "1"}, model="veo3_fast")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    desk.work_until_state(first.json()["id"], "mirroring")
    later = submit(web, "a cat", key="shot-12", aspect_ratio="9:16", labels={"a": "1", "b": "2"})
    assert later.status_code == 202
    assert (later.json()["id"], later.json()["state"]) == (first.json()["id"], "mirroring")
    assert later.json()["taskId"] in desk.made()
    assert desk.ledger.spent_today()["total"] == 60.0


@pytest.mark.parametrize(
    "other", [{"prompt": "a dog"}, {"upgrades": ["4k"]}, {"labels": {"a": "1"}}, {"model": "veo3_lite"}]
)
def test_the_same_key_with_another_body_is_refused(web: Web, desk: Desk, other: dict[str, Any]) -> None:
    first = submit(web, "a cat", key="shot-12")
    before = web.contents()
    answer = submit(web, **({"prompt": "a cat"} | other), key="shot-12")
    assert_problem(answer, 422, "Idempotency-Key", first.json()["id"])
    assert web.contents() == before
    assert desk.ledger.count()["waiting"] == 1


def test_other_keys_and_no_keys_are_other_generations(web: Web) -> None:
    answers = [submit(web, key=key) for key in ("a", "A", "a ", None, None)]
    assert len({answer.json()["id"] for answer in answers}) == 4, "spaces around a header's value are none of it"


def test_a_key_says_nothing_of_itself(web: Web) -> None:
    """It may be somebody's secret: the id is made from it, and does not show it."""
    answer = submit(web, key="shot-12")
    forms = ("shot-12", b"shot-12".hex())
    assert not [form for form in forms if form in answer.text]
    assert not [key for key in web.redis.keys("*") if any(form in str(key) for form in forms)]  # type: ignore[union-attr]


def test_the_same_key_from_eight_at_once_is_one_generation(web: Web, desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit(web, key="shot-12", upgrades=["4k"]), range(8)))
    assert [answer.status_code for answer in answers] == [202] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert queued(desk.queue) == [f"submit/{answers[0].json()['id']}"]
    assert desk.ledger.spent_today()["submit"] == 60.0


def test_of_eight_wishes_under_one_key_at_once_one_is_taken(web: Web, desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: submit(web, f"cat {number}", key="shot-12"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 7
    assert len(queued(desk.queue)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_of_a_wrong_length_is_refused(web: Web, key: str) -> None:
    assert_problem(submit(web, key=key), 400, "Idempotency-Key", "255")
    assert submit(web, key="x" * 255).status_code == 202


def test_a_key_may_be_used_for_an_extension_too(web: Web, desk: Desk) -> None:
    parent = desk.work_until_state(submitted(web), "mirroring")["taskId"]
    path, body = f"/generations/{parent}/extensions", {"prompt": "and on"}
    answers = [web.call("POST", path, json=body, headers={"Idempotency-Key": "next"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert_problem(submit(web, "and on", key="next"), 422)


def test_who_is_not_told_that_it_was_recorded_is_told_where_to_look() -> None:
    """The answer of the ledger may be lost after it has recorded: asking again without a key could buy twice."""
    client = front_door(f"redis://127.0.0.1:{free_port()}/0").test_client()
    headers = {"Authorization": f"Bearer {DESK_TOKEN}"}
    answer = client.post("/generations", json={"prompt": "a cat"}, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    [record_id] = re.findall(r"GET /generations/(\w+)", answer.json["detail"])
    assert is_submission_id(record_id)


# --- money -------------------------------------------------------------------------------------------------------------


def test_what_the_days_budget_does_not_allow_is_refused_and_not_recorded(web: Web) -> None:
    assert submit(web, model="veo3").status_code == 202
    assert submit(web, model="veo3").status_code == 202, "500 of 500 credits"
    before = web.contents()
    assert_problem(submit(web, model="veo3_lite"), 402, "REELKEEP_CREDITS_PER_DAY")
    assert_problem(submit(web, model="veo3_lite", key="shot-12"), 402, "REELKEEP_CREDITS_PER_DAY")
    assert web.contents() == before


def test_what_one_generation_may_not_cost_is_refused_and_not_recorded(web: Web) -> None:
    answer = submit(web, model="veo3", resolution="4k")
    assert_problem(answer, 402, "REELKEEP_CREDITS_PER_GENERATION", "370", "320")
    assert web.contents() == {}


def test_eight_at_once_do_not_exceed_the_budget(web: Web, desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: submit(web, f"cat {number}"), range(12)))
    assert sorted(answer.status_code for answer in answers) == [202] * 8 + [402] * 4
    assert desk.ledger.spent_today()["total"] == 480.0


def test_an_upgrade_over_its_budget_is_refused(web: Web, desk: Desk) -> None:
    ids = [desk.work_until_state(submitted(web), "mirroring")["taskId"] for _ in range(2)]
    assert web.call("POST", f"/generations/{ids[0]}/upgrades", json={"kind": "4k"}).status_code == 202
    answer = web.call("POST", f"/generations/{ids[1]}/upgrades", json={"kind": "4k"})
    assert_problem(answer, 402, "REELKEEP_UPGRADE_CREDITS_PER_DAY")
    assert web.call("POST", f"/generations/{ids[1]}/upgrades", json={"kind": "1080p"}).status_code == 202


# --- extending ---------------------------------------------------------------------------------------------------------


def test_an_extension_is_taken_on(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    parent = desk.work_until_state(record_id, "mirroring")["taskId"]
    answers = [extend(web, parent, model="lite"), extend(web, record_id, labels={"part": "2"})]
    assert [answer.status_code for answer in answers] == [202, 202]
    for answer in answers:
        shown = answer.json()
        assert (shown["extends"], shown["state"]) == (parent, "waiting")
        assert "taskId" not in shown
        assert desk.work_until_state(shown["id"], "mirroring")["extends"] == parent
    assert [answer.json()["creditsReserved"] for answer in answers] == [30.0, 60.0]
    assert [row["parent"] for row in desk.made().values()] == [None, parent, parent]


def test_what_is_not_known_here_cannot_be_extended(web: Web) -> None:
    assert_problem(extend(web, TASK), 404, TASK, "PUT")
    assert_problem(extend(web, NOBODY), 404, NOBODY)
    assert_problem(extend(web, "a.b"), 400)
    assert web.contents() == {}


@pytest.mark.parametrize("scenario", ["plain", "submit-uncertain-silent", "submit-refused"])
def test_what_the_vendor_has_not_confirmed_cannot_be_extended_nor_upgraded(web: Web, desk: Desk, scenario: str) -> None:
    record_id = submitted(web, scenario)
    if scenario != "plain":
        desk.work()
    state = desk.show(record_id)["state"]
    before = web.contents()
    for answer in (extend(web, record_id), web.call("POST", f"/generations/{record_id}/upgrades", json={"kind": "4k"})):
        assert_problem(answer, 409, record_id, state, "not confirmed")
    assert web.contents() == before


def test_what_has_no_verdict_cannot_be_extended(web: Web) -> None:
    web.call("PUT", f"/generations/{TASK}")
    assert_problem(extend(web, TASK), 409, TASK, "no verdict yet")


def test_what_failed_cannot_be_extended(web: Web, desk: Desk) -> None:
    failed = desk.work_until_state(submitted(web, "failed-400"), "failed")["taskId"]
    assert_problem(extend(web, failed), 409, "failed")


def test_what_has_a_1080p_cannot_be_extended(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    desk.work_until_state(record_id, "mirroring")
    assert web.call("POST", f"/generations/{record_id}/upgrades", json={"kind": "1080p"}).status_code == 202
    assert_problem(extend(web, record_id), 409, "1080p")
    desk.work_until(lambda: desk.rendition(record_id, Kind.HD).url)
    assert_problem(extend(web, record_id), 409, "1080p")
    assert len(desk.made()) == 1


def test_an_extension_with_wrong_fields_is_refused(web: Web, desk: Desk) -> None:
    parent = desk.work_until_state(submitted(web), "mirroring")["taskId"]
    problem = assert_problem(extend(web, parent, model="veo3", duration=8, upgrades=["8k"]), 400)
    assert sorted(error["field"].partition(".")[0] for error in problem["errors"]) == ["duration", "model", "upgrades"]
    answer = extend(web, parent, callBackUrl="https://mine.example/")
    assert_problem(answer, 400, "callBackUrl")


@pytest.mark.parametrize("name", ["taskId", "task_id"])
def test_the_address_says_what_is_extended(web: Web, desk: Desk, name: str) -> None:
    parent = desk.work_until_state(submitted(web), "mirroring")["taskId"]
    other = extend(web, parent, **{name: TASK})
    assert other.status_code == 400 or other.json()["extends"] == parent


# --- looking -----------------------------------------------------------------------------------------------------------


def test_a_generation_is_found_by_our_id_and_by_the_vendors(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    task_id = desk.work_until_state(record_id, "mirroring")["taskId"]
    by_ours, by_theirs = (web.call("GET", f"/generations/{name}") for name in (record_id, task_id))
    assert (by_ours.status_code, by_ours.json()) == (200, by_theirs.json())
    assert (by_ours.json()["id"], by_ours.json()["taskId"]) == (record_id, task_id)
    assert_problem(web.call("GET", f"/generations/{NOBODY}"), 404, NOBODY)


def test_lists_hold_submissions_and_generations_page_by_page(web: Web, desk: Desk) -> None:
    made: list[str] = []
    for number in range(3):
        made.append(submitted(web))
        web.call("PUT", f"/generations/task-{number}")
        made.append(f"task-{number}")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = web.call("GET", "/generations", params={"limit": 1, "state": "waiting", "cursor": cursor or None})
        assert answer.status_code == 200, answer.text
        seen += [shown["taskId"] or shown["id"] for shown in answer.json()["generations"]]
        cursor = answer.json()["cursor"]
    assert seen == list(reversed(made))


def test_what_is_uncertain_is_listed_as_such(web: Web, desk: Desk) -> None:
    uncertain, _ = submitted(web, "submit-uncertain-silent"), submitted(web)
    desk.work(1)
    listed = web.call("GET", "/generations?state=uncertain").json()
    assert [(shown["id"], shown["taskId"], shown["state"]) for shown in listed["generations"]] == [
        (uncertain, None, "uncertain")
    ]
    assert "reelkeep track" in listed["generations"][0]["error"]
    assert listed["cursor"] is None


# --- saying what came of a submission ----------------------------------------------------------------------------------


def test_somebody_may_say_which_generation_has_come_of_a_submission(web: Web, desk: Desk) -> None:
    record_id = submitted(web, "submit-uncertain-silent", labels={"shot": "7"})
    desk.work(1)
    [task_id] = desk.made()
    answer = web.call("PUT", f"/generations/{task_id}", json={"submission": record_id, "labels": {"found": "yes"}})
    assert answer.status_code == 201
    again = web.call("PUT", f"/generations/{task_id}", json={"submission": record_id})
    assert again.status_code == 200
    shown = desk.work_until_state(record_id, "mirroring")
    assert (shown["taskId"], shown["labels"]) == (task_id, {"shot": "7", "found": "yes"})
    assert web.call("PUT", f"/generations/{task_id}", json={"submission": record_id}).status_code == 200


def test_a_submission_that_has_become_another_generation_stays_with_that(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    task_id = desk.work_until_state(record_id, "mirroring")["taskId"]
    answer = web.call("PUT", f"/generations/{TASK}", json={"submission": record_id})
    assert_problem(answer, 409, record_id, task_id)
    desk.work()
    assert desk.show(record_id)["taskId"] == task_id


def test_a_submission_that_was_not_sent_has_become_nothing(web: Web) -> None:
    record_id = submitted(web)
    answer = web.call("PUT", f"/generations/{TASK}", json={"submission": record_id})
    assert_problem(answer, 409, record_id, "is waiting")


@pytest.mark.parametrize(
    ("submission", "status"), [(NOBODY, 404), ("sub_1", 400), (TASK, 400), (NOBODY.upper(), 400), (7, 400)]
)
def test_a_submission_that_nobody_made_is_refused(web: Web, submission: Any, status: int) -> None:
    answer = web.call("PUT", f"/generations/{TASK}", json={"submission": submission})
    assert_problem(answer, status, "submission")


@pytest.mark.parametrize("known", [False, True])
def test_a_refused_word_about_a_submission_changes_nothing(web: Web, known: bool) -> None:
    record_id = submitted(web) if known else NOBODY
    before = web.contents()
    assert web.call("PUT", f"/generations/{TASK}", json={"submission": record_id}).status_code >= 400
    assert web.contents() == before


def test_our_own_id_tracks_nothing_that_the_vendor_has_not_confirmed(web: Web, desk: Desk) -> None:
    assert_problem(web.call("PUT", f"/generations/{NOBODY}"), 404, NOBODY)
    assert web.contents() == {}
    record_id = submitted(web)
    assert_problem(web.call("PUT", f"/generations/{record_id}"), 409, record_id)
    desk.work_until_state(record_id, "mirroring")
    answer = web.call("PUT", f"/generations/{record_id}", json={"labels": {"shot": "7"}})
    assert (answer.status_code, answer.json()["id"], answer.json()["labels"]) == (200, record_id, {"shot": "7"})


# --- trying again ------------------------------------------------------------------------------------------------------


def test_what_was_refused_goes_again_when_asked(web: Web, desk: Desk) -> None:
    record_id = submitted(web, "refused-once")
    desk.work_until_state(record_id, "failed")
    answer = web.call("POST", f"/generations/{record_id}/retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["error"]) == (202, "waiting", None)
    assert desk.work_until_state(record_id, "mirroring")["id"] == record_id
    assert web.call("POST", f"/generations/{record_id}/retry").status_code == 202, "that is its generation's now"


def test_what_may_have_been_created_does_not_go_again(web: Web, desk: Desk) -> None:
    record_id = submitted(web, "submit-uncertain-silent")
    desk.work(1)
    before = web.contents()
    assert_problem(web.call("POST", f"/generations/{record_id}/retry"), 409, record_id, "uncertain", "not sent again")
    assert web.contents() == before


def test_what_is_held_is_looked_at_at_once_and_sent_once(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    desk.ledger.change(record_id, lambda draft: draft.submission and draft.submission.work.put_back(draft.now + 1000))
    desk.queue.delete("reelkeep.quick")
    assert desk.work() == 0
    for _ in range(3):
        assert web.call("POST", f"/generations/{record_id}/retry").status_code == 202
    assert desk.work_until_state(record_id, "mirroring")["id"] == record_id
    assert (len(desk.made()), desk.sent("/api/v1/veo/generate")) == (1, 1)


def test_what_a_worker_is_sending_does_not_go_again(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    desk.ledger.change(
        record_id, lambda draft: draft.submission and draft.submission.claim(draft.now, desk.policy, early=False)
    )
    before = web.contents()
    assert_problem(web.call("POST", f"/generations/{record_id}/retry"), 409, record_id, "waiting")
    assert web.contents() == before


def test_what_nobody_has_submitted_is_not_tried_again(web: Web) -> None:
    assert_problem(web.call("POST", f"/generations/{NOBODY}/retry"), 404)


# --- upgrades by our id ------------------------------------------------------------------------------------------------


def test_an_upgrade_is_asked_for_by_our_id(web: Web, desk: Desk) -> None:
    record_id = submitted(web)
    desk.work_until_state(record_id, "mirroring")
    answers = [web.call("POST", f"/generations/{record_id}/upgrades", json={"kind": "4k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    assert "4k" in {rendition["kind"] for rendition in answers[0].json()["renditions"]}
    assert_problem(web.call("POST", f"/generations/{NOBODY}/upgrades", json={"kind": "4k"}), 404)
    answer = web.call("POST", f"/generations/{record_id}/upgrades", json={"kind": "4k", "index": 1})
    assert_problem(answer, 409, "no result 1")


def test_an_upgrade_of_a_generation_without_a_verdict_is_a_conflict(web: Web) -> None:
    assert web.call("POST", f"/generations/{TASK}/upgrades", json={"kind": "4k"}).status_code == 404
    web.call("PUT", f"/generations/{TASK}")
    answer = web.call("POST", f"/generations/{TASK}/upgrades", json={"kind": "4k"})
    assert answer.status_code == 409
    assert "PUT" in answer.json()["detail"]
    assert web.call("POST", f"/generations/{TASK}/upgrades", json={"kind": "2k"}).status_code == 400
    assert web.call("POST", f"/generations/{TASK}/upgrades", json={"kind": "4k", "index": 99}).status_code == 400


# --- callbacks under a submission's token ------------------------------------------------------------------------------


@pytest.fixture
def uncertain(web: Web, desk: Desk) -> tuple[str, str]:
    """A submission whose answer was lost: its id and the path of its callback."""
    record_id = submitted(web, "submit-uncertain-silent")
    desk.work(1)
    return record_id, f"/callbacks/veo/{desk.submission(record_id).token}"


def test_a_callback_under_a_token_names_the_submission(web: Web, desk: Desk, uncertain: tuple[str, str]) -> None:
    record_id, path = uncertain
    assert web.callback(success(), path).status_code == 200
    [pending] = desk.ledger.read(record_id).pending
    assert pending.entry.trust is Trust.SIGNED
    assert desk.ledger.read(TASK).pending == []
    desk.work(2)
    assert desk.show(record_id)["taskId"] == TASK


def test_without_data_the_token_is_all_that_a_callback_needs(web: Web, desk: Desk, uncertain: tuple[str, str]) -> None:
    record_id, path = uncertain
    assert web.post(path, '{"code":500,"msg":"Internal Error","data":null}').status_code == 200
    [pending] = desk.ledger.read(record_id).pending
    assert pending.entry.trust is Trust.TOKEN
    desk.work()
    shown = web.call("GET", f"/generations/{record_id}").json()
    assert (shown["state"], shown["taskId"]) == ("failed", None)
    assert shown["error"] == "it was created and failed: Internal Error"


def test_a_token_is_no_signature_of_an_id(web: Web, desk: Desk, uncertain: tuple[str, str]) -> None:
    record_id, path = uncertain
    before = web.contents()
    for headers in ({}, signed("another"), signed(TASK, key="wrong-key")):
        assert web.post(path, json.dumps(success()), headers).status_code == 401
    assert web.contents() == before
    assert desk.show(record_id)["state"] == "uncertain"


def test_a_wrong_token_opens_nothing(web: Web, uncertain: tuple[str, str]) -> None:
    record_id, path = uncertain
    before = web.contents()
    for guess in (path[:-1], path + "x", f"/callbacks/veo/{record_id}", f"/callbacks/veo/4k/{record_id}"):
        assert web.post(guess, '{"code":500,"data":null}').status_code == 401
        assert web.callback(success(), guess).status_code == 401
    assert web.contents() == before


def test_a_callback_cannot_pass_a_submissions_id_for_the_vendors(web: Web, uncertain: tuple[str, str]) -> None:
    record_id, path = uncertain
    before = web.contents()
    for way in ("/callbacks/veo", path):
        assert web.callback(success(record_id), way).status_code == 400
    assert web.contents() == before


# --- health ------------------------------------------------------------------------------------------------------------


LOOKED = {"credits_at": "", "credits_error": ""}


@pytest.mark.parametrize(
    ("facts", "credits", "warning"),
    [
        ({}, None, None),
        ({**LOOKED, "credits": "5916.25"}, 5916.25, None),
        ({**LOOKED, "credits": "100.0"}, 100.0, None),
        ({**LOOKED, "credits": "99.5"}, 99.5, "99.5 credits left, "),
        (
            {**LOOKED, "credits": "5916.25", "credits_error": "code 401"},
            5916.25,
            "code 401",
        ),
        ({**LOOKED, "credits": "7.0", "credits_error": "code 401"}, 7.0, "7 credits left, "),
    ],
    ids=["not looked at", "plenty", "just enough", "low", "unreadable", "low when last read"],
)
def test_an_account_that_runs_dry_is_warned_of(
    web: Web, facts: dict[str, str], credits: float | None, warning: str | None
) -> None:
    """Anybody may ask whether all is well; how much there is, only the user."""
    web.ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": "", **facts})
    account = web.call("GET", "/account").json()
    assert account["credits"] == credits
    assert account["warning"] is None if warning is None else warning in account["warning"]
    assert (account["creditsAt"] is None) is (credits is None)
    ready = requests.get(f"{web.url}/readyz", timeout=10)
    assert ready.json()["account"] == ("needs a look: GET /account" if warning else "ok")
    assert ready.status_code == 200, "no reason to take a process out of service"


def test_the_account_tells_what_was_spent_and_what_may_be(web: Web) -> None:
    submitted(web, model="veo3")
    account = web.call("GET", "/account").json()
    assert account["spentToday"] == {"total": 250.0, "submit": 250.0}
    assert account["budgets"] == {"day": 500.0, "dayForUpgrades": 200.0, "generation": 320.0}
    assert_problem(requests.get(f"{web.url}/account", timeout=10), 401)
