"""The simulator's rules, by a clock that the test turns: what veo-api says the vendor answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.simulator.answers import Answer
from app.simulator.deliveries import Delivery
from app.simulator.files import Shelf, Visit
from app.simulator.gate import Gate
from app.simulator.scenarios import BUILT_IN, PostFaults, Scenario, choose
from app.simulator.upgrades import Upgrades
from app.simulator.vendor import Vendor

CALLBACK = "https://receiver.example/callbacks/token?x=1"


@dataclass
class Desk:
    """The vendor without HTTP: time stands still until the test moves it, callbacks only pile up."""

    now: float = 1_785_999_477.9
    sent: list[Delivery] = field(default_factory=list)
    scenarios: dict[str, Scenario] = field(default_factory=lambda: dict(BUILT_IN))
    rate_limit: int = 0
    credits: float = 1000.25

    def __post_init__(self) -> None:
        numbers = count(1)
        self.shelf = Shelf("http://files.example", lambda: self.now, 1, lambda: f"{next(numbers):032x}")
        self.vendor = Vendor(
            clock=lambda: self.now,
            speed=1,
            new_id=self.shelf.new_hex,
            shelf=self.shelf,
            courier=self,
            scenarios=self.scenarios,
            credits=self.credits,
            gate=Gate(lambda: self.now, self.rate_limit),
        )
        self.upgrades = Upgrades(self.vendor)

    def send(self, delivery: Delivery) -> None:
        self.sent.append(delivery)

    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of all callbacks in their order, those that wait for another one too."""
        found: list[dict[str, Any]] = []
        for first in self.sent:
            delivery: Delivery | None = first
            while delivery is not None:
                found.append(delivery.body)
                delivery = delivery.then
        return found

    def generate(self, scenario: str = "plain", **fields: Any) -> str:
        prompt = f"scenario={scenario} a cat"
        return task_id(self.vendor.generate({"prompt": prompt, "callBackUrl": CALLBACK, **fields}))

    def generated(self, scenario: str = "plain", **fields: Any) -> str:
        """A generation that has its verdict."""
        made = self.generate(scenario, **fields)
        self.now += 120
        return made

    def details(self, task: str) -> dict[str, Any]:
        answer = self.vendor.details(task)
        assert answer.code == 200, answer
        data: dict[str, Any] = answer.data
        return data

    def order_4k(self, task: str, index: int = 0) -> Answer:
        return self.upgrades.get_4k({"taskId": task, "index": index, "callBackUrl": CALLBACK + "&4k"})

    def visit(self, url: str) -> Visit:
        parts = urlsplit(url)
        return self.shelf.visit(parts.path, parts.query)

    def add(self, name: str, **fields: Any) -> None:
        self.scenarios[name] = Scenario(**fields)


def task_id(answer: Answer) -> str:
    assert answer.code == 200, answer
    made: str = answer.data["taskId"]
    return made


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------------- generations


def test_details_of_a_running_generation_look_as_recorded(desk: Desk) -> None:
    prompt = "Apicity aspect probe snake_case: solid blue sky, still camera, no people"
    request = {"prompt": prompt, "model": "veo3_lite", "generationType": "TEXT_2_VIDEO"}
    made = task_id(desk.vendor.generate({**request, "aspect_ratio": "9:16", "duration": 4, "resolution": "720p"}))
    data = desk.details(made)
    params = json.loads(data.pop("paramJson"))
    assert {
        "taskId": made,
        "response": None,
        "successFlag": 0,
        "fallbackFlag": False,
        "completeTime": None,
        "createTime": 1785999477000,
        "errorCode": None,
        "errorMessage": "",
    } == data
    assert {
        "duration": 4,
        "enableTranslation": True,
        "generationType": "TEXT_2_VIDEO",
        "aspectRatio": "9:16",
        "model": "veo3_lite",
        "enableFallback": False,
        "resolution": "720p",
        "prompt": prompt,
    } == params


def test_a_generation_succeeds_after_its_time_and_details_nest_the_urls(desk: Desk) -> None:
    made = desk.generate()
    desk.now += 119
    assert desk.details(made)["successFlag"] == 0
    desk.now += 1
    data = desk.details(made)
    assert data["successFlag"] == 1
    assert len(data["response"]["resultUrls"]) == 1
    assert data["response"]["originUrls"] is None
    assert data["completeTime"] - data["createTime"] == 120_000


def test_the_callback_is_as_documented_its_prompt_no_valid_json(desk: Desk) -> None:
    made = desk.generated()
    (body,) = desk.bodies()
    assert body["code"] == 200
    assert body["data"]["taskId"] == made
    assert body["data"]["info"]["resultUrls"] == desk.details(made)["response"]["resultUrls"]
    assert body["data"]["fallbackFlag"] is False
    assert '"callBackUrl":"\\https://' in body["data"]["promptJson"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(body["data"]["promptJson"])
    (delivery,) = desk.sent
    assert delivery.url == CALLBACK
    assert desk.now == delivery.due


def test_a_generation_without_a_callback_url_is_never_announced(desk: Desk) -> None:
    task_id(desk.vendor.generate({"prompt": "a cat"}))
    assert desk.sent == []


@pytest.mark.parametrize(
    ("scenario", "code", "flag"),
    [
        ("failed-400", 400, 2),
        ("failed-422", 422, 2),
        ("failed-500", 500, 2),
        ("failed-501", 501, 2),
        ("failed-upstream", 500, 3),
        ("null-data-failure", 500, 2),
    ],
)
def test_failures_are_told_by_callback_and_details(desk: Desk, scenario: str, code: int, flag: int) -> None:
    made = desk.generated(scenario)
    (body,) = desk.bodies()
    data = desk.details(made)
    assert code == body["code"] == data["errorCode"]
    assert flag == data["successFlag"]
    assert data["response"] is None
    assert data["errorMessage"] == body["msg"]
    expected = None if scenario == "null-data-failure" else {"taskId": made, "fallbackFlag": False}
    assert expected == body["data"]


@pytest.mark.parametrize(
    ("scenario", "codes"),
    [
        ("no-callback", []),
        ("duplicate-callbacks", [200] * 3),
        ("simultaneous-callbacks", [200] * 5),
        ("reordered-callbacks", [500, 200]),
        ("late-failure", [200, 500]),
    ],
)
def test_callbacks_are_lost_repeated_and_reordered(desk: Desk, scenario: str, codes: list[int]) -> None:
    made = desk.generated(scenario)
    assert codes == [body["code"] for body in desk.bodies()]
    assert desk.details(made)["successFlag"] == 1


def test_simultaneous_callbacks_are_due_at_the_same_moment(desk: Desk) -> None:
    desk.generated("simultaneous-callbacks")
    assert [desk.now] * 5 == [delivery.due for delivery in desk.sent]


def test_a_fresh_id_is_unknown_to_every_endpoint_for_a_while(desk: Desk) -> None:
    made = desk.generate("slow-to-appear")
    desk.now += 59
    assert Answer(422, f"Record not found for taskId: {made}") == desk.vendor.details(made)
    assert desk.upgrades.get_1080p(made, 0).msg == "Record does not exist"
    desk.now += 1
    assert desk.details(made)["successFlag"] == 0


@pytest.mark.parametrize(
    ("scenario", "urls_of"),
    [
        ("odd-body-json-string", lambda data: json.loads(data["info"]["resultUrls"])),
        ("odd-body-snake-case", lambda data: data["info"]["result_urls"]),
        ("odd-body-prompt-object", lambda data: data["info"]["resultUrls"]),
        ("bracketed", lambda data: data["info"]["resultUrls"].strip("[]").split(", ")),
        ("bare-url", lambda data: [data["info"]["resultUrls"]]),
    ],
)
def test_bodies_come_in_other_forms(desk: Desk, scenario: str, urls_of: Any) -> None:
    for form in ("bracketed", "bare-url"):
        desk.add(form, body=form)
    made = desk.generated(scenario)
    (body,) = desk.bodies()
    assert desk.details(made)["response"]["resultUrls"] == urls_of(body["data"])
    assert (scenario == "odd-body-snake-case") == ("task_id" in body["data"])
    assert (scenario == "odd-body-prompt-object") == ("creditsConsumed" in body["data"])


def test_a_stale_signature_is_an_hour_old(desk: Desk) -> None:
    desk.generated("stale-signature")
    assert [delivery.timestamp_shift for delivery in desk.sent] == [-3600]


def test_originals_come_with_every_video_that_is_not_16_9(desk: Desk) -> None:
    for made in (desk.generated("portrait"), desk.generated(aspectRatio="9:16")):
        assert len(desk.details(made)["response"]["originUrls"]) == 1
    assert desk.details(desk.generated("several-results"))["response"]["originUrls"] is None


def test_an_extension_has_its_segment_and_the_full_video(desk: Desk) -> None:
    base = desk.generated()
    made = task_id(desk.vendor.extend({"taskId": base, "prompt": "scenario=extension on", "model": "fast"}))
    assert base != made
    desk.now += 120
    response = desk.details(made)["response"]
    assert 1 == len(response["resultUrls"]) == len(response["fullResultUrls"])
    assert "fullResultUrls" not in desk.details(base)["response"]


def test_an_extension_needs_a_finished_base_without_a_1080p(desk: Desk) -> None:
    assert desk.vendor.extend({"taskId": "x", "prompt": "on"}).msg == "Record does not exist"
    base = desk.generate()
    again = {"taskId": base, "prompt": "on"}
    assert desk.vendor.extend(again).msg == "record status is not success."
    desk.now += 120
    desk.upgrades.get_1080p(base, 0)
    assert desk.vendor.extend(again).code == 422


# ---------------------------------------------------------------------- submits


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": " "},
        {"prompt": "cat", "model": "fast"},
        {"prompt": "cat", "aspect_ratio": "4:3"},
        {"prompt": "cat", "callBackUrl": "nowhere"},
        {"prompt": "cat", "seeds": 9},
        {"prompt": "cat", "imageUrls": "https://x"},
        {"prompt": "scenario=unheard-of cat"},
    ],
)
def test_a_wrong_request_is_refused_and_free(desk: Desk, fields: dict[str, Any]) -> None:
    answer = desk.vendor.generate(fields)
    assert (answer.code, answer.status, answer.data) == (422, 200, None)
    assert desk.vendor.credit().data == 1000.25


def test_fields_that_are_null_are_as_good_as_absent(desk: Desk) -> None:
    assert desk.generate(model=None, imageUrls=None, aspectRatio=None, aspect_ratio=None)


def test_extend_has_its_own_names_for_the_models(desk: Desk) -> None:
    base = desk.generated()
    answer = desk.vendor.extend({"taskId": base, "prompt": "on", "model": "veo3_fast"})
    assert answer.code == 422


def test_the_rate_limit_creates_nothing_and_passes(desk: Desk) -> None:
    desk = Desk(rate_limit=2)
    first = [desk.vendor.generate({"prompt": "cat"}).code for _ in range(4)]
    assert first == [200, 200, 429, 429]
    assert desk.vendor.generate({"prompt": "cat"}).status == 429
    assert len(desk.vendor.generations) == 2
    desk.now += 10
    assert desk.vendor.generate({"prompt": "cat"}).code == 200


def test_credits_run_out() -> None:
    desk = Desk(credits=100)
    assert [desk.vendor.generate({"prompt": "cat"}).code for _ in range(2)] == [200, 402]
    assert desk.vendor.credit().data == 40.0


def test_a_busy_vendor_refuses_the_first_submits_of_a_prompt(desk: Desk) -> None:
    request = {"prompt": "scenario=submit-busy cat"}
    assert [desk.vendor.generate(request).code for _ in range(3)] == [429, 429, 200]
    assert len(desk.vendor.generations) == 1


def test_an_uncertain_submit_was_carried_out_and_shows_no_data(desk: Desk) -> None:
    answer = desk.vendor.generate({"prompt": "scenario=submit-uncertain cat"})
    assert (500, {"code", "msg"}) == (answer.status, set(answer.body))
    assert len(desk.vendor.generations) == 1


def test_an_answer_can_be_held_back_once(desk: Desk) -> None:
    desk.add("held", submit=PostFaults(hold=7))
    request = {"prompt": "scenario=held cat"}
    assert [desk.vendor.generate(request).hold for _ in range(2)] == [7, 0]


# ---------------------------------------------------------------------- 1080p


def test_1080p_is_ordered_by_the_first_get_and_paid_once(desk: Desk) -> None:
    base = desk.generated()
    before = desk.vendor.credits
    answers = [desk.upgrades.get_1080p(base, 0) for _ in range(3)]
    assert [(answer.code, answer.status) for answer in answers] == [(400, 200)] * 3
    assert answers[0].msg.startswith("1080P is processing.")
    desk.now += 90
    ready = desk.upgrades.get_1080p(base, 0)
    assert ready.code == 200
    assert ready.data["resultUrl"].startswith("http://files.example/p/")
    assert before - desk.vendor.credits == 5


def test_1080p_can_want_to_be_asked_often(desk: Desk) -> None:
    desk.add("often", takes_1080p=0, asks_1080p=2)
    base = desk.generated("often")
    assert [desk.upgrades.get_1080p(base, 0).code for _ in range(3)] == [400, 400, 200]


@pytest.mark.parametrize(("form", "expected"), [("400", (400, 200)), ("422", (422, 200)), ("http-400", (400, 400))])
def test_1080p_says_processing_in_three_ways(desk: Desk, form: str, expected: tuple[int, int]) -> None:
    desk.add("form", processing_1080p=form)
    answer = desk.upgrades.get_1080p(desk.generated("form"), 0)
    assert expected == (answer.code, answer.status)


def test_1080p_can_be_unavailable_and_is_then_free(desk: Desk) -> None:
    answer = desk.upgrades.get_1080p(desk.generated("1080p-unavailable"), 0)
    assert (answer.code, answer.data) == (500, None)
    assert desk.vendor.upgrades == {}


# ---------------------------------------------------------------------- 4K


def test_4k_is_accepted_then_processing_then_done_and_paid_once(desk: Desk) -> None:
    base = desk.generated("4k-new-id")
    before = desk.vendor.credits
    accepted = desk.order_4k(base)
    new = accepted.data["taskId"]
    assert new != base
    assert {"taskId": new, "resultUrls": None, "imageUrls": None} == accepted.data
    processing = desk.order_4k(base)
    assert processing.code == 422
    assert processing.msg.startswith("4k is processing.")
    assert {"taskId": new, "resultUrls": None, "imageUrls": None} == processing.data
    assert desk.details(new)["successFlag"] == 0
    desk.now += 420
    done = desk.order_4k(base)
    assert (done.code, done.msg) == (422, "The video has been generated successfully")
    assert 1 == len(done.data["resultUrls"]) == len(done.data["imageUrls"])
    assert before - desk.vendor.credits == 120


def test_4k_callback_goes_to_the_url_of_its_own_request(desk: Desk) -> None:
    base = desk.generated()
    new = desk.order_4k(base).data["taskId"]
    delivery = desk.sent[-1]
    assert (CALLBACK + "&4k", new, desk.now + 420) == (delivery.url, delivery.task_id, delivery.due)
    desk.now += 420
    urls = desk.order_4k(base).data
    info = {"resultUrls": urls["resultUrls"], "imageUrls": urls["imageUrls"]}
    assert {"creditsConsumed": 120, "taskId": new, "info": info} == delivery.body["data"]


def test_4k_details_have_media_ids_and_no_fallback_flag(desk: Desk) -> None:
    new = desk.order_4k(desk.generated()).data["taskId"]
    desk.now += 420
    data = desk.details(new)
    assert data["successFlag"] == 1
    assert "fallbackFlag" not in data
    assert {"taskId", "resultUrls", "imageUrls", "mediaIds"} == set(data["response"])


def test_4k_under_the_parents_id_leaves_the_parents_details_alone(desk: Desk) -> None:
    base = desk.generated("4k-parent-id")
    before = desk.details(base)
    assert base == desk.order_4k(base).data["taskId"]
    desk.now += 420
    assert before == desk.details(base)
    assert base == desk.sent[-1].body["data"]["taskId"]


def test_4k_that_was_already_made_gives_its_urls_at_once_and_free(desk: Desk) -> None:
    base = desk.generated("4k-already-made")
    before = desk.vendor.credits
    answer = desk.order_4k(base)
    assert (answer.code, answer.msg) == (422, "The video has been generated successfully")
    assert answer.data["resultUrls"]
    assert before == desk.vendor.credits
    assert len(desk.sent) == 1


@pytest.mark.parametrize("scenario", ["4k-unavailable", "4k-unavailable-null-data"])
def test_4k_can_turn_out_unavailable(desk: Desk, scenario: str) -> None:
    base = desk.generated(scenario)
    new = desk.order_4k(base).data["taskId"]
    assert desk.order_4k(base).code == 422
    desk.now += 420
    body = desk.sent[-1].body
    assert body["msg"].startswith("The 4K version of this video is unavailable.")
    assert (500, None if "null" in scenario else {"taskId": new}) == (body["code"], body["data"])
    again = desk.order_4k(base)
    assert (500, body["msg"], None) == (again.code, again.msg, again.data)
    assert desk.details(new)["successFlag"] == 3


def test_4k_callback_can_be_missing(desk: Desk) -> None:
    desk.order_4k(desk.generated("4k-no-callback"))
    assert len(desk.sent) == 1


def test_4k_in_snake_case_is_flat(desk: Desk) -> None:
    desk.order_4k(desk.generated("odd-body-snake-case"))
    assert {"task_id", "result_urls", "image_urls", "media_ids"} == set(desk.sent[-1].body["data"])


def test_4k_that_is_uncertain_was_ordered_once(desk: Desk) -> None:
    base = desk.generated("4k-uncertain")
    assert (desk.order_4k(base).status, desk.order_4k(base).code) == (500, 422)
    assert [upgrade.credits for upgrade in desk.vendor.upgrades.values()] == [120]
    assert len(desk.sent) == 2


def test_4k_can_be_busy_first(desk: Desk) -> None:
    base = desk.generated("4k-busy")
    assert [desk.order_4k(base).code for _ in range(3)] == [429, 429, 200]
    assert len(desk.vendor.upgrades) == 1


def test_4k_of_an_old_video_is_refused(desk: Desk) -> None:
    old = "Temporarily supports records within 14 days."
    assert old == desk.order_4k(desk.generated("4k-too-old")).msg
    base = desk.generated()
    desk.now += 14 * 86400 + 1
    assert old == desk.order_4k(base).msg


def test_upgrades_need_a_finished_base_a_known_index_and_no_fallback(desk: Desk) -> None:
    running, fallback = desk.generate(), desk.generate("fallback")
    for upgrade in (desk.upgrades.get_1080p, desk.order_4k):
        assert upgrade(running, 0).msg == "record status is not success."
    desk.now += 120
    for upgrade in (desk.upgrades.get_1080p, desk.order_4k):
        assert [upgrade(fallback, 0).code, upgrade(running, 1).code] == [422, 422]
    assert desk.vendor.upgrades == {}
    assert desk.details(fallback)["fallbackFlag"] is True


def test_each_result_has_its_own_upgrades(desk: Desk) -> None:
    base = desk.generated("several-results")
    assert len({desk.order_4k(base, index).data["taskId"] for index in range(3)}) == 3
    assert [desk.order_4k(base, index).code for index in range(3)] == [422] * 3
    assert list(desk.vendor.upgrades) == [(base, index, "4k") for index in range(3)]


# ---------------------------------------------------------------------- links


def first_url(desk: Desk, task: str) -> str:
    url: str = desk.details(task)["response"]["resultUrls"][0]
    return url


def renew(desk: Desk, url: str) -> Answer:
    return desk.vendor.download_url({"url": url})


def test_a_renewed_link_needs_its_signature_and_lives_20_minutes(desk: Desk) -> None:
    made = desk.generated("renewable-link")
    dead = first_url(desk, made)
    assert desk.visit(dead).status == 404
    fresh = renew(desk, dead).data
    assert desk.visit(fresh).status == 200
    assert desk.visit(fresh.partition("?")[0]).status == 403
    assert dead == first_url(desk, made)
    desk.now += 1200
    assert desk.visit(fresh).status == 404
    assert desk.visit(renew(desk, dead).data).status == 200


def test_a_dead_link_stays_dead(desk: Desk) -> None:
    made = desk.generated("dead-link")
    dead = first_url(desk, made)
    assert desk.visit(dead).status == 404
    assert dead == first_url(desk, made)
    assert Answer(422, "url is wrong") == renew(desk, dead)


def test_a_moved_link_is_renewed_by_the_details_once_it_failed(desk: Desk) -> None:
    made = desk.generated("moved-link")
    old = first_url(desk, made)
    assert old == first_url(desk, made)
    assert desk.visit(old).status == 404
    new = first_url(desk, made)
    assert desk.visit(new).status == 200
    assert new == first_url(desk, made)
    assert len(desk.shelf.links) == 2
    assert renew(desk, old).msg == "url is wrong"
    assert [old] == desk.bodies()[0]["data"]["info"]["resultUrls"]


def test_links_die_before_files_and_files_after_14_days(desk: Desk) -> None:
    desk.add("short", link_life=86400)
    made = desk.generated("short")
    url = first_url(desk, made)
    assert desk.visit(url).status == 200
    desk.now += 86400
    assert desk.visit(url).status == 404
    assert desk.visit(renew(desk, url).data).status == 200
    desk.now += 13 * 86400
    assert renew(desk, url).msg == "url is wrong"


def test_a_file_is_not_there_before_its_generation_is_done(desk: Desk) -> None:
    desk.generate()
    (path,) = desk.shelf.links
    assert desk.visit(path).status == 404
    desk.now += 120
    assert desk.visit(path).status == 200


def test_faults_are_counted_by_file_whatever_the_link(desk: Desk) -> None:
    url = first_url(desk, desk.generated("download-fails-twice"))
    other = renew(desk, url).data
    assert [desk.visit(at).fault for at in (url, other, url)] == [500, 503, None]


# ---------------------------------------------------------------------- scenarios


def test_the_prompt_chooses_the_scenario() -> None:
    assert ("plain", BUILT_IN["plain"]) == choose("a cat", BUILT_IN)
    assert ("dead-link", BUILT_IN["dead-link"]) == choose("scenario=dead-link a cat", BUILT_IN)
    assert choose("scenario=no a cat", BUILT_IN) == ("no", None)


def test_every_built_in_scenario_says_what_it_is() -> None:
    assert [name for name, scenario in BUILT_IN.items() if not scenario.about] == []
