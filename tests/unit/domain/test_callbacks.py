"""Callback bodies in every documented form, as the cases of `tests/contract/data/callbacks.json` expect them."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.callbacks import Callback, Outcome, UnreadableCallback, parse_callback
from app.domain.urls import Urls

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "contract" / "data" / "callbacks.json").read_text(encoding="utf-8")
)["cases"]
READABLE = [case for case in CASES if case["expect"]["outcome"] != "reject"]
REFUSED = [case for case in CASES if case["expect"]["outcome"] == "reject"]
VIDEO = "https://tempfile.aiquickdraw.com/v/a.mp4"


def _name(case: dict[str, Any]) -> str:
    return str(case["name"])


def _parse(**body: Any) -> Callback:
    return parse_callback(json.dumps(body))


@pytest.mark.parametrize("case", READABLE, ids=_name)
def test_a_documented_body_is_read_as_expected(case: dict[str, Any]) -> None:
    expect = case["expect"]
    callback = parse_callback(case["raw"].encode())
    assert expect["outcome"] == callback.outcome
    assert expect["task_id"] == callback.task_id
    assert expect.get("code", 200) == callback.code
    for kind in ("result", "origin", "full", "image"):
        assert expect.get(kind, []) == list(getattr(callback.urls, kind))
    assert expect.get("fallback", False) is callback.fallback
    assert expect.get("credits") == callback.credits
    assert json.loads(case["raw"])["msg"] == callback.msg


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_text_and_bytes_are_read_alike(case: dict[str, Any]) -> None:
    def read(raw: bytes | str) -> object:
        try:
            return parse_callback(raw)
        except UnreadableCallback as error:
            return str(error)

    assert read(case["raw"]) == read(case["raw"].encode())


@pytest.mark.parametrize("case", REFUSED, ids=_name)
def test_a_body_that_names_no_generation_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(UnreadableCallback):
        parse_callback(case["raw"].encode())


def test_a_failure_without_data_is_read_where_the_url_names_the_upgrade() -> None:
    callback = parse_callback('{"code":500,"msg":"unavailable","data":null}', named=True)
    assert Callback(None, Outcome.FAILED, 500, "unavailable") == callback


def test_an_id_is_still_read_where_the_url_names_the_upgrade() -> None:
    assert parse_callback('{"code":500,"msg":"","data":{"taskId":"t1"}}', named=True).task_id == "t1"


@pytest.mark.parametrize("body", ["[]", "7", '"text"', "null", "", "{"])
def test_even_a_named_upgrade_needs_an_object(body: str) -> None:
    with pytest.raises(UnreadableCallback):
        parse_callback(body, named=True)


def test_the_unified_form_is_read() -> None:
    urls = json.dumps({"resultUrls": [VIDEO]})
    callback = _parse(
        code=200, msg="ok", data={"taskId": "t1", "model": "veo-3-1", "state": "success", "resultJson": urls}
    )
    assert callback.outcome is Outcome.SUCCEEDED
    assert callback.urls == Urls(result=(VIDEO,))


def test_a_failure_of_the_unified_form_is_read() -> None:
    data = {"taskId": "t1", "state": "fail", "resultJson": "", "failCode": "501", "failMsg": "no"}
    callback = _parse(code=501, msg="no", data=data)
    assert (callback.outcome, callback.code, callback.urls) == (Outcome.FAILED, 501, Urls())


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, "[1]", "null", '"x"', "[]"])
def test_a_broken_result_json_is_a_reason_to_ask(text: str) -> None:
    assert _parse(code=200, data={"taskId": "t1", "resultJson": text}).outcome is Outcome.ASK


@pytest.mark.parametrize("code", [400, 422, 500, 501])
def test_a_documented_failure_code_means_failed(code: int) -> None:
    assert _parse(code=code, data={"taskId": "t1"}).outcome is Outcome.FAILED


@pytest.mark.parametrize("code", [401, 404, 408, 429, 455, 505, 0, -1, 201])
def test_any_other_code_is_a_reason_to_ask(code: int) -> None:
    assert _parse(code=code, data={"taskId": "t1", "info": {"resultUrls": [VIDEO]}}).outcome is Outcome.ASK


def test_a_failure_that_carries_urls_is_still_a_failure() -> None:
    assert _parse(code=500, data={"taskId": "t1", "info": {"resultUrls": [VIDEO]}}).outcome is Outcome.FAILED


def test_a_picture_alone_is_no_success() -> None:
    assert _parse(code=200, data={"taskId": "t1", "info": {"imageUrls": [VIDEO]}}).outcome is Outcome.ASK


def test_prompt_json_that_is_not_json_inside_is_ignored() -> None:
    body = {"taskId": "t1", "promptJson": '{"callBackUrl":"\\https://x"}', "info": {"resultUrls": [VIDEO]}}
    assert _parse(code=200, data=body).outcome is Outcome.SUCCEEDED


def test_urls_of_the_details_form_are_found() -> None:
    assert _parse(code=200, data={"taskId": "t1", "response": {"resultUrls": [VIDEO]}}).urls.result == (VIDEO,)


@pytest.mark.parametrize("flag", ["true", 1, None, [], {}])
def test_only_a_true_flag_means_the_fallback_model(flag: object) -> None:
    assert _parse(code=200, data={"taskId": "t1", "fallbackFlag": flag}).fallback is False


@pytest.mark.parametrize("name", ["fallbackFlag", "fallback_flag"])
def test_the_fallback_model_is_named_in_either_spelling(name: str) -> None:
    assert _parse(code=200, data={"taskId": "t1", name: True}).fallback is True


@pytest.mark.parametrize("name", ["creditsConsumed", "credits_consumed"])
def test_credits_are_named_in_either_spelling(name: str) -> None:
    assert _parse(code=200, data={"taskId": "t1", name: 60.5}).credits == 60.5
