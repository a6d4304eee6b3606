"""The vendor's client: whatever stands in an answer, reading it never raises (veo-api §4, §8, §13)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.kie.answers import Envelope
from app.adapters.kie.outcomes import judge_submit
from app.adapters.kie.transport import Reply, Wire
from app.adapters.kie.vendor import FORMS
from app.domain.vendor import OrderAnswer, SubmitProgress, Verdict
from app.domain.work import Kind

NAMES = [
    "taskId", "task_id", "raw", "resultUrls", "result_urls", "resultUrl", "originUrls", "imageUrls", "info", "response",
    "resultJson", "result_json", "param", "paramJson", "input", "resolution", "duration", "aspectRatio", "successFlag", "state",
    "model", "fallbackFlag", "creditsConsumed", "errorCode", "errorMessage", "failCode", "failMsg", "mediaIds",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(st.characters(), max_size=20),  # lone surrogates too: JSON can hold them
    st.sampled_from(["https://x/a.mp4", "[https://x/a.mp4]", "{}", '{"input":{}}', "[", "\\", "fail", "200", "\ud800"]),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.integers(10**400, 10**401), TEXTS)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), TEXTS), inner, max_size=6),
    ),
    max_leaves=20,
)
FIELDS = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(data=st.one_of(JSON, FIELDS))
def test_any_record_can_be_read(form: Any, data: object) -> None:
    verdict = form.read_details(data, "words")
    assert isinstance(verdict, Verdict)
    verdict.msg.encode("utf-8")
    assert all(url.isascii() or url.encode("utf-8") for url in verdict.urls.result)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_record_of_any_depth_can_be_read(form: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert form.read_details({"taskId": "t1", "mediaIds": deep}, "words").main is Kind.RESULT


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(code=st.sampled_from([200, 400, 422, 429, 500, 999]), msg=JSON, data=st.one_of(JSON, FIELDS))
def test_any_answer_to_an_order_or_a_submit_can_be_read(form: Any, code: int, msg: object, data: object) -> None:
    envelope = Envelope.model_validate({"code": code, "msg": msg, "data": data})
    reply = Reply(Wire.ANSWERED, envelope=envelope, code=code)
    order, submit = form.read_upgrade(reply), judge_submit(reply)
    assert isinstance(order, OrderAnswer)
    order.msg.encode("utf-8")
    assert (submit.progress is SubmitProgress.CREATED) == (submit.task_id is not None)
