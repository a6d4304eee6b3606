"""Callback bodies that are broken, odd or hostile: they are refused in words, or read as far as they go."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callbacks import LONGEST_MESSAGE, Callback, Outcome, UnreadableCallback, parse_callback
from app.domain.generation import Generation
from app.domain.ledger import Entry, Route, Trust
from app.domain.policy import Policy
from app.domain.vendor import Progress, Verdict

VIDEO = "https://tempfile.aiquickdraw.com/v/a.mp4"

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
names = st.sampled_from(["taskId", "task_id"])
ids = st.sampled_from(["t1", "veo_task_abcdef123456"]) | values
infos = st.dictionaries(
    st.sampled_from(["resultUrls", "result_urls", "originUrls", "fullResultUrls", "imageUrls"]),
    st.lists(st.sampled_from([VIDEO, "http://x/\ud800", "ftp://x/"]) | values, max_size=3) | values,
)
datas = st.fixed_dictionaries(
    {},
    optional={
        "taskId": ids,
        "task_id": ids,
        "info": infos | values,
        "response": infos | values,
        "resultJson": st.text() | values,
        "fallbackFlag": values,
        "creditsConsumed": values,
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={"code": st.sampled_from([200, 400, 500]) | values, "msg": values, "taskId": ids, "data": datas | values},
)


def _parse(**body: Any) -> Callback:
    return parse_callback(json.dumps(body).encode())


def _is_storable(callback: Callback) -> bool:
    """Whether a generation that has taken it in can be written to the ledger."""
    generation = Generation.track(callback.task_id or "t1", 1.0, Policy())
    verdict = Verdict(Progress.SUCCEEDED, callback.code, callback.msg, callback.urls, credits=callback.credits)
    generation.hear(verdict, "callback", 2.0)
    return Generation.model_validate_json(generation.model_dump_json(exclude_defaults=True)) == generation


@given(values | bodies, st.booleans())
def test_any_json_is_read_or_refused_in_words(body: Any, named: bool) -> None:
    try:
        callback = parse_callback(json.dumps(body), named=named)
    except UnreadableCallback:
        return
    assert named or callback.task_id
    assert _is_storable(callback)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_words(raw: bytes) -> None:
    with pytest.raises(UnreadableCallback):
        parse_callback(raw)


@given(bodies, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.booleans())
def test_what_is_read_at_the_door_can_be_recorded_and_is_read_alike_later(
    body: Any, encoding: str, ascii: bool
) -> None:
    raw = json.dumps(body, ensure_ascii=ascii).encode(encoding, "surrogatepass")
    try:
        callback = parse_callback(raw, named=True)
    except UnreadableCallback:
        return
    entry = Entry(at=1.0, route=Route.GENERATION, trust=Trust.SIGNED, raw=raw.decode("utf-8"))
    kept = Entry.model_validate_json(entry.model_dump_json())
    assert repr(callback) == repr(parse_callback(kept.raw, named=True))


@pytest.mark.parametrize("opening", ["[", '{"data":', '{"taskId":"t1","x":['], ids=["arrays", "objects", "one-object"])
def test_deep_nesting_is_refused(opening: str) -> None:
    with pytest.raises(UnreadableCallback):
        parse_callback(opening * 100_000)


def test_ids_nested_as_deep_as_json_may_be_are_refused() -> None:
    for depth in range(1, 1000, 7):
        nested = "[" * depth + "]" * depth
        with pytest.raises(UnreadableCallback):
            parse_callback(f'{{"taskId":{nested},"task_id":{nested}}}')


def test_an_integer_of_five_thousand_digits_is_refused() -> None:
    with pytest.raises(UnreadableCallback, match="not JSON"):
        parse_callback('{"taskId":"t1","code":' + "9" * 5000 + "}")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_left_out(number: str) -> None:
    raw = f'{{"code":{number},"data":{{"taskId":"t1","creditsConsumed":{number}}}}}'
    assert parse_callback(raw) == Callback("t1", Outcome.ASK)


@pytest.mark.parametrize(
    "raw",
    [b'{"taskId":"t1","msg":"\xff"}', b'{"taskId":"t1","msg":"\xed\xa0\x80"}', b"\xc3\x28", b"\x00", b"\xff\xfe{\x00"],
)
def test_broken_utf8_is_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableCallback, match="not JSON"):
        parse_callback(raw)


def test_utf16_is_refused() -> None:
    with pytest.raises(UnreadableCallback):
        parse_callback('{"taskId":"t1"}'.encode("utf-16"))


def test_a_byte_order_mark_does_no_harm() -> None:
    assert parse_callback(b'\xef\xbb\xbf{"taskId":"t1"}') == parse_callback('\ufeff{"taskId":"t1"}')


@pytest.mark.parametrize(("msg", "kept"), [("a\x00b", "ab"), ("a\ud800b", "a?b"), ("\udfff", "?"), ("ü 好", "ü 好")])
def test_a_message_is_kept_without_what_cannot_be_stored(msg: str, kept: str) -> None:
    assert _parse(code=400, msg=msg, data={"taskId": "t1"}).msg == kept


def test_a_long_message_is_cut() -> None:
    assert len(_parse(msg="x" * 100_000, taskId="t1").msg) == LONGEST_MESSAGE


@pytest.mark.parametrize("msg", [None, 7, True, ["x"], {"x": 1}])
def test_a_message_that_is_no_text_is_empty(msg: object) -> None:
    assert _parse(msg=msg, taskId="t1").msg == ""


PLACES = ["data.taskId", "data.task_id", "taskId", "task_id"]
PAIRS = list(itertools.combinations(PLACES, 2))


def _with_ids(ids: dict[str, object]) -> bytes:
    body: dict[str, Any] = {"code": 200, "data": {}}
    for place, value in ids.items():
        target = body["data"] if place.startswith("data.") else body
        target[place.removeprefix("data.")] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_ids_that_disagree_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(UnreadableCallback, match="disagree"):
        parse_callback(_with_ids({pair[0]: "one", pair[1]: "two"}))


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_ids_that_disagree_are_refused_for_a_named_upgrade_too(pair: tuple[str, str]) -> None:
    with pytest.raises(UnreadableCallback, match="disagree"):
        parse_callback(_with_ids({pair[0]: "one", pair[1]: 2}), named=True)


@pytest.mark.parametrize("place", PLACES)
def test_an_id_is_found_in_each_place(place: str) -> None:
    assert parse_callback(_with_ids({place: "t1"})).task_id == "t1"


def test_an_id_that_is_null_is_no_id() -> None:
    assert parse_callback(_with_ids({"taskId": None, "data.taskId": "t1"})).task_id == "t1"


@pytest.mark.parametrize(
    "task_id",
    [
        "../x",
        "a/b",
        "a\\b",
        "..",
        "a.b",
        "t1\n",
        "\nt1",
        "t 1",
        "t1\x00",
        "",
        "a" * 129,
        "٣",
        "é",
        "t1\ud800",
        "a:b",
        "*",
    ],
)
def test_an_id_that_could_be_part_of_a_path_or_pattern_is_refused(task_id: str) -> None:
    with pytest.raises(UnreadableCallback):
        _parse(code=200, data={"taskId": task_id})


@pytest.mark.parametrize("task_id", [7, True, 1.5, ["t1"], {"taskId": "t1"}, False, 0])
def test_an_id_that_is_no_text_is_refused(task_id: object) -> None:
    with pytest.raises(UnreadableCallback):
        _parse(code=200, data={"taskId": task_id})


def test_the_longest_id_is_read() -> None:
    assert _parse(taskId="a" * 128).task_id == "a" * 128


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("200", 200),
        ("0200", 200),
        (" 200", 0),
        ("٢٠٠", 0),
        ("200.0", 0),
        ("", 0),
        ("2e2", 0),
        ("-1", 0),
        ("9" * 400, 0),
        (True, 0),
        (False, 0),
        (200.0, 0),
        (10**9, 0),
        (-(10**9), 0),
        (None, 0),
        ([200], 0),
        ({}, 0),
    ],
)
def test_a_code_is_read_as_a_number_or_not_at_all(code: object, read: int) -> None:
    callback = _parse(code=code, data={"taskId": "t1", "info": {"resultUrls": [VIDEO]}})
    assert (callback.code, callback.outcome) == (read, Outcome.SUCCEEDED if read == 200 else Outcome.ASK)


@pytest.mark.parametrize(
    ("given_credits", "read"),
    [
        (60, 60.0),
        (60.5, 60.5),
        (0, 0.0),
        (-1, None),
        (-0.5, None),
        (10**400, None),
        (True, None),
        ("60", None),
        ([], None),
    ],
)
def test_credits_are_a_number_that_is_not_negative(given_credits: object, read: float | None) -> None:
    assert _parse(code=200, data={"taskId": "t1", "creditsConsumed": given_credits}).credits == read


@pytest.mark.parametrize("data", [None, 7, "t1", ["t1"], True])
def test_data_that_is_no_object_is_passed_over(data: object) -> None:
    assert _parse(code=500, taskId="t1", data=data).outcome is Outcome.FAILED


@pytest.mark.parametrize("info", [7, "x", [VIDEO], True, {"resultUrls": 7}, {"resultUrls": {"a": VIDEO}}])
def test_info_of_another_type_is_passed_over(info: object) -> None:
    assert _parse(code=200, data={"taskId": "t1", "info": info}).outcome is Outcome.ASK
