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


class Desk(Bench):
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
def desk(running: Simulator) -> Iterator[Desk]:
    desk = Desk(SimulatorClient(running.url))
    yield desk
    desk.receiver.close()


def urls(record: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(record["resultJson"])
    return found


# ---------------------------------------------------------------------- generations


def test_a_created_task_gives_its_id(desk: Desk) -> None:
    answer = desk.post(CREATE, {"model": "veo-3-1", "input": {"prompt": "a cat"}})
    assert (200, "success", {"taskId"}) == (answer["code"], answer["msg"], set(answer["data"]))


def test_record_info_of_a_success_has_every_documented_field(desk: Desk) -> None:
    task_id = desk.create(model="veo3", callback_url=desk.receiver.url)
    record = desk.ended(task_id)
    assert (task_id, "veo-3-1", "success") == (record["taskId"], record["model"], record["state"])
    assert set(urls(record)) == {"resultUrls"}
    assert fetch(urls(record)["resultUrls"][0]).status_code == 200
    assert (record["failCode"], record["failMsg"], record["creditsConsumed"]) == ("", "", 250)
    assert record["completeTime"] - record["createTime"] == record["costTime"]
    param = json.loads(record["param"])
    assert ("veo-3-1", desk.receiver.url) == (param["model"], param["callBackUrl"])
    assert (param["input"]["prompt"], param["input"]["model"]) == ("scenario=plain a cat", "veo3")


def test_a_task_waits_stands_in_the_queue_and_is_generated() -> None:
    with Simulator(Options(speed=60)) as running:
        desk = Desk(SimulatorClient(running.url))
        task_id, seen = desk.create(), list[str]()

        def ended() -> bool:
            record = desk.client.record_info(task_id)
            if record["state"] not in seen:
                seen.append(record["state"])
                assert (record["resultJson"] != "") == (record["state"] == "success")
                assert (record["completeTime"] is None) == (record["state"] != "success")
            return record["state"] == "success"

        desk.until(ended)
        desk.receiver.close()
    order = ["waiting", "queuing", "generating", "success"]
    assert sorted(seen, key=order.index) == seen
    assert seen[-1] == "success"


def test_a_task_begins_by_waiting() -> None:
    with Simulator(Options()) as running:
        desk = Desk(SimulatorClient(running.url))
        assert desk.client.record_info(desk.create())["state"] == "waiting"
        desk.receiver.close()


@pytest.mark.parametrize("spelling", ["aspect_ratio", "aspectRatio"])
def test_both_spellings_of_the_aspect_ratio_give_a_portrait(desk: Desk, spelling: str) -> None:
    record = desk.ended(desk.create(**{spelling: "9:16"}))
    assert set(urls(record)) == {"resultUrls", "originUrls"}
    assert json.loads(record["param"])["input"]["aspectRatio"] == "9:16"


def test_an_extension_has_its_segment_and_the_full_video(desk: Desk) -> None:
    base = desk.made()
    task_id = desk.client.create_task("veo/extend", {"taskId": base, "prompt": "on", "model": "quality"})
    record = desk.ended(task_id)
    assert record["model"] == "veo/extend"
    assert set(urls(record)) == {"resultUrls", "fullResultUrls"}
    assert record["creditsConsumed"] == 250
    assert json.loads(record["param"])["input"] == {"taskId": base, "prompt": "on", "model": "quality"}


def test_the_prompt_chooses_the_scenario(desk: Desk) -> None:
    record = desk.ended(desk.create("failed-422"))
    assert (record["state"], record["failCode"], record["resultJson"]) == ("fail", "422", "")
    assert record["failMsg"].startswith("Your request was rejected by Flow")


def test_a_wrong_request_is_refused_and_free(desk: Desk) -> None:
    before = desk.client.books()["creditsLeft"]
    base = desk.made()
    after = desk.client.books()["creditsLeft"]
    assert before - after == 60
    assert "model" in desk.refusal("veo3_fast", {"prompt": "a cat"})
    assert "model" in desk.refusal(None, {"prompt": "a cat"})
    assert "model" in desk.refusal("veo-3-1", {"prompt": "a cat", "model": "fast"})
    assert "model" in desk.refusal("veo/extend", {"taskId": base, "prompt": "on", "model": "veo3"})
    assert "input" in desk.refusal("veo-3-1", None)
    assert "prompt" in desk.refusal("veo-3-1", {})
    assert "taskId" in desk.refusal(UHD, {"index": 0})
    assert "index" in desk.refusal(UHD, {"taskId": base, "index": "0"})
    assert "index" in desk.refusal(FULL_HD, {"taskId": base, "index": 1})
    assert desk.refusal(FULL_HD, {"taskId": "unknown"}) == "Record does not exist"
    assert "callBackUrl" in desk.refusal("veo-3-1", {"prompt": "a cat"}, callBackUrl="nowhere")
    assert "callBackUrl" in desk.refusal(UHD, {"taskId": base}, callBackUrl="nowhere")
    assert after == desk.client.books()["creditsLeft"]


def test_a_callback_url_belongs_beside_the_input_not_in_it(desk: Desk) -> None:
    task_id = desk.made(callBackUrl=desk.receiver.url)
    assert desk.client.books()["generations"][task_id]["hasCallback"] is False


def test_each_form_knows_only_its_own_tasks(desk: Desk) -> None:
    unified, dedicated = desk.made(), desk.generated()
    unknown = desk.get("/api/v1/veo/record-info", params={"taskId": unified})
    assert (unknown["code"], unknown["data"]) == (422, None)
    for task_id in (dedicated, "unheard-of"):
        answer = desk.get("/api/v1/jobs/recordInfo", params={"taskId": task_id})
        assert answer == {"code": 422, "msg": "recordInfo is null", "data": None}


def test_a_fresh_task_is_unknown_for_a_while_and_so_is_its_upgrade(desk: Desk) -> None:
    def known(task_id: str) -> bool:
        return bool(desk.get("/api/v1/jobs/recordInfo", params={"taskId": task_id})["code"] == 200)

    desk.post("/_simulator/scenarios", {"name": "shy", "invisible": 300, "takes": 300})
    base = desk.create("shy")
    assert not known(base)
    desk.until(lambda: known(base))
    own = desk.upgrade(UHD, base)
    assert not known(own)
    desk.until(lambda: known(own))


# ---------------------------------------------------------------------- upgrades


@pytest.mark.parametrize(("model", "kind", "price"), [(FULL_HD, "1080p", 5), (UHD, "4k", 120)])
def test_every_order_of_an_upgrade_is_a_purchase_of_its_own(desk: Desk, model: str, kind: str, price: int) -> None:
    base = desk.made()
    before = desk.client.books()["creditsLeft"]
    one, other = desk.upgrade(model, base), desk.upgrade(model, base)
    assert len({base, one, other}) == 3
    rows = desk.purchases(base)
    assert [(one, kind, 0), (other, kind, 0)] == [(row["newTaskId"], row["kind"], row["index"]) for row in rows]
    assert [(price, "unified", 1)] * 2 == [(row["creditsConsumed"], row["form"], row["asks"]) for row in rows]
    assert before - desk.client.books()["creditsLeft"] == 2 * price


def test_an_upgrade_ends_with_its_files(desk: Desk) -> None:
    base = desk.made("several-results")
    uhd, full_hd = desk.ended(desk.upgrade(UHD, base, 2)), desk.ended(desk.upgrade(FULL_HD, base))
    assert (uhd["model"], uhd["creditsConsumed"]) == (UHD, 120)
    assert (full_hd["model"], full_hd["creditsConsumed"]) == (FULL_HD, 5)
    assert {"taskId": base, "index": 2} == json.loads(uhd["param"])["input"]
    assert [set(urls(uhd)), set(urls(full_hd))] == [{"resultUrls", "imageUrls"}, {"resultUrls"}]
    assert fetch(urls(uhd)["imageUrls"][0]).headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize(("model", "scenario"), [(FULL_HD, "1080p-unavailable"), (UHD, "4k-unavailable")])
def test_an_upgrade_can_turn_out_unavailable_and_was_paid(desk: Desk, model: str, scenario: str) -> None:
    base = desk.made(scenario)
    record = desk.ended(desk.upgrade(model, base, callback_url=desk.receiver.url))
    assert (record["state"], record["failCode"], record["resultJson"]) == ("fail", "500", "")
    assert "is unavailable" in record["failMsg"]
    body = desk.receiver.next().body
    assert (body["code"], body["data"]["state"]) == (501, "fail")
    assert [(row["outcome"], row["creditsConsumed"] > 0) for row in desk.purchases(base)] == [("unavailable", True)]


@pytest.mark.parametrize(
    ("scenario", "msg"),
    [("4k-too-old", "Temporarily supports records within 14 days."), ("fallback", "fallback model")],
)
def test_an_upgrade_can_be_refused(desk: Desk, scenario: str, msg: str) -> None:
    base = desk.made(scenario)
    assert msg in desk.refusal(UHD, {"taskId": base, "index": 0})
    assert desk.purchases(base) == []


def test_a_4k_that_was_made_before_is_sold_again_and_ready_at_once(desk: Desk) -> None:
    base = desk.made("4k-already-made")
    assert desk.client.record_info(desk.upgrade(UHD, base))["state"] == "success"
    assert [row["creditsConsumed"] for row in desk.purchases(base)] == [120]


def test_an_uncertain_order_was_taken_and_a_busy_one_was_not(desk: Desk) -> None:
    uncertain, busy = desk.made("4k-uncertain"), desk.made("4k-busy")
    order = {"model": UHD, "input": {"taskId": uncertain, "index": 0}}
    answer = desk.client.call("POST", CREATE, json=order)
    assert (500, {"code", "msg"}) == (answer.status_code, set(answer.json()))
    assert len(desk.purchases(uncertain)) == 1
    order["input"] = {"taskId": busy, "index": 0}
    assert [desk.client.call("POST", CREATE, json=order).status_code for _ in range(3)] == [429, 429, 200]
    assert len(desk.purchases(busy)) == 1


def test_the_order_of_a_1080p_can_be_uncertain_in_both_forms(desk: Desk) -> None:
    desk.post("/_simulator/scenarios", {"name": "hd-uncertain", "order_1080p": {"fail_500": True}})
    one, other = desk.made("hd-uncertain"), desk.made("hd-uncertain")
    assert desk.post(CREATE, {"model": FULL_HD, "input": {"taskId": one}})["code"] == 500
    params = {"taskId": other, "index": 0}
    asked = [desk.get("/api/v1/veo/get-1080p-video", params=params)["code"] for _ in range(2)]
    assert (asked[0], asked[1] != 500) == (500, True)
    assert [len(desk.purchases(one)), len(desk.purchases(other))] == [1, 1]


def test_a_1080p_that_was_made_forbids_to_extend(desk: Desk) -> None:
    base, other = desk.made(), desk.made("1080p-unavailable")
    desk.upgrade(FULL_HD, base)
    desk.upgrade(FULL_HD, other)
    assert "can not be extended" in desk.refusal("veo/extend", {"taskId": base, "prompt": "on"})
    assert desk.client.create_task("veo/extend", {"taskId": other, "prompt": "on"})


# ---------------------------------------------------------------------- callbacks


def test_a_callback_has_the_unified_form_and_is_signed_with_its_id(desk: Desk) -> None:
    task_id = desk.create(callback_url=desk.receiver.url)
    call = desk.receiver.next()
    assert (200, task_id, "success") == (call.body["code"], call.body["data"]["taskId"], call.body["data"]["state"])
    assert desk.ended(task_id) == call.body["data"]
    timestamp = int(call.headers["X-Webhook-Timestamp"])
    assert abs(time.time() - timestamp) < 5
    assert sign(KEY, task_id, timestamp) == call.headers["X-Webhook-Signature"]


def test_a_failure_is_called_back_with_501_and_tells_its_code(desk: Desk) -> None:
    task_id = desk.create("failed-400", desk.receiver.url)
    body = desk.receiver.next().body
    assert (
        body["code"],
        *(body["data"][key] for key in ("state", "failCode", "resultJson")),
    ) == (501, "fail", "400", "")
    assert desk.ended(task_id) == body["data"]


@pytest.mark.parametrize("model", [FULL_HD, UHD])
def test_upgrades_of_both_kinds_are_called_back_under_their_own_id(desk: Desk, model: str) -> None:
    own = desk.upgrade(model, desk.made(), callback_url=desk.receiver.url + "&upgrade")
    call = desk.receiver.next()
    assert call.path.endswith("&upgrade")
    assert (200, own, model) == (call.body["code"], call.body["data"]["taskId"], call.body["data"]["model"])
    assert sign(KEY, own, int(call.headers["X-Webhook-Timestamp"])) == call.headers["X-Webhook-Signature"]


def test_an_upgrade_follows_the_scenario_of_its_parent(desk: Desk) -> None:
    base = desk.made("4k-no-callback", callback_url=None)
    own = desk.upgrade(UHD, base, callback_url=desk.receiver.url)
    assert desk.ended(own)["state"] == "success"
    after = desk.create(callback_url=desk.receiver.url)
    assert after == desk.receiver.next().body["data"]["taskId"]


def test_a_passing_failure_is_called_back_before_the_success(desk: Desk) -> None:
    desk.create("reordered-callbacks", desk.receiver.url)
    first, second = desk.receiver.next().body, desk.receiver.next().body
    assert [(body["code"], body["data"]["state"]) for body in (first, second)] == [(501, "fail"), (200, "success")]


def test_bodies_come_in_other_forms_while_the_record_stays_plain(desk: Desk) -> None:
    desk.create("null-data-failure", desk.receiver.url)
    body = desk.receiver.next().body
    assert (body["code"], body["data"]) == (501, None)
    task_id = desk.create("odd-body-json-string", desk.receiver.url)
    told = json.loads(desk.receiver.next().body["data"]["resultJson"])["resultUrls"]
    assert urls(desk.ended(task_id))["resultUrls"] == json.loads(told)
    desk.create("odd-body-prompt-object", desk.receiver.url)
    assert desk.receiver.next().body["data"]["param"]["model"] == "veo-3-1"
    task_id = desk.create("odd-body-snake-case", desk.receiver.url)
    assert task_id == desk.receiver.next().body["data"]["task_id"]


def test_a_callback_of_an_upgrade_is_sent_once_more_on_request(desk: Desk) -> None:
    own = desk.upgrade(FULL_HD, desk.made(), callback_url=desk.receiver.url)
    first = desk.receiver.next()
    assert desk.post("/_simulator/deliver", {"taskId": own}) == {"sent": True}
    assert first.body == desk.receiver.next().body
