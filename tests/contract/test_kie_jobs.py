"""The vendor's client in the unified form: one path to create anything, and one to ask about it (veo-api §13)."""

import json
from typing import Any

import pytest

from app.adapters.kie import USER_AGENT, KieVendor
from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind
from tests.support.waiting import wait_for

VIDEO, PICTURE = "https://file.aiquickdraw.com/v/x.mp4?sig=s3cret", "https://file.aiquickdraw.com/v/x.jpg"
CALLBACK = "https://keep.example/callbacks/veo/s3cret-token"
CREATE = "/api/v1/jobs/createTask"
KINDS = [Kind.HD, Kind.UHD]


@pytest.fixture
def jobs(script: Any) -> KieVendor:
    return KieVendor("s3cret-key", script.url, timeout=(10.0, 20.0), form="jobs")


def _envelope(code: int, msg: str = "success", data: Any = None) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": data}


def _record(**data: Any) -> dict[str, Any]:
    """A record as documented, with some fields changed."""
    documented = {
        "taskId": "t1",
        "model": "veo-3-1",
        "state": "success",
        "param": json.dumps({"model": "veo-3-1", "callBackUrl": CALLBACK, "input": {"prompt": "a cat"}}),
        "resultJson": json.dumps({"resultUrls": [VIDEO]}),
        "failCode": None,
        "failMsg": None,
        "costTime": 90_000,
        "completeTime": 1785999567000,
        "createTime": 1785999477000,
        "creditsConsumed": 60,
    }
    return _envelope(200, data=documented | data)


# --- what is sent ------------------------------------------------------------------------------------------------------


def test_a_generation_is_a_job_whose_input_has_the_fields(script: Any, jobs: KieVendor) -> None:
    script.says(_envelope(200, data={"taskId": "t1"}))
    answer = jobs.submit(GenerateRequest(prompt="a cat", model="veo3_lite", duration=4), CALLBACK)
    assert answer == SubmitAnswer(SubmitProgress.CREATED, 200, "success", "t1")
    fields = {
        "prompt": "a cat",
        "model": "veo3_lite",
        "aspect_ratio": "16:9",
        "enableTranslation": True,
        "enableFallback": False,
        "duration": 4,
    }
    assert script.asked == [("POST", CREATE, {"model": "veo-3-1", "callBackUrl": CALLBACK, "input": fields})]
    (headers,) = script.sent
    assert (headers["Authorization"], headers["User-Agent"]) == ("Bearer s3cret-key", USER_AGENT)


def test_an_extension_is_a_job(script: Any, jobs: KieVendor) -> None:
    script.says(_envelope(200, data={"taskId": "t2"}))
    assert jobs.submit(ExtendRequest(task_id="t1", prompt="and a dog"), None).task_id == "t2"
    fields = {"taskId": "t1", "prompt": "and a dog", "model": "fast"}
    assert script.asked == [("POST", CREATE, {"model": "veo/extend", "input": fields})]


@pytest.mark.parametrize(
    ("kind", "model"), [(Kind.HD, "veo/get-1080p-video"), (Kind.UHD, "veo/get-4k-video")], ids=KINDS
)
def test_an_upgrade_is_a_job(script: Any, jobs: KieVendor, kind: Kind, model: str) -> None:
    script.says(_envelope(200, data={"taskId": "a1"}))
    answer = jobs.ask_upgrade(kind, "t1", 2, CALLBACK)
    assert answer == OrderAnswer(OrderProgress.ORDERED, 200, "success", task_id="a1")
    body = {"model": model, "callBackUrl": CALLBACK, "input": {"taskId": "t1", "index": 2}}
    assert script.asked == [("POST", CREATE, body)]


def test_details_are_asked_for_by_id(script: Any, jobs: KieVendor) -> None:
    script.says(_record())
    jobs.ask_details("t1")
    assert script.asked == [("GET", "/api/v1/jobs/recordInfo?taskId=t1", None)]


def test_ordering_again_would_buy_again(jobs: KieVendor) -> None:
    assert not jobs.repeats_are_questions


# --- records -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["waiting", "queuing", "generating", "something new"])
def test_a_job_that_is_not_done_runs(script: Any, jobs: KieVendor, state: str) -> None:
    script.says(_record(state=state, resultJson="", creditsConsumed=None))
    assert jobs.ask_details("t1") == Verdict(Progress.GENERATING, 200, "success")


@pytest.mark.parametrize("result", [{"resultUrls": [VIDEO]}, {"result_urls": [VIDEO]}, {"resultUrl": VIDEO}])
@pytest.mark.parametrize("write", [json.dumps, dict])
def test_a_success_has_the_urls_of_the_result_json(script: Any, jobs: KieVendor, write: Any, result: Any) -> None:
    script.says(_record(resultJson=write(result)))
    made_at = 1785999567.0
    expected = Verdict(Progress.SUCCEEDED, 200, "success", Urls(result=(VIDEO,)), credits=60, made_at=made_at)
    assert jobs.ask_details("t1") == expected


def test_an_extension_has_the_whole_video_too(script: Any, jobs: KieVendor) -> None:
    result = {"resultUrls": [VIDEO, None], "fullResultUrls": ["https://x/f"], "originUrls": ["https://x/o"]}
    script.says(_record(model="veo/extend", resultJson=json.dumps(result)))
    verdict = jobs.ask_details("t1")
    assert (verdict.urls.full, verdict.urls.origin) == (("https://x/f",), ("https://x/o",))
    assert verdict.main is Kind.RESULT


@pytest.mark.parametrize(
    ("model", "main"),
    [
        ("veo/get-1080p-video", Kind.HD),
        ("veo/get-4k-video", Kind.UHD),
        ("veo/extend", Kind.RESULT),
        ("veo-3-1", Kind.RESULT),
        (None, Kind.RESULT),
        (["veo/get-4k-video"], Kind.RESULT),
    ],
)
def test_the_model_says_what_the_files_are(script: Any, jobs: KieVendor, model: Any, main: Kind) -> None:
    result = {"resultUrls": [VIDEO], "imageUrls": [PICTURE], "mediaIds": ["m1"]}
    script.says(_record(model=model, resultJson=json.dumps(result)))
    verdict = jobs.ask_details("a1")
    assert (verdict.main, verdict.urls) == (main, Urls(result=(VIDEO,), image=(PICTURE,)))


@pytest.mark.parametrize(("code", "read"), [("501", 501), (400, 400), ("", 501), (None, 501), ("INTERNAL", 501)])
def test_a_failure_has_its_code_and_words(script: Any, jobs: KieVendor, code: object, read: int) -> None:
    script.says(_record(state="fail", resultJson="", failCode=code, failMsg=f"no {VIDEO}", creditsConsumed=0))
    expected = Verdict(Progress.FAILED, read, "no https://file.aiquickdraw.com/v/x.mp4?…", credits=0)
    assert jobs.ask_details("t1") == expected


INPUT = {"prompt": "a cat", "resolution": "1080p", "duration": 8, "aspect_ratio": "9:16"}
READ = Asked(resolution="1080p", seconds=8, aspect_ratio="9:16")


@pytest.mark.parametrize(
    ("param", "asked"),
    [
        (json.dumps({"model": "veo-3-1", "input": INPUT}), READ),
        (json.dumps({"model": "veo-3-1", "input": json.dumps(INPUT)}), READ),
        ({"model": "veo-3-1", "input": INPUT}, READ),
        (json.dumps(INPUT), READ),
        (json.dumps({"input": None}), NOTHING_ASKED),
        ("", NOTHING_ASKED),
        (7, NOTHING_ASKED),
    ],
)
def test_what_was_asked_for_is_read_from_the_param(script: Any, jobs: KieVendor, param: Any, asked: Asked) -> None:
    script.says(_record(param=param))
    assert jobs.ask_details("t1").asked == asked


def test_a_record_without_a_state_is_judged_by_its_urls(script: Any, jobs: KieVendor) -> None:
    script.says(_record(state=None))
    assert jobs.ask_details("t1").progress is Progress.SUCCEEDED
    script.says(_record(state=None, resultJson=None))
    assert jobs.ask_details("t1").progress is Progress.GENERATING


@pytest.mark.parametrize("body", [_envelope(422, "recordInfo is null"), _envelope(404, "no"), _envelope(200)])
def test_a_fresh_job_may_be_unknown(script: Any, jobs: KieVendor, body: Any) -> None:
    script.says(body)
    assert jobs.ask_details("t1").progress is Progress.UNKNOWN


def test_a_fault_is_no_answer(script: Any, jobs: KieVendor) -> None:
    script.says(_envelope(500, "server error"), 500)
    with pytest.raises(VendorUnreachable, match="code 500"):
        jobs.ask_details("t1")
    script.says("Too Many Requests", 429, Retry_After="7")
    with pytest.raises(VendorBusy) as caught:
        jobs.ask_details("t1")
    assert caught.value.pause == 7


# --- submits and orders: one table -------------------------------------------------------------------------------------

CREATED, BUSY = SubmitProgress.CREATED, SubmitProgress.BUSY
REFUSED, UNCERTAIN = SubmitProgress.REFUSED, SubmitProgress.UNCERTAIN
ORDERED, NOT_YET = OrderProgress.ORDERED, OrderProgress.NOT_YET
UNAVAILABLE, UNKNOWN = OrderProgress.UNAVAILABLE, OrderProgress.UNCERTAIN
#: body, HTTP status, what became of it as a submit and as an order
ANSWERS: list[tuple[Any, int, SubmitProgress, OrderProgress]] = [
    (_envelope(200, data={"taskId": "a1"}), 200, CREATED, ORDERED),
    (_envelope(200, data={}), 200, UNCERTAIN, UNKNOWN),
    (_envelope(200), 200, UNCERTAIN, UNKNOWN),
    (_envelope(401, "no access"), 401, REFUSED, NOT_YET),
    (_envelope(402, "top up"), 200, REFUSED, NOT_YET),
    (_envelope(433, "cap"), 200, REFUSED, NOT_YET),
    (_envelope(404, "not found"), 200, REFUSED, NOT_YET),
    (_envelope(404, "Temporarily supports records within 14 days."), 200, REFUSED, UNAVAILABLE),
    (_envelope(422, "Record does not exist"), 200, REFUSED, NOT_YET),
    (_envelope(422, "record status is not success."), 200, REFUSED, NOT_YET),
    (_envelope(422, "Temporarily supports records within 14 days."), 200, REFUSED, UNAVAILABLE),
    (_envelope(422, "Videos by the FALLBACK model do not support this."), 200, REFUSED, UNAVAILABLE),
    (_envelope(422, "something else"), 200, REFUSED, NOT_YET),
    (_envelope(400, "this model is not supported"), 200, REFUSED, UNAVAILABLE),
    (_envelope(400, "this model is not supported", {}), 200, UNCERTAIN, UNKNOWN),
    (_envelope(500, "server error"), 200, REFUSED, NOT_YET),
    (_envelope(500, "the service is unavailable"), 200, REFUSED, NOT_YET),
    (_envelope(500, "The 4K version of this video is unavailable."), 200, REFUSED, UNAVAILABLE),
    ({"code": 500, "msg": "server error"}, 500, UNCERTAIN, UNKNOWN),
    (_envelope(501, "failed", {}), 200, UNCERTAIN, UNKNOWN),
    (_envelope(408, "silent", {}), 200, UNCERTAIN, UNKNOWN),
    (_envelope(455, "maintenance"), 200, BUSY, NOT_YET),
    (_envelope(455, "maintenance", {}), 200, UNCERTAIN, UNKNOWN),
    (_envelope(429, "too often"), 429, BUSY, NOT_YET),
    ("Too Many Requests", 429, BUSY, NOT_YET),
    ("error code: 1010", 403, BUSY, NOT_YET),
    ("<html>Bad Gateway</html>", 502, UNCERTAIN, UNKNOWN),
    (_envelope(999, "what"), 200, UNCERTAIN, UNKNOWN),
]


@pytest.mark.parametrize(("body", "status", "submitted", "ordered"), ANSWERS)
def test_each_answer_means_the_same_to_a_submit_and_to_an_order(
    script: Any, jobs: KieVendor, body: Any, status: int, submitted: SubmitProgress, ordered: OrderProgress
) -> None:
    script.says(body, status, Retry_After="7")
    submit = jobs.submit(GenerateRequest(prompt="a cat"), None)
    order = jobs.ask_upgrade(Kind.UHD, "t1", 0, None)
    assert (submit.progress, order.progress) == (submitted, ordered)
    assert (submit.code, submit.msg, submit.task_id) == (order.code, order.msg, order.task_id)
    assert submit.pause == order.pause == (7 if status == 429 else None)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_leaves_an_order_uncertain_and_it_is_sent_once(script: Any, kind: Kind) -> None:
    script.says(None)
    impatient = KieVendor("s3cret-key", script.url, timeout=(10.0, 0.3), form="jobs")
    answer = impatient.ask_upgrade(kind, "t1", 0, CALLBACK)
    wait_for(lambda: script.asked)
    assert (answer.progress, len(script.asked)) == (OrderProgress.UNCERTAIN, 1)
    assert "s3cret" not in repr(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_an_order_that_was_never_sent_is_none(kind: Kind) -> None:
    jobs = KieVendor("s3cret-key", "http://127.0.0.1:1", form="jobs")
    assert jobs.ask_upgrade(kind, "t1", 0, CALLBACK).progress is OrderProgress.NOT_YET


def test_an_order_that_is_answered_with_the_file_is_ready(script: Any, jobs: KieVendor) -> None:
    data = {"taskId": "a1", "resultUrls": [VIDEO], "imageUrls": [PICTURE], "creditsConsumed": 120}
    script.says(_envelope(422, "The video has been generated successfully", data))
    answer = jobs.ask_upgrade(Kind.UHD, "t1", 0, None)
    expected = (OrderProgress.READY, Urls(result=(VIDEO,), image=(PICTURE,)), 120)
    assert (answer.progress, answer.urls, answer.credits) == expected


# --- what both forms share ---------------------------------------------------------------------------------------------


def test_links_and_the_balance_are_the_same_in_both_forms(script: Any, jobs: KieVendor) -> None:
    script.says(_envelope(200, data=5.5))
    assert jobs.read_credit() == 5.5
    script.says(_envelope(200, data=PICTURE))
    assert jobs.renew_link(VIDEO) == PICTURE
    assert [path for _, path, _ in script.asked] == ["/api/v1/chat/credit", "/api/v1/common/download-url"]
