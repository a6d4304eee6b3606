"""What is asked of the vendor: which fields are taken, what is said of those that are not, and what may be shown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.requests import ExtendRequest, GenerateRequest, Request, explain

PICTURE = "https://x/a.png"
NO_SUCH_FIELD = "there is no such field"
BLANK = "must not be empty"
NO_URL = "must be an http:// or https:// URL, without spaces and passwords"
OURS = "leave it out; Reelkeep gives the vendor its own (REELKEEP_PUBLIC_URL)"
NO_STRING, NO_BOOLEAN, NO_INTEGER = (f"must be a valid {word}" for word in ("string", "boolean", "integer"))
MODELS = "must be 'veo3', 'veo3_fast' or 'veo3_lite'"
RATIOS = "must be '16:9', '9:16' or 'Auto'"
TYPES = "must be 'TEXT_2_VIDEO', 'FIRST_AND_LAST_FRAMES_2_VIDEO' or 'REFERENCE_2_VIDEO'"
LENGTHS = "must be 4, 6 or 8"


def _faults(model: type[Request], values: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return explain(caught.value)


# --- generations -------------------------------------------------------------------------------------------------------


def test_a_prompt_is_enough_and_the_rest_is_what_the_vendor_takes_for_granted() -> None:
    request = GenerateRequest(prompt="a cat")
    assert request.fields() == {
        "prompt": "a cat",
        "model": "veo3_fast",
        "aspect_ratio": "16:9",
        "enableTranslation": True,
        "enableFallback": False,
    }
    assert request.asked == Asked(aspect_ratio="16:9")


def test_every_field_is_taken_and_goes_out_by_the_vendors_name() -> None:
    fields = {
        "prompt": "a cat",
        "imageUrls": [PICTURE, "HTTP://y/b?sig=1"],
        "model": "veo3",
        "generationType": "FIRST_AND_LAST_FRAMES_2_VIDEO",
        "aspect_ratio": "9:16",
        "enableTranslation": False,
        "enableFallback": True,
        "watermark": "mine",
        "resolution": "4k",
        "duration": 8,
        "seeds": 10_000,
    }
    request = GenerateRequest.model_validate(fields)
    assert request.fields() == fields
    assert request.asked == Asked(resolution="4k", seconds=8, aspect_ratio="9:16")


@pytest.mark.parametrize("name", ["aspect_ratio", "aspectRatio"])
@pytest.mark.parametrize("ratio", ["16:9", "9:16", "Auto"])
def test_the_aspect_ratio_is_taken_in_either_spelling(name: str, ratio: str) -> None:
    request = GenerateRequest.model_validate({"prompt": "a cat", name: ratio})
    assert (request.fields()["aspect_ratio"], "aspectRatio" in request.fields()) == (ratio, False)
    assert request.asked == (NOTHING_ASKED if ratio == "Auto" else Asked(aspect_ratio=ratio))


def test_the_same_aspect_ratio_may_be_given_twice() -> None:
    request = GenerateRequest.model_validate({"prompt": "a cat", "aspect_ratio": "9:16", "aspectRatio": "9:16"})
    assert request.aspect_ratio == "9:16"


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, [("prompt", "is missing")]),
        ({"prompt": ""}, [("prompt", BLANK)]),
        ({"prompt": " \n\t"}, [("prompt", BLANK)]),
        ({"prompt": "x" * 20_001}, [("prompt", "must have at most 20000 characters")]),
        ({"prompt": 7}, [("prompt", NO_STRING)]),
        ({"prompt": None}, [("prompt", NO_STRING)]),
        ({"imageUrls": []}, [("imageUrls", "must have at least 1 item after validation, not 0")]),
        ({"imageUrls": [PICTURE] * 4}, [("imageUrls", "must have at most 3 items after validation, not 4")]),
        ({"imageUrls": PICTURE}, [("imageUrls", "must be a valid list")]),
        ({"imageUrls": [7]}, [("imageUrls.0", NO_STRING)]),
        ({"imageUrls": [PICTURE, "ftp://x/a"]}, [("imageUrls.1", NO_URL)]),
        ({"imageUrls": ["https://"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https:///a"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": [" https://x/a"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://x/a b"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://x/a\n"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://x\x85/a"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://[::1"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://x\\/a"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://x/a\x00b"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["https://user:s3cret@x/a"]}, [("imageUrls.0", NO_URL)]),
        ({"imageUrls": ["data:image/png,x"]}, [("imageUrls.0", NO_URL)]),
        (
            {"imageUrls": [f"https://x/{'a' * 4000}"]},
            [("imageUrls.0", "must have at most 4000 characters")],
        ),
        ({"model": "veo4"}, [("model", MODELS)]),
        ({"model": "fast"}, [("model", MODELS)]),
        ({"generationType": "TEXT"}, [("generationType", TYPES)]),
        ({"aspect_ratio": "4:3"}, [("aspect_ratio", RATIOS)]),
        ({"aspectRatio": "auto"}, [("aspectRatio", RATIOS)]),
        (
            {"aspect_ratio": "9:16", "aspectRatio": "16:9"},
            [("aspect_ratio", "given twice, and differently (also as aspectRatio)")],
        ),
        ({"enableTranslation": "true"}, [("enableTranslation", NO_BOOLEAN)]),
        ({"enableTranslation": 1}, [("enableTranslation", NO_BOOLEAN)]),
        ({"enableFallback": "no"}, [("enableFallback", NO_BOOLEAN)]),
        ({"watermark": ""}, [("watermark", "must not be empty")]),
        ({"watermark": "x" * 201}, [("watermark", "must have at most 200 characters")]),
        ({"resolution": "8k"}, [("resolution", "must be '720p', '1080p' or '4k'")]),
        ({"duration": 5}, [("duration", LENGTHS)]),
        ({"duration": "8"}, [("duration", LENGTHS)]),
        ({"seeds": 9_999}, [("seeds", "must be greater than or equal to 10000")]),
        ({"seeds": 100_000}, [("seeds", "must be less than or equal to 99999")]),
        ({"seeds": "12345"}, [("seeds", NO_INTEGER)]),
        ({"seeds": 12345.5}, [("seeds", NO_INTEGER)]),
        ({"seeds": True}, [("seeds", NO_INTEGER)]),
        ({"seeds": 1e300}, [("seeds", "must be less than or equal to 99999")]),
        ({"callBackUrl": "https://x/"}, [("callBackUrl", OURS)]),
        ({"prompt": 7, "callBackUrl": "https://x/"}, [("prompt", NO_STRING), ("callBackUrl", OURS)]),
        ({"callback_url": "https://x/"}, [("callback_url", NO_SUCH_FIELD)]),
        ({"taskId": "t1"}, [("taskId", NO_SUCH_FIELD)]),
        ({"upgrades": ["4k"]}, [("upgrades", NO_SUCH_FIELD)]),
        ({"model": "veo4", "cheap": True}, [("model", MODELS), ("cheap", NO_SUCH_FIELD)]),
    ],
)
def test_what_is_wrong_with_a_generation_is_said_by_field(
    values: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    given_prompt = values if "prompt" in values or not values else {"prompt": "a cat", **values}
    assert _faults(GenerateRequest, given_prompt) == faults


@pytest.mark.parametrize("values", [None, [], "a cat", 7])
@pytest.mark.parametrize("model", [GenerateRequest, ExtendRequest])
def test_what_is_no_object_is_said_of_the_body(model: type[Request], values: object) -> None:
    ((field, message),) = _faults(model, values)
    assert field == "body"
    assert message.startswith("must be a valid dictionary")


@pytest.mark.parametrize(
    ("kind", "least", "most", "wanted"),
    [
        ("TEXT_2_VIDEO", 0, 0, "no image URLs"),
        ("FIRST_AND_LAST_FRAMES_2_VIDEO", 1, 2, "1 to 2 image URLs"),
        ("REFERENCE_2_VIDEO", 1, 3, "1 to 3 image URLs"),
        (None, 0, 3, ""),
    ],
)
@pytest.mark.parametrize("count", range(4))
def test_each_type_takes_so_many_pictures(kind: str | None, least: int, most: int, wanted: str, count: int) -> None:
    values: dict[str, Any] = {"prompt": "a cat", "generationType": kind}
    if count:
        values["imageUrls"] = [f"{PICTURE}?{number}" for number in range(count)]
    if least <= count <= most:
        assert GenerateRequest.model_validate(values).generation_type == kind
    else:
        expected = [("generationType", f"{kind} takes {wanted}: {count} given")]
        assert _faults(GenerateRequest, values) == expected


def test_the_longest_prompt_is_taken() -> None:
    assert len(GenerateRequest(prompt="x" * 20_000).prompt) == 20_000


@pytest.mark.parametrize("seeds", [10_000, 99_999])
def test_the_outermost_seeds_are_taken(seeds: int) -> None:
    assert GenerateRequest(prompt="a cat", seeds=seeds).fields()["seeds"] == seeds


# --- extensions --------------------------------------------------------------------------------------------------------


def test_an_extension_names_its_parent_and_a_model_of_its_own() -> None:
    assert ExtendRequest(taskId="t1", prompt="it goes on").fields() == {
        "taskId": "t1",
        "prompt": "it goes on",
        "model": "fast",
    }
    fields = {"taskId": "t1", "prompt": "it goes on", "seeds": 99_999, "model": "quality", "watermark": "mine"}
    request = ExtendRequest.model_validate(fields)
    assert (request.fields(), request.asked) == (fields, NOTHING_ASKED)


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({"prompt": "it goes on"}, [("taskId", "is missing")]),
        ({"taskId": "t1"}, [("prompt", "is missing")]),
        ({"taskId": 7, "prompt": "it goes on"}, [("taskId", NO_STRING)]),
        ({"taskId": "t1", "prompt": " "}, [("prompt", BLANK)]),
        (
            {"taskId": "t1", "prompt": "it goes on", "model": "veo3_fast"},
            [("model", "must be 'fast', 'quality' or 'lite'")],
        ),
        (
            {"taskId": "t1", "prompt": "it goes on", "seeds": 1},
            [("seeds", "must be greater than or equal to 10000")],
        ),
        ({"taskId": "t1", "prompt": "it goes on", "aspect_ratio": "16:9"}, [("aspect_ratio", NO_SUCH_FIELD)]),
        ({"taskId": "t1", "prompt": "it goes on", "resolution": "4k"}, [("resolution", NO_SUCH_FIELD)]),
        ({"taskId": "t1", "prompt": "it goes on", "callBackUrl": "https://x/"}, [("callBackUrl", OURS)]),
    ],
)
def test_what_is_wrong_with_an_extension_is_said_by_field(
    values: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert _faults(ExtendRequest, values) == faults


# --- what may be shown -------------------------------------------------------------------------------------------------


def test_what_is_shown_has_no_signed_queries_and_what_is_sent_has_them() -> None:
    urls = ["https://x/a.png?sig=s3cret", "https://x/b.png#s3cret", "https://x/c.png"]
    request = GenerateRequest(prompt="a cat", imageUrls=urls)
    assert request.shown()["imageUrls"] == ["https://x/a.png", "https://x/b.png", "https://x/c.png"]
    assert request.fields()["imageUrls"] == urls
    assert {**request.shown(), "imageUrls": urls} == request.fields()


@pytest.mark.parametrize("request_", [GenerateRequest(prompt="a cat"), ExtendRequest(taskId="t1", prompt="it goes on")])
def test_what_has_no_pictures_is_shown_as_it_is(request_: Request) -> None:
    assert request_.shown() == request_.fields()


def test_no_message_repeats_what_was_given() -> None:
    values = {"prompt": "a cat", "imageUrls": ["s3cret"], "callback": "s3cret", "model": "s3cret", "seeds": "s3cret"}
    with pytest.raises(ValidationError) as caught:
        GenerateRequest.model_validate(values)
    assert "s3cret" not in f"{explain(caught.value)} {caught.value}"


def test_a_request_is_never_changed() -> None:
    with pytest.raises(ValidationError):
        GenerateRequest(prompt="a cat").prompt = "a dog"  # type: ignore[misc]


_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50).filter(lambda text: bool(text.strip()))


@given(
    st.fixed_dictionaries(
        {"prompt": _TEXTS},
        optional={
            "imageUrls": st.lists(st.just(f"{PICTURE}?sig=1"), min_size=1, max_size=3),
            "model": st.sampled_from(["veo3", "veo3_fast", "veo3_lite"]),
            "aspectRatio": st.sampled_from(["16:9", "9:16", "Auto"]),
            "enableTranslation": st.booleans(),
            "watermark": _TEXTS,
            "resolution": st.sampled_from(["720p", "1080p", "4k"]),
            "duration": st.sampled_from([4, 6, 8]),
            "seeds": st.integers(10_000, 99_999),
        },
    )
)
def test_what_was_taken_is_the_same_after_every_writing_and_reading(values: dict[str, Any]) -> None:
    request = GenerateRequest.model_validate(values)
    assert GenerateRequest.model_validate_json(request.model_dump_json(exclude_defaults=True)) == request
    assert GenerateRequest.model_validate(json.loads(json.dumps(request.fields()))) == request
