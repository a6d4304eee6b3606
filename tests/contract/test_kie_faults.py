"""The vendor's client when there is no usable answer: it says so, in words that hold neither key nor query."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.adapters.kie import USER_AGENT, KieVendor
from app.domain.errors import VendorBusy, VendorUnreachable
from app.domain.vendor import OrderProgress
from app.domain.work import Kind
from tests.support.waiting import wait_for

CALLBACK = "https://keep.example/callbacks/veo/4k/s3cret-token"
LINK = "https://x.r2.cloudflarestorage.com/x.mp4?sig=s3cret"
QUESTIONS: dict[str, Callable[[KieVendor], object]] = {
    "details": lambda kie: kie.ask_details("t1"),
    "renew": lambda kie: kie.renew_link(LINK),
    "credit": lambda kie: kie.read_credit(),
}
ORDERS: dict[str, Kind] = {"1080p": Kind.HD, "4k": Kind.UHD}
#: body, HTTP status
FAULTS: dict[str, tuple[Any, int]] = {
    "bad-key": ({"code": 401, "msg": "You do not have access permissions, please check your API key."}, 401),
    "cdn-refusal": ("error code: 1010", 403),
    "bad-gateway": ("<html><head><title>502 Bad Gateway</title></head></html>", 502),
    "empty": ("", 200),
    "not-json": ("<!DOCTYPE html>", 200),
    "array": ([1, 2, 3], 200),
    "text": ('"text"', 200),
    "null": ("null", 200),
    "no-code": ({"msg": "success", "data": {"resultUrls": [LINK]}}, 200),
    "null-code": ({"code": None, "data": None}, 200),
    "bool-code": ({"code": True, "data": None}, 200),
    "worded-code": ({"code": "success", "data": None}, 200),
    "huge-code": ('{"code": ' + "9" * 400 + "}", 200),
    "too-many-digits": ('{"code": ' + "9" * 5000 + "}", 200),
    "too-deep": ("[" * 100_000, 200),
    "maintenance": ({"code": 455, "msg": "maintenance", "data": None}, 200),
    "server-error": ({"code": 500, "msg": "Server exception, please try again later."}, 500),
    "too-often": ({"code": 429, "msg": "Your call frequency is too high."}, 429),
}
#: what is certainly not ordered; after any other fault it may have been
REFUSED = {"bad-key", "cdn-refusal", "maintenance", "too-often"}


#: more than the largest answer that is read
HUGE = b'{"code":200,"msg":"success","data":5.5}' + b" " * (4 * 1024 * 1024)


def _fail(kie: KieVendor, question: Callable[[KieVendor], object]) -> str:
    with pytest.raises(VendorUnreachable) as caught:
        question(kie)
    chain = f"{caught.value} {caught.value.__cause__}"
    assert "s3cret" not in chain
    assert "?" not in chain
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_no_answer(script: Any, kie: KieVendor, fault: str, question: Callable[[KieVendor], object]) -> None:
    script.says(*FAULTS[fault])
    _fail(kie, question)


@pytest.mark.parametrize("kind", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_an_order_uncertain_unless_it_was_refused(
    script: Any, kie: KieVendor, fault: str, kind: Kind
) -> None:
    script.says(*FAULTS[fault])
    answer = kie.ask_upgrade(kind, "t1", 0, CALLBACK)
    assert answer.progress is (OrderProgress.NOT_YET if fault in REFUSED else OrderProgress.UNCERTAIN)
    assert "s3cret" not in repr(answer)
    assert len(script.asked) == 1


def test_the_status_of_what_is_not_json_is_told(script: Any, kie: KieVendor) -> None:
    script.says(*FAULTS["cdn-refusal"])
    assert _fail(kie, QUESTIONS["details"]) == "/api/v1/veo/record-info answered HTTP 403, not JSON"


def test_a_code_as_text_is_read(script: Any, kie: KieVendor) -> None:
    script.says({"code": "200", "msg": "success", "data": 5.5})
    assert kie.read_credit() == 5.5


def test_the_body_is_believed_before_the_status(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": 5.5}, 500)
    assert kie.read_credit() == 5.5


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_silence_is_given_up(script: Any, impatient: KieVendor, question: Callable[[KieVendor], object]) -> None:
    script.says(None)
    assert _fail(impatient, question).endswith("Timeout")


@pytest.mark.parametrize("kind", ORDERS.values(), ids=ORDERS)
def test_silence_leaves_an_order_uncertain_and_it_is_sent_once(script: Any, impatient: KieVendor, kind: Kind) -> None:
    script.says(None)
    answer = impatient.ask_upgrade(kind, "t1", 0, CALLBACK)
    wait_for(lambda: script.asked)
    assert (answer.progress, len(script.asked)) == (OrderProgress.UNCERTAIN, 1)
    assert "s3cret" not in repr(answer)


def test_an_answer_that_breaks_off_is_none(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": 5.5}).broken = True
    _fail(kie, QUESTIONS["credit"])


def test_nobody_at_the_address_is_no_answer(script: Any) -> None:
    _fail(KieVendor("s3cret-key", "http://127.0.0.1:1", timeout=(0.3, 0.3)), QUESTIONS["details"])


@pytest.mark.parametrize("body", [{"code": 429, "msg": "too often"}, "Too Many Requests", {"msg": "too often"}])
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_the_rate_limit_asks_every_question_for_a_pause(
    script: Any, kie: KieVendor, question: Callable[[KieVendor], object], body: Any
) -> None:
    script.says(body, 429, Retry_After="7")
    with pytest.raises(VendorBusy, match="429") as caught:
        question(kie)
    assert caught.value.pause == 7


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_a_huge_answer_is_none(script: Any, kie: KieVendor, question: Callable[[KieVendor], object]) -> None:
    script.says(HUGE)
    assert "more than 4194304 bytes" in _fail(kie, question)


def test_a_large_answer_is_read(script: Any, kie: KieVendor) -> None:
    script.says(HUGE[: 4 * 1024 * 1024])
    assert kie.read_credit() == 5.5


def test_a_huge_answer_is_not_read_for_its_redirect_either(script: Any, kie: KieVendor) -> None:
    script.says(HUGE, 302, Location="/elsewhere")
    assert "more than 4194304 bytes" in _fail(kie, QUESTIONS["details"])


def test_the_key_in_the_vendors_words_is_not_repeated(script: Any, kie: KieVendor) -> None:
    script.says({"code": 401, "msg": "s3cret-key is no key"})
    assert _fail(kie, QUESTIONS["credit"]).endswith("code 401: … is no key")


@pytest.mark.parametrize("key", ["line\nbreak", "snow\u2603man"])
def test_a_key_that_cannot_be_sent_is_no_answer(script: Any, key: str) -> None:
    with pytest.raises(VendorUnreachable) as caught:
        KieVendor(key, script.url).read_credit()
    assert key not in str(caught.value)
    assert script.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(script: Any, kie: KieVendor, status: int) -> None:
    script.says("moved", status, Location=f"{script.url}/elsewhere?sig=s3cret")
    _fail(kie, QUESTIONS["details"])
    assert len(script.asked) == 1


@pytest.mark.parametrize("location", ["http://[", "http://x:port/", "\x00", "http://" + "a" * 300, ""])
def test_a_redirect_to_nowhere_is_no_answer_either(script: Any, kie: KieVendor, location: str) -> None:
    script.says("moved", 302, Location=location)
    _fail(kie, QUESTIONS["details"])


def test_the_key_goes_with_every_request_and_the_user_agent_is_an_ordinary_one(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": 5.5})
    kie.read_credit()
    (headers,) = script.sent
    assert headers["Authorization"] == "Bearer s3cret-key"
    assert headers["User-Agent"] == USER_AGENT
    assert headers["User-Agent"].startswith("Mozilla/5.0")
    assert headers["Content-Type"] == "application/json"


def test_a_body_is_sent_as_json(script: Any, kie: KieVendor) -> None:
    script.says({"code": 200, "msg": "success", "data": None})
    kie.renew_link(LINK)
    assert script.sent[0]["Content-Type"] == "application/json"


def test_a_proxy_of_the_environments_is_not_used(script: Any, kie: KieVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    script.says({"code": 200, "msg": "success", "data": 5.5})
    assert kie.read_credit() == 5.5


def test_a_message_that_is_broken_utf8_does_no_harm(script: Any, kie: KieVendor) -> None:
    script.says(b'{"code":200,"msg":"\xff","data":5.5}')
    assert kie.read_credit() == 5.5


def test_an_odd_message_can_be_stored(script: Any, kie: KieVendor) -> None:
    script.says(json.dumps({"code": 500, "msg": "\ud800\x00" + "x" * 10_000}))
    answer = kie.ask_upgrade(Kind.UHD, "t1", 0, None)
    answer.msg.encode("utf-8")
    assert len(answer.msg) <= 1000


def test_a_record_of_any_depth_is_read_or_is_no_answer(script: Any, kie: KieVendor) -> None:
    for depth in range(900, 1000, 3):
        script.says('{"code":200,"msg":"","data":{"x":' + "[" * depth + "]" * depth + "}}")
        try:
            kie.ask_details("t1")
        except VendorUnreachable:
            continue
