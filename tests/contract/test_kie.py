"""The vendor's client: recorded exchanges, the details endpoint, fresh links and the balance (veo-api §8, §10)."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.adapters.kie import USER_AGENT, KieVendor
from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.errors import VendorUnreachable
from app.domain.requests import GenerateRequest
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Kind

VIDEO, PICTURE = "https://file.aiquickdraw.com/v/x.mp4?sig=s3cret", "https://file.aiquickdraw.com/v/x.jpg"
RECORDINGS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))["exchanges"]
    for path in (Path(__file__).parent / "data" / "recordings").glob("*.json")
}


def _envelope(code: int, msg: str = "success", data: Any = None) -> dict[str, Any]:
    return {"code": code, "msg": msg, "data": data}


# --- recorded exchanges ------------------------------------------------------------------------------------------------


def _replay(script: Any, name: str, exchange: int = 0) -> dict[str, Any]:
    """Have the server give a recorded answer. Gives the recorded request."""
    recorded = RECORDINGS[name][exchange]
    answer = recorded["response"]
    script.says(answer["body"], answer["status"], Content_Type=answer["content_type"])
    request: dict[str, Any] = recorded["request"]
    return request


def _assert_asked_as_recorded(script: Any, recorded: dict[str, Any]) -> None:
    ((method, path, body),) = script.asked
    asked, expected = urlsplit(path), urlsplit(recorded["path"])
    assert (method, asked.path, parse_qs(asked.query)) == (recorded["method"], expected.path, parse_qs(expected.query))
    assert body == recorded["body"]
    _assert_headers(script)


def _assert_headers(script: Any) -> None:
    (headers,) = script.sent
    expected = ("Bearer s3cret-key", USER_AGENT, "application/json")
    assert (headers["Authorization"], headers["User-Agent"], headers["Content-Type"]) == expected


def test_every_recording_is_used() -> None:
    assert set(RECORDINGS) == {
        "aleph-runs-then-fails-upstream",
        "credit-balance",
        "download-url-foreign-file",
        "veo-details-unknown-task",
        "veo-generate-then-details",
        "veo-get-1080p-unknown-task",
        "veo-get-4k-unknown-task",
    }


def test_a_recorded_generation_is_created(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "veo-generate-then-details")
    answer = kie.submit(GenerateRequest.model_validate(recorded["body"]), None)
    task_id = "0819326cc7fddfd620baf6e1f0db7e2b"
    assert answer == SubmitAnswer(SubmitProgress.CREATED, 200, "success", task_id)
    ((method, path, body),) = script.asked
    assert (method, path) == (recorded["method"], recorded["path"])
    # The vendor's documents disagree on the defaults of these two, so they are always sent.
    assert body == recorded["body"] | {"enableTranslation": True, "enableFallback": False}
    _assert_headers(script)


def test_a_recorded_sibling_is_created(script: Any, kie: KieVendor) -> None:
    _replay(script, "aleph-runs-then-fails-upstream")
    answer = kie.submit(GenerateRequest(prompt="a cat"), None)
    assert (answer.progress, answer.task_id) == (SubmitProgress.CREATED, "c0d088df35254cc3e7187fb7116b2efa")


def test_a_recorded_generation_that_runs_is_read(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "veo-generate-then-details", 1)
    verdict = kie.ask_details("0819326cc7fddfd620baf6e1f0db7e2b")
    asked = Asked(resolution="720p", seconds=4, aspect_ratio="9:16")
    assert verdict == Verdict(Progress.GENERATING, 200, "success", asked=asked)
    _assert_asked_as_recorded(script, recorded)


def test_a_recorded_unknown_generation_is_read(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "veo-details-unknown-task")
    verdict = kie.ask_details("apicity-test-nonexistent-veo-task-id-do-not-record-real")
    assert (verdict.progress, verdict.code) == (Progress.UNKNOWN, 422)
    _assert_asked_as_recorded(script, recorded)


@pytest.mark.parametrize(
    ("exchange", "progress"), [(1, Progress.GENERATING), (2, Progress.GENERATING), (3, Progress.FAILED)]
)
def test_a_recorded_failure_upstream_is_read(script: Any, kie: KieVendor, exchange: int, progress: Progress) -> None:
    _replay(script, "aleph-runs-then-fails-upstream", exchange)
    verdict = kie.ask_details("c0d088df35254cc3e7187fb7116b2efa")
    assert verdict.progress is progress
    if progress is Progress.FAILED:
        assert (verdict.code, verdict.msg) == (500, "internal error, please try again later.")


def test_a_recorded_unknown_4k_is_read(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "veo-get-4k-unknown-task")
    answer = kie.ask_upgrade(Kind.UHD, "apicity-test-veo-4k-not-found", 0, None)
    assert answer == OrderAnswer(OrderProgress.NOT_YET, 422, "Record does not exist")
    _assert_asked_as_recorded(script, recorded)


def test_a_recorded_unknown_1080p_is_read(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "veo-get-1080p-unknown-task")
    answer = kie.ask_upgrade(Kind.HD, "apicity-test-veo-1080p-not-found", 0, None)
    assert answer == OrderAnswer(OrderProgress.NOT_YET, 422, "Record does not exist")
    _assert_asked_as_recorded(script, recorded)


def test_a_recorded_foreign_file_has_no_fresh_link(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "download-url-foreign-file")
    assert kie.renew_link("https://cdn.kie.ai/files/sample-test-file.mp4") is None
    _assert_asked_as_recorded(script, recorded)


def test_a_recorded_balance_is_read(script: Any, kie: KieVendor) -> None:
    recorded = _replay(script, "credit-balance")
    assert kie.read_credit() == 3076.3
    _assert_asked_as_recorded(script, recorded)


# --- the details endpoint ----------------------------------------------------------------------------------------------


def _details(**data: Any) -> dict[str, Any]:
    return _envelope(200, data={"taskId": "t1", "fallbackFlag": False, "errorCode": None, "errorMessage": "", **data})


def test_a_success_has_the_urls_of_the_response(script: Any, kie: KieVendor) -> None:
    urls = {
        "resultUrls": [VIDEO],
        "originUrls": ["https://x/o"],
        "fullResultUrls": ["https://x/f"],
        "resolution": "1080p",
    }
    script.says(_details(successFlag=1, response=urls, completeTime="2025-06-06 10:30:00", creditsConsumed=60.5))
    verdict = kie.ask_details("t1")
    assert verdict.progress is Progress.SUCCEEDED
    assert verdict.urls == Urls(result=(VIDEO,), origin=("https://x/o",), full=("https://x/f",))
    assert (verdict.code, verdict.credits, verdict.fallback, verdict.main) == (200, 60.5, False, Kind.RESULT)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (1785999567000, 1785999567.0),
        ("2025-06-06 10:30:00", 1749205800.0),
        ("2025-06-06T10:30:00Z", 1749205800.0),
        ("2025-06-06T12:30:00.000+02:00", 1749205800.0),
        *((odd, None) for odd in (None, "", "soon", -1, True, [])),
    ],
)
def test_the_time_at_which_it_was_made_is_read_in_every_spelling(
    script: Any, kie: KieVendor, said: object, read: float | None
) -> None:
    script.says(_details(successFlag=1, response={"resultUrls": [VIDEO]}, completeTime=said))
    assert kie.ask_details("t1").made_at == read


def test_the_fallback_model_is_noticed(script: Any, kie: KieVendor) -> None:
    script.says(_details(successFlag=1, response={"resultUrls": [VIDEO], "originUrls": None}, fallbackFlag=True))
    assert kie.ask_details("t1").fallback


@pytest.mark.parametrize("flag", [2, 3, "2", "3"])
@pytest.mark.parametrize(("code", "read"), [(400, 400), (500, 500), ("501", 501), (None, 501)])
def test_both_failures_are_final(script: Any, kie: KieVendor, flag: object, code: object, read: int) -> None:
    script.says(_details(successFlag=flag, errorCode=code, errorMessage="no"))
    assert kie.ask_details("t1") == Verdict(Progress.FAILED, read, "no")


@pytest.mark.parametrize("flag", [0, "0", 4, -1])
def test_any_other_flag_means_that_it_runs(script: Any, kie: KieVendor, flag: object) -> None:
    script.says(_details(successFlag=flag, response=None))
    assert kie.ask_details("t1").progress is Progress.GENERATING


def test_a_record_without_a_flag_is_judged_by_its_urls(script: Any, kie: KieVendor) -> None:
    script.says(_envelope(200, data={"taskId": "t1", "info": {"resultUrls": [VIDEO], "imageUrls": [PICTURE]}}))
    verdict = kie.ask_details("t1")
    assert (verdict.progress, verdict.urls) == (Progress.SUCCEEDED, Urls(result=(VIDEO,), image=(PICTURE,)))


@pytest.mark.parametrize("data", [[], "text", 7, {}])
def test_a_record_that_says_nothing_means_that_it_runs(script: Any, kie: KieVendor, data: Any) -> None:
    script.says(_envelope(200, data=data))
    assert kie.ask_details("t1").progress is Progress.GENERATING


@pytest.mark.parametrize("place", ["response", "top"])
def test_a_record_of_a_4k_task_is_known_by_its_media_ids(script: Any, kie: KieVendor, place: str) -> None:
    files = {"resultUrls": [VIDEO], "mediaIds": ["m1"]}
    data = {"taskId": "t1", "successFlag": 1} | ({"response": files} if place == "response" else files)
    script.says(_envelope(200, data=data))
    verdict = kie.ask_details("t1")
    assert (verdict.main, verdict.urls) == (Kind.UHD, Urls(result=(VIDEO,)))


@pytest.mark.parametrize("name", ["mediaIds", "media_ids"])
@pytest.mark.parametrize("fields", [{}, {"fallbackFlag": None}])
def test_a_record_of_a_4k_task_is_known_in_either_spelling_and_without_a_flag(
    script: Any, kie: KieVendor, name: str, fields: dict[str, None]
) -> None:
    script.says(_envelope(200, data={"taskId": "t1", **fields, "info": {"resultUrls": [VIDEO], name: ["m1"]}}))
    assert kie.ask_details("t1").main is Kind.UHD


@pytest.mark.parametrize(
    "fields",
    [
        {"fallbackFlag": False, "mediaIds": ["m1"]},
        {"fallbackFlag": True, "media_ids": ["m1"]},
        {"fallback_flag": False, "media_ids": ["m1"]},
        {"fallbackFlag": None},
        {},
        {"paramJson": '{"mediaIds": []}'},
    ],
)
def test_any_other_record_is_not_that_of_a_4k(script: Any, kie: KieVendor, fields: dict[str, Any]) -> None:
    script.says(_envelope(200, data={"taskId": "t1", "successFlag": 1, "response": {"resultUrls": [VIDEO]}, **fields}))
    assert kie.ask_details("t1").main is Kind.RESULT


@pytest.mark.parametrize(
    "place",
    [
        {"response": {"info": {"resultUrls": [VIDEO], "imageUrls": [PICTURE]}}},
        {"resultJson": json.dumps({"resultUrls": [VIDEO], "imageUrls": [PICTURE]})},
        {"resultJson": {"resultUrls": [VIDEO], "imageUrls": [PICTURE]}},
        {"response": {"resultUrls": None}, "resultJson": json.dumps({"result_urls": [VIDEO], "image_urls": PICTURE})},
    ],
    ids=["response.info", "resultJson", "resultJson-object", "null-response"],
)
def test_the_urls_of_a_success_are_found_in_every_place(script: Any, kie: KieVendor, place: dict[str, Any]) -> None:
    script.says(_details(successFlag=1, **place))
    verdict = kie.ask_details("t1")
    assert (verdict.progress, verdict.urls) == (Progress.SUCCEEDED, Urls(result=(VIDEO,), image=(PICTURE,)))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, "null", "[1]", 7])
def test_a_broken_result_json_does_no_harm(script: Any, kie: KieVendor, text: object) -> None:
    script.says(_details(successFlag=1, response={"resultUrls": [VIDEO]}, resultJson=text))
    assert kie.ask_details("t1").urls == Urls(result=(VIDEO,))


ASKED = {"resolution": "1080p", "duration": 8, "aspectRatio": "16:9"}
SNAKE = {"resolution": "1080p", "duration": "8", "aspect_ratio": "16:9"}
READ = Asked(resolution="1080p", seconds=8, aspect_ratio="16:9")
#: as a callback's promptJson in the vendor's own example: no JSON inside (veo-api §4)
BROKEN = (
    r'{"callBackUrl":"\https://host/path","prompt":"a \"cat\" \\h",'
    r'"resolution":"1080p","duration":8,"aspectRatio":"16:9"}'
)


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        (json.dumps(ASKED), READ),
        (ASKED, READ),
        (SNAKE, READ),
        (BROKEN, READ),
        ({"aspectRatio": "Auto", "prompt": "a cat"}, NOTHING_ASKED),
        ({"resolution": 7, "duration": "long", "aspectRatio": ["16:9"]}, NOTHING_ASKED),
        ("{", NOTHING_ASKED),
        ("[" * 100_000, NOTHING_ASKED),
        ("[1]", NOTHING_ASKED),
        (7, NOTHING_ASKED),
        (None, NOTHING_ASKED),
    ],
)
@pytest.mark.parametrize("name", ["paramJson", "param_json"])
def test_what_was_asked_for_is_read_from_the_record(
    script: Any, kie: KieVendor, name: str, params: Any, asked: Asked
) -> None:
    script.says(_details(successFlag=0, **{name: params}))
    assert kie.ask_details("t1") == Verdict(Progress.GENERATING, 200, "success", asked=asked)


def test_flag_and_credits_are_read_in_either_spelling(script: Any, kie: KieVendor) -> None:
    data = {"success_flag": 1, "response": {"result_urls": [VIDEO]}, "fallback_flag": True, "credits_consumed": 60}
    script.says(_envelope(200, data=data))
    verdict = kie.ask_details("t1")
    assert (verdict.progress, verdict.fallback, verdict.credits) == (Progress.SUCCEEDED, True, 60)


def test_no_secret_in_the_vendors_words_is_kept(script: Any, kie: KieVendor) -> None:
    script.says(_details(successFlag=3, errorCode=400, errorMessage=f"cannot read {VIDEO}"))
    assert kie.ask_details("t1").msg == "cannot read https://file.aiquickdraw.com/v/x.mp4?…"
    script.says(_envelope(500, f"cannot read {VIDEO}"))
    with pytest.raises(VendorUnreachable) as caught:
        kie.ask_details("t1")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (_envelope(422, "Record not found for taskId: t1"), 200),
        (_envelope(404, "not found"), 404),
        (_envelope(200, "success", None), 200),
        ({"code": "422", "msg": "Record not found"}, 200),
    ],
)
def test_a_fresh_generation_may_be_unknown(script: Any, kie: KieVendor, body: Any, status: int) -> None:
    script.says(body, status)
    assert kie.ask_details("t1").progress is Progress.UNKNOWN


# --- fresh links, credits ----------------------------------------------------------------------------------------------


def test_a_fresh_link_is_a_bare_text(script: Any, kie: KieVendor) -> None:
    link = "https://a.r2.cloudflarestorage.com/x.mp4?X-Amz-Signature=1&b=%20"
    script.says(_envelope(200, data=link))
    assert kie.renew_link(VIDEO) == link
    assert script.asked == [("POST", "/api/v1/common/download-url", {"url": VIDEO})]


@pytest.mark.parametrize("data", [None, "", "not a link", 7, {}, "ftp://x/"])
def test_an_answer_without_a_link_gives_none(script: Any, kie: KieVendor, data: Any) -> None:
    script.says(_envelope(200, data=data))
    assert kie.renew_link(VIDEO) is None


@pytest.mark.parametrize("code", [400, 404, 422])
def test_a_refusal_says_that_there_is_no_link(script: Any, kie: KieVendor, code: int) -> None:
    script.says(_envelope(code, "url is wrong"))
    assert kie.renew_link(VIDEO) is None


@pytest.mark.parametrize("code", [401, 402, 429, 455, 500])
def test_a_fault_is_no_dead_link(script: Any, kie: KieVendor, code: int) -> None:
    script.says(_envelope(code, "no"))
    with pytest.raises(VendorUnreachable, match=f"code {code}"):
        kie.renew_link(VIDEO)


@pytest.mark.parametrize("data", [5916, 5916.25, 0])
def test_a_balance_may_be_whole_or_not(script: Any, kie: KieVendor, data: float) -> None:
    script.says(_envelope(200, data=data))
    assert kie.read_credit() == data


@pytest.mark.parametrize("data", [None, "5", True, -1, {}])
def test_what_is_no_balance_is_no_answer(script: Any, kie: KieVendor, data: Any) -> None:
    script.says(_envelope(200, data=data))
    with pytest.raises(VendorUnreachable):
        kie.read_credit()
