"""The simulator's unified form: createTask, recordInfo and their callbacks, over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.simulator.client import SimulatorClient
from app.simulator.deliveries import sign
from app.simulator.server import Options, Simulator
from tests.contract.test_simulator import KEY, SPEED, Bench, fetch

CREATE = "/api/v1/jobs/createTask"
FULL_HD, UHD = "veo/get-1080p-video", "veo/get-4k-video"


class JobBench(Bench):
    """A bench whose requests are those of the unified form."""

    def create(self, scenario: str = "plain", callback_url: str | None = None, **given: Any) -> str:
        return self.client.create_task("veo-3-1", {"prompt": f"scenario={scenario} a cat", **given}, callback_url)

    def ended(self, task_id: str) -> dict[str, Any]:
        """What recordInfo says once the task has its verdict."""
        self.until(lambda: self.client.record_info(task_id)["state"] in ("success", "fail"))
        return self.client.record_info(task_id)

    def made(self, scenario: str = "plain", **given: Any) -> str:
        task_id = self.create(scenario, **given)
        self.ended(task_id)
        return task_id

    def upgrade(self, model: str, task_id: str, index: int = 0, callback_url: str | None = None) -> str:
        return self.client.create_task(model, {"taskId": task_id, "index": index}, callback_url)

    def refusal(self, model: object, given: object, **more: Any) -> str:
        """What createTask says to a request that it refuses."""
        answer = self.post(CREATE, {"model": model, "input": given, **more})
        assert (answer["code"], answer["data"]) == (422, None)
        msg: str = answer["msg"]
        return msg

    def purchases(self, task_id: str) -> list[dict[str, Any]]:
        return [row for row in self.client.books()["purchases"] if row["taskId"] == task_id]


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(Options(speed=SPEED, webhook_key=KEY, rate_limit=0)) as running:
        yield running


@pytest.fixture
def bench(running: Simulator) -> Iterator[JobBench]:
    bench = JobBench(SimulatorClient(running.url))
    yield bench
    bench.receiver.close()


def urls(record: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(record["resultJson"])
    return found


# ---------------------------------------------------------------------- generations


def test_a_created_task_gives_its_id(bench: JobBench) -> None:
    answer = bench.post(CREATE, {"model": "veo-3-1", "input": {"prompt": "a cat"}})
    assert (200, "success", {"taskId"}) == (answer["code"], answer["msg"], set(answer["data"]))


def test_record_info_of_a_success_has_every_documented_field(bench: JobBench) -> None:
    task_id = bench.create(model="veo3", callback_url=bench.receiver.url)
    record = bench.ended(task_id)
    assert (task_id, "veo-3-1", "success") == (record["taskId"], record["model"], record["state"])
    assert set(urls(record)) == {"resultUrls"}
    assert fetch(urls(record)["resultUrls"][0]).status_code == 200
    assert (record["failCode"], record["failMsg"], record["creditsConsumed"]) == ("", "", 250)
    assert record["completeTime"] - record["createTime"] == record["costTime"]
    param = json.loads(record["param"])
    assert ("veo-3-1", bench.receiver.url) == (param["model"], param["callBackUrl"])
    assert (param["input"]["prompt"], param["input"]["model"]) == ("scenario=plain a cat", "veo3")


@pytest.mark.parametrize("spelling", ["aspect_ratio", "aspectRatio"])
def test_both_spellings_of_the_aspect_ratio_give_a_portrait(bench: JobBench, spelling: str) -> None:
    record = bench.ended(bench.create(**{spelling: "9:16"}))
    assert set(urls(record)) == {"resultUrls", "originUrls"}
    assert json.loads(record["param"])["input"]["aspectRatio"] == "9:16"


def test_an_extension_has_its_segment_and_the_full_video(bench: JobBench) -> None:
    base = bench.made()
    task_id = bench.client.create_task("veo/extend", {"taskId": base, "prompt": "on", "model": "quality"})
    record = bench.ended(task_id)
    assert record["model"] == "veo/extend"
    assert set(urls(record)) == {"resultUrls", "fullResultUrls"}
    assert record["creditsConsumed"] == 250
    assert json.loads(record["param"])["input"] == {"taskId": base, "prompt": "on", "model": "quality"}


def test_the_prompt_chooses_the_scenario(bench: JobBench) -> None:
    record = bench.ended(bench.create("failed-422"))
    assert (record["state"], record["failCode"], record["resultJson"]) == ("fail", "422", "")
    assert record["failMsg"].startswith("Your request was rejected by Flow")


def test_a_wrong_request_is_refused_and_free(bench: JobBench) -> None:
    before = bench.client.books()["creditsLeft"]
    base = bench.made()
    after = bench.client.books()["creditsLeft"]
    assert before - after == 60
    assert "model" in bench.refusal("veo3_fast", {"prompt": "a cat"})
    assert "model" in bench.refusal(None, {"prompt": "a cat"})
    assert "model" in bench.refusal("veo-3-1", {"prompt": "a cat", "model": "fast"})
    assert "model" in bench.refusal("veo/extend", {"taskId": base, "prompt": "on", "model": "veo3"})
    assert "input" in bench.refusal("veo-3-1", None)
    assert "prompt" in bench.refusal("veo-3-1", {})
    assert "taskId" in bench.refusal(UHD, {"index": 0})
    assert "index" in bench.refusal(UHD, {"taskId": base, "index": "0"})
    assert "index" in bench.refusal(FULL_HD, {"taskId": base, "index": 1})
    assert bench.refusal(FULL_HD, {"taskId": "unknown"}) == "Record does not exist"
    assert "callBackUrl" in bench.refusal("veo-3-1", {"prompt": "a cat"}, callBackUrl="nowhere")
    assert "callBackUrl" in bench.refusal(UHD, {"taskId": base}, callBackUrl="nowhere")
    assert after == bench.client.books()["creditsLeft"]


def test_a_callback_url_belongs_beside_the_input_not_in_it(bench: JobBench) -> None:
    task_id = bench.made(callBackUrl=bench.receiver.url)
    assert bench.client.books()["generations"][task_id]["hasCallback"] is False


def test_each_form_knows_only_its_own_tasks(bench: JobBench) -> None:
    unified, dedicated = bench.made(), bench.generated()
    unknown = bench.get("/api/v1/veo/record-info", params={"taskId": unified})
    assert (unknown["code"], unknown["data"]) == (422, None)
    for task_id in (dedicated, "unheard-of"):
        answer = bench.get("/api/v1/jobs/recordInfo", params={"taskId": task_id})
        assert answer == {"code": 422, "msg": "recordInfo is null", "data": None}


# ---------------------------------------------------------------------- upgrades


@pytest.mark.parametrize(("model", "kind", "price"), [(FULL_HD, "1080p", 5), (UHD, "4k", 120)])
def test_every_order_of_an_upgrade_is_a_purchase_of_its_own(bench: JobBench, model: str, kind: str, price: int) -> None:
    base = bench.made()
    before = bench.client.books()["creditsLeft"]
    one, other = bench.upgrade(model, base), bench.upgrade(model, base)
    assert len({base, one, other}) == 3
    rows = bench.purchases(base)
    assert [(one, kind, 0), (other, kind, 0)] == [(row["newTaskId"], row["kind"], row["index"]) for row in rows]
    assert [(price, "unified", 1)] * 2 == [(row["creditsConsumed"], row["form"], row["asks"]) for row in rows]
    assert before - bench.client.books()["creditsLeft"] == 2 * price


def test_an_upgrade_ends_with_its_files(bench: JobBench) -> None:
    base = bench.made("several-results")
    uhd, full_hd = bench.ended(bench.upgrade(UHD, base, 2)), bench.ended(bench.upgrade(FULL_HD, base))
    assert (uhd["model"], uhd["creditsConsumed"]) == (UHD, 120)
    assert (full_hd["model"], full_hd["creditsConsumed"]) == (FULL_HD, 5)
    assert {"taskId": base, "index": 2} == json.loads(uhd["param"])["input"]
    assert [set(urls(uhd)), set(urls(full_hd))] == [{"resultUrls", "imageUrls"}, {"resultUrls"}]
    assert fetch(urls(uhd)["imageUrls"][0]).headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize(("model", "scenario"), [(FULL_HD, "1080p-unavailable"), (UHD, "4k-unavailable")])
def test_an_upgrade_can_turn_out_unavailable_and_was_paid(bench: JobBench, model: str, scenario: str) -> None:
    base = bench.made(scenario)
    record = bench.ended(bench.upgrade(model, base, callback_url=bench.receiver.url))
    assert (record["state"], record["failCode"], record["resultJson"]) == ("fail", "500", "")
    assert "is unavailable" in record["failMsg"]
    body = bench.receiver.next().body
    assert (body["code"], body["data"]["state"]) == (501, "fail")
    assert [(row["outcome"], row["creditsConsumed"] > 0) for row in bench.purchases(base)] == [("unavailable", True)]


@pytest.mark.parametrize(
    ("scenario", "msg"),
    [("4k-too-old", "Temporarily supports records within 14 days."), ("fallback", "fallback model")],
)
def test_an_upgrade_can_be_refused(bench: JobBench, scenario: str, msg: str) -> None:
    base = bench.made(scenario)
    assert msg in bench.refusal(UHD, {"taskId": base, "index": 0})
    assert bench.purchases(base) == []


def test_a_4k_that_was_made_before_is_sold_again_and_ready_at_once(bench: JobBench) -> None:
    base = bench.made("4k-already-made")
    assert bench.client.record_info(bench.upgrade(UHD, base))["state"] == "success"
    assert [row["creditsConsumed"] for row in bench.purchases(base)] == [120]


def test_an_uncertain_order_was_taken_and_a_busy_one_was_not(bench: JobBench) -> None:
    uncertain, busy = bench.made("4k-uncertain"), bench.made("4k-busy")
    order = {"model": UHD, "input": {"taskId": uncertain, "index": 0}}
    answer = bench.client.call("POST", CREATE, json=order)
    assert (500, {"code", "msg"}) == (answer.status_code, set(answer.json()))
    assert len(bench.purchases(uncertain)) == 1
    order["input"] = {"taskId": busy, "index": 0}
    assert [bench.client.call("POST", CREATE, json=order).status_code for _ in range(3)] == [429, 429, 200]
    assert len(bench.purchases(busy)) == 1


def test_the_order_of_a_1080p_can_be_uncertain_in_both_forms(bench: JobBench) -> None:
    bench.post("/_simulator/scenarios", {"name": "hd-uncertain", "order_1080p": {"fail_500": True}})
    one, other = bench.made("hd-uncertain"), bench.made("hd-uncertain")
    assert bench.post(CREATE, {"model": FULL_HD, "input": {"taskId": one}})["code"] == 500
    params = {"taskId": other, "index": 0}
    asked = [bench.get("/api/v1/veo/get-1080p-video", params=params)["code"] for _ in range(2)]
    assert (asked[0], asked[1] != 500) == (500, True)
    assert [len(bench.purchases(one)), len(bench.purchases(other))] == [1, 1]


def test_a_1080p_that_was_made_forbids_to_extend(bench: JobBench) -> None:
    base, other = bench.made(), bench.made("1080p-unavailable")
    bench.upgrade(FULL_HD, base)
    bench.upgrade(FULL_HD, other)
    assert "can not be extended" in bench.refusal("veo/extend", {"taskId": base, "prompt": "on"})
    assert bench.client.create_task("veo/extend", {"taskId": other, "prompt": "on"})


# ---------------------------------------------------------------------- callbacks


def test_a_callback_has_the_unified_form_and_is_signed_with_its_id(bench: JobBench) -> None:
    task_id = bench.create(callback_url=bench.receiver.url)
    call = bench.receiver.next()
    assert (200, task_id, "success") == (call.body["code"], call.body["data"]["taskId"], call.body["data"]["state"])
    assert bench.ended(task_id) == call.body["data"]
    timestamp = int(call.headers["X-Webhook-Timestamp"])
    assert abs(time.time() - timestamp) < 5
    assert sign(KEY, task_id, timestamp) == call.headers["X-Webhook-Signature"]


def test_a_failure_is_called_back_with_501_and_tells_its_code(bench: JobBench) -> None:
    task_id = bench.create("failed-400", bench.receiver.url)
    body = bench.receiver.next().body
    assert (
        body["code"],
        *(body["data"][key] for key in ("state", "failCode", "resultJson")),
    ) == (501, "fail", "400", "")
    assert bench.ended(task_id) == body["data"]


@pytest.mark.parametrize("model", [FULL_HD, UHD])
def test_upgrades_of_both_kinds_are_called_back_under_their_own_id(bench: JobBench, model: str) -> None:
    own = bench.upgrade(model, bench.made(), callback_url=bench.receiver.url + "&upgrade")
    call = bench.receiver.next()
    assert call.path.endswith("&upgrade")
    assert (200, own, model) == (call.body["code"], call.body["data"]["taskId"], call.body["data"]["model"])
    assert sign(KEY, own, int(call.headers["X-Webhook-Timestamp"])) == call.headers["X-Webhook-Signature"]


def test_an_upgrade_follows_the_scenario_of_its_parent(bench: JobBench) -> None:
    base = bench.made("4k-no-callback", callback_url=None)
    own = bench.upgrade(UHD, base, callback_url=bench.receiver.url)
    assert bench.ended(own)["state"] == "success"
    after = bench.create(callback_url=bench.receiver.url)
    assert after == bench.receiver.next().body["data"]["taskId"]


def test_a_passing_failure_is_called_back_before_the_success(bench: JobBench) -> None:
    bench.create("reordered-callbacks", bench.receiver.url)
    first, second = bench.receiver.next().body, bench.receiver.next().body
    assert [(body["code"], body["data"]["state"]) for body in (first, second)] == [(501, "fail"), (200, "success")]


def test_bodies_come_in_other_forms_while_the_record_stays_plain(bench: JobBench) -> None:
    bench.create("null-data-failure", bench.receiver.url)
    body = bench.receiver.next().body
    assert (body["code"], body["data"]) == (501, None)
    task_id = bench.create("odd-body-json-string", bench.receiver.url)
    told = json.loads(bench.receiver.next().body["data"]["resultJson"])["resultUrls"]
    assert urls(bench.ended(task_id))["resultUrls"] == json.loads(told)
    bench.create("odd-body-prompt-object", bench.receiver.url)
    assert bench.receiver.next().body["data"]["param"]["model"] == "veo-3-1"
    task_id = bench.create("odd-body-snake-case", bench.receiver.url)
    assert task_id == bench.receiver.next().body["data"]["task_id"]


def test_a_callback_of_an_upgrade_is_sent_once_more_on_request(bench: JobBench) -> None:
    own = bench.upgrade(FULL_HD, bench.made(), callback_url=bench.receiver.url)
    first = bench.receiver.next()
    assert bench.post("/_simulator/deliver", {"taskId": own}) == {"sent": True}
    assert first.body == bench.receiver.next().body
