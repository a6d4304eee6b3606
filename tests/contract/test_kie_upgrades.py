"""The vendor's client: each answer about an upgrade, told apart (veo-api §5, §6)."""

from typing import Any

import pytest

from app.adapters.kie import KieVendor
from app.domain.urls import Urls
from app.domain.vendor import OrderProgress
from app.domain.work import Kind

VIDEO, PICTURE = "https://file.aiquickdraw.com/v/x.mp4?sig=s3cret", "https://file.aiquickdraw.com/v/x.jpg"


def _envelope(code: int, msg: str = "success", data: Any = None) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": data}


PROCESSING_HD = "1080P is processing. It should be ready in 1-2 minutes. Please check back shortly."
PROCESSING_4K = "4k is processing. It should be ready in 5-10 minutes. Please check back shortly."
NO_URLS_YET = {"taskId": "a1", "resultUrls": None, "imageUrls": None}
HD_ANSWERS = [
    (_envelope(200, data={"resultUrl": VIDEO}), 200, OrderProgress.READY),
    (_envelope(200, data={"result_url": VIDEO}), 200, OrderProgress.READY),
    (_envelope(200, data={"videoUrl": VIDEO}), 200, OrderProgress.READY),
    (_envelope(422, "The video has been generated successfully", {"resultUrl": VIDEO}), 200, OrderProgress.READY),
    (_envelope(400, PROCESSING_HD), 200, OrderProgress.ORDERED),
    (_envelope(422, PROCESSING_HD), 200, OrderProgress.ORDERED),
    (_envelope(400, PROCESSING_HD), 400, OrderProgress.ORDERED),
    (_envelope(422, "record status is not success"), 200, OrderProgress.NOT_YET),
    (_envelope(422, "Record does not exist"), 200, OrderProgress.NOT_YET),
    (_envelope(500, "server error"), 500, OrderProgress.UNCERTAIN),
    (_envelope(505, "feature disabled"), 200, OrderProgress.NOT_YET),
]
UHD_ANSWERS = [
    (_envelope(200, data=NO_URLS_YET), 200, OrderProgress.ORDERED),
    (_envelope(422, PROCESSING_4K, NO_URLS_YET), 200, OrderProgress.ORDERED),
    (_envelope(422, "The video has been generated successfully", {"resultUrls": [VIDEO]}), 200, OrderProgress.READY),
    (_envelope(200, data={"task_id": "a1", "result_urls": [VIDEO]}), 200, OrderProgress.READY),
    (_envelope(200, data={"info": {"resultUrls": [VIDEO]}}), 200, OrderProgress.READY),
    (_envelope(422, "Record does not exist"), 200, OrderProgress.NOT_YET),
    (_envelope(422, "record status is not success."), 200, OrderProgress.NOT_YET),
    (_envelope(422, "Temporarily supports records within 14 days."), 200, OrderProgress.UNAVAILABLE),
    (_envelope(422, "something else"), 200, OrderProgress.UNCERTAIN),
    (_envelope(401, "no access"), 401, OrderProgress.NOT_YET),
    (_envelope(402, "top up"), 200, OrderProgress.NOT_YET),
    (_envelope(429, "too often"), 429, OrderProgress.NOT_YET),
    (_envelope(433, "cap"), 200, OrderProgress.NOT_YET),
    (_envelope(455, "maintenance"), 200, OrderProgress.NOT_YET),
    (_envelope(500, "server error"), 500, OrderProgress.UNCERTAIN),
    (_envelope(500, "The 4K version of this video is unavailable."), 200, OrderProgress.UNAVAILABLE),
    (_envelope(500, "THE 4K VERSION OF THIS VIDEO IS UNAVAILABLE"), 500, OrderProgress.UNAVAILABLE),
    (_envelope(500, "the service is unavailable"), 500, OrderProgress.UNCERTAIN),
    (_envelope(505, "feature disabled"), 200, OrderProgress.NOT_YET),
    (_envelope(501, "failed"), 200, OrderProgress.UNCERTAIN),
    (_envelope(408, "silent"), 200, OrderProgress.UNCERTAIN),
]
ANSWERS = [(Kind.HD, *row) for row in HD_ANSWERS] + [(Kind.UHD, *row) for row in UHD_ANSWERS]


@pytest.mark.parametrize(("kind", "body", "status", "progress"), ANSWERS)
def test_each_answer_about_an_upgrade_is_told_apart(
    script: Any, kie: KieVendor, kind: Kind, body: Any, status: int, progress: OrderProgress
) -> None:
    script.says(body, status)
    answer = kie.ask_upgrade(kind, "t1", 0, None)
    assert (answer.progress, answer.code, answer.msg) == (progress, body["code"], body["msg"])
    assert answer.urls.result == ((VIDEO,) if progress is OrderProgress.READY else ())


def test_a_4ks_picture_and_own_id_are_read(script: Any, kie: KieVendor) -> None:
    script.says(_envelope(422, "made", {"taskId": "a1", "resultUrls": [VIDEO], "imageUrls": [PICTURE]}))
    answer = kie.ask_upgrade(Kind.UHD, "t1", 0, None)
    assert (answer.task_id, answer.urls) == ("a1", Urls(result=(VIDEO,), image=(PICTURE,)))


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
def test_no_secret_in_a_refusals_words_is_kept(script: Any, kie: KieVendor, kind: Kind) -> None:
    callback = "https://keep.example/callbacks/veo/4k/s3cret-token"
    script.says(_envelope(422, f"cannot call {callback} about {VIDEO}"))
    answer = kie.ask_upgrade(kind, "t1", 0, callback)
    words = "cannot call https://keep.example/callbacks/veo/4k/… about https://file.aiquickdraw.com/v/x.mp4?…"
    assert answer.msg == words


@pytest.mark.parametrize("task_id", ["../x", 7, None, "", ["a1"], "a" * 129])
def test_what_cannot_be_an_id_is_none(script: Any, kie: KieVendor, task_id: object) -> None:
    script.says(_envelope(200, data={**NO_URLS_YET, "taskId": task_id}))
    assert kie.ask_upgrade(Kind.UHD, "t1", 0, None).task_id is None


def test_a_4k_is_ordered_with_its_callback(script: Any, kie: KieVendor) -> None:
    script.says(_envelope(200, data=NO_URLS_YET))
    kie.ask_upgrade(Kind.UHD, "t1", 2, "https://keep.example/callbacks/veo/4k/tok")
    body = {"taskId": "t1", "index": 2, "callBackUrl": "https://keep.example/callbacks/veo/4k/tok"}
    assert script.asked == [("POST", "/api/v1/veo/get-4k-video", body)]


def test_a_1080p_is_asked_for_by_its_index(script: Any, kie: KieVendor) -> None:
    script.says(_envelope(400, PROCESSING_HD))
    kie.ask_upgrade(Kind.HD, "t1", 2, "https://keep.example/")
    assert script.asked == [("GET", "/api/v1/veo/get-1080p-video?taskId=t1&index=2", None)]


@pytest.mark.parametrize(("credits", "read"), [(120, 120.0), (5.5, 5.5), ("5", None), (None, None), (-1, None)])
@pytest.mark.parametrize("name", ["creditsConsumed", "credits_consumed"])
def test_what_an_upgrade_took_is_read(
    script: Any, kie: KieVendor, name: str, credits: object, read: float | None
) -> None:
    script.says(_envelope(200, data={**NO_URLS_YET, name: credits}))
    assert kie.ask_upgrade(Kind.UHD, "t1", 0, None).credits == read


@pytest.mark.parametrize("body", [_envelope(429, "too often"), "<html>Too Many Requests</html>", {"code": 1015}])
@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
def test_the_rate_limit_orders_nothing_and_asks_for_a_pause(script: Any, kie: KieVendor, kind: Kind, body: Any) -> None:
    script.says(body, 429, Retry_After="7")
    answer = kie.ask_upgrade(kind, "t1", 0, None)
    assert (answer.progress, answer.code, answer.pause) == (OrderProgress.NOT_YET, 429, 7)


def test_only_the_rate_limit_asks_for_a_pause(script: Any, kie: KieVendor) -> None:
    script.says(_envelope(455, "maintenance"), 503, Retry_After="7")
    assert kie.ask_upgrade(Kind.UHD, "t1", 0, None).pause is None


def test_asking_again_only_asks(kie: KieVendor) -> None:
    assert kie.repeats_are_questions
