import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.asked import NOTHING_ASKED, Asked, Look, compare, lines, satisfies
from app.domain.work import Kind

RECORDINGS = Path(__file__).parents[2] / "contract" / "data" / "recordings"
BASE = Look(1280, 720, 8.0, audio=True)
UPRIGHT = Look(720, 1280, 8.0, audio=True)
HD = Look(1920, 1080, 8.0, audio=True)
UHD = Look(3840, 2160, 8.0, audio=True)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (UHD, 2160),
        (Look(2160, 3840), 2160),
        (Look(720, 720), 720),
        (Look(None, 720), None),
        (Look(1280, None), None),
        (Look(), None),
    ],
)
def test_the_lines_are_the_shorter_side(look: Look, expected: int | None) -> None:
    assert expected == lines(look)


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        (Kind.HD, 1079, False),
        (Kind.HD, 1080, True),
        (Kind.HD, 2160, True),
        (Kind.HD, None, False),
        (Kind.UHD, 1080, False),
        (Kind.UHD, 2159, False),
        (Kind.UHD, 2160, True),
        (Kind.UHD, None, False),
        (Kind.RESULT, 2160, False),
        (Kind.IMAGE, 2160, False),
    ],
)
def test_a_result_may_already_be_what_an_upgrade_would_give(kind: Kind, count: int | None, expected: bool) -> None:
    assert satisfies(kind, count) is expected


@pytest.mark.parametrize(
    ("kind", "look", "base", "expected"),
    [
        (Kind.HD, HD, BASE, ""),
        (Kind.HD, UHD, BASE, ""),
        (Kind.HD, Look(1080, 1920, 8.0, audio=True), UPRIGHT, ""),
        (Kind.UHD, UHD, BASE, ""),
        (Kind.UHD, Look(2160, 3840, 8.0, audio=True), UPRIGHT, ""),
        (Kind.UHD, Look(4096, 2160), None, ""),
        (Kind.HD, BASE, None, "a 1080p with 720 lines (1280×720): at least 1080 were paid for"),
        (Kind.UHD, HD, None, "a 4k with 1080 lines (1920×1080): at least 2160 were paid for"),
        (Kind.UHD, Look(1080, 1920), None, "a 4k with 1080 lines (1080×1920): at least 2160 were paid for"),
        (Kind.UHD, Look(3840, 2160, 4.0), BASE, ""),
        (Kind.HD, Look(1920, 1080, 8.0, audio=False), BASE, "a 1080p without sound: the result has sound"),
        (Kind.HD, Look(1920, 1080, 8.0, audio=False), Look(audio=False), ""),
        (Kind.HD, Look(1920, 1080, 8.0, audio=False), Look(), ""),
        (Kind.HD, HD, Look(audio=False), ""),
        (Kind.UHD, UHD, UPRIGHT, ""),
        (Kind.HD, Look(1080, 1080), BASE, ""),
    ],
)
def test_an_upgrade_is_held_against_its_kind_and_its_result(
    kind: Kind, look: Look, base: Look | None, expected: str
) -> None:
    assert expected == compare(kind, NOTHING_ASKED, look, base)


@pytest.mark.parametrize(
    ("asked", "look", "expected"),
    [
        (NOTHING_ASKED, Look(320, 240, 1.0), ""),
        (Asked(resolution="720p"), BASE, ""),
        (Asked(resolution="720p"), UPRIGHT, ""),
        (Asked(resolution="720p"), HD, ""),
        (Asked(resolution="720p"), Look(1278, 718), "a result with 718 lines (1278×718): 720p was asked for"),
        (Asked(resolution="1080p"), BASE, "a result with 720 lines (1280×720): 1080p was asked for"),
        (Asked(resolution="1080p"), HD, ""),
        (Asked(resolution="4k"), HD, "a result with 1080 lines (1920×1080): 4k was asked for"),
        (Asked(resolution="4k"), UHD, ""),
        (Asked(resolution="8k"), BASE, ""),
        (Asked(seconds=8), BASE, ""),
        (Asked(seconds=4), Look(1280, 720, 4.75), ""),
        (Asked(seconds=4), Look(1280, 720, 4.8), "a result of 4.8 s: 4 s were asked for"),
        (Asked(seconds=8), Look(1280, 720, 5.088), "a result of 5.088 s: 8 s were asked for"),
        (Asked(aspect_ratio="16:9"), BASE, ""),
        (Asked(aspect_ratio="9:16"), UPRIGHT, ""),
        (Asked(aspect_ratio="9:16"), BASE, "a landscape result (1280×720): 9:16 was asked for"),
        (Asked(aspect_ratio="16:9"), UPRIGHT, "a portrait result (720×1280): 16:9 was asked for"),
        (Asked(aspect_ratio="9:16"), Look(720, 720), "a square result (720×720): 9:16 was asked for"),
        (Asked(aspect_ratio="1:1"), BASE, ""),
    ],
)
def test_a_result_is_held_against_what_was_asked(asked: Asked, look: Look, expected: str) -> None:
    assert expected == compare(Kind.RESULT, asked, look, None)


def test_all_faults_are_named() -> None:
    asked = Asked(resolution="1080p", seconds=8, aspect_ratio="9:16")
    assert compare(Kind.RESULT, asked, Look(640, 360, 2.0), None) == (
        "a result with 360 lines (640×360): 1080p was asked for; a result of 2 s: 8 s were asked for; "
        "a landscape result (640×360): 9:16 was asked for"
    )
    assert compare(Kind.UHD, NOTHING_ASKED, Look(640, 360, 2.0, audio=False), UPRIGHT) == (
        "a 4k with 360 lines (640×360): at least 2160 were paid for; a 4k without sound: the result has sound"
    )


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("look", [Look(), Look(width=10), Look(height=10)])
def test_what_is_not_known_is_no_fault(kind: Kind, look: Look) -> None:
    assert compare(kind, Asked(resolution="4k", seconds=8, aspect_ratio="9:16"), look, BASE) == ""


@pytest.mark.parametrize("kind", [Kind.ORIGIN, Kind.FULL, Kind.IMAGE])
def test_nothing_is_asked_of_the_other_files(kind: Kind) -> None:
    assert compare(kind, Asked(resolution="4k", seconds=8, aspect_ratio="9:16"), Look(64, 36, 1.0), UPRIGHT) == ""


def test_what_was_asked_is_not_held_against_an_upgrade() -> None:
    assert compare(Kind.HD, Asked(resolution="4k", seconds=4, aspect_ratio="9:16"), HD, BASE) == ""


def test_the_recorded_request_is_read() -> None:
    recording = json.loads((RECORDINGS / "veo-generate-then-details.json").read_text())
    params = json.loads(recording["exchanges"][1]["response"]["body"]["data"]["paramJson"])
    assert Asked(resolution="720p", seconds=4, aspect_ratio="9:16") == Asked.read(params)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"resolution": "4K"}, Asked(resolution="4k")),
        ({"resolution": "1080P"}, Asked(resolution="1080p")),
        ({"duration": 8}, Asked(seconds=8)),
        ({"duration": "6"}, Asked(seconds=6)),
        ({"duration": 7.5}, Asked(seconds=7.5)),
        ({"aspectRatio": "9:16"}, Asked(aspect_ratio="9:16")),
        ({"aspect_ratio": "16:9"}, Asked(aspect_ratio="16:9")),
        ({"aspectRatio": None, "aspect_ratio": "16:9"}, Asked(aspect_ratio="16:9")),
        ({"model": "veo-3-1", "input": {"resolution": "4k", "duration": 8}}, Asked(resolution="4k", seconds=8)),
        ({"resolution": "720p", "input": {"resolution": "4k"}}, Asked(resolution="4k")),
        ({"resolution": "720p", "input": {"duration": 4}}, Asked(resolution="720p", seconds=4)),
        ({"resolution": "720p", "input": "text"}, Asked(resolution="720p")),
        ({"resolution": "2k", "duration": 8}, Asked(seconds=8)),
    ],
)
def test_the_vendors_record_of_a_request_is_read(params: object, expected: Asked) -> None:
    assert expected == Asked.read(params)


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        "720p",
        {},
        {"taskId": "t1", "index": 0},
        {"aspectRatio": "Auto"},
        {"aspectRatio": "auto"},
        {"aspectRatio": "4:3"},
        {"resolution": ""},
        {"resolution": 720},
        {"resolution": ["720p"]},
        {"duration": True},
        {"duration": 0},
        {"duration": -8},
        {"duration": "eight"},
        {"duration": [8]},
        {"duration": float("nan")},
        {"duration": "inf"},
        {"duration": 10**400},
    ],
)
def test_what_is_missing_auto_or_odd_was_not_asked(params: object) -> None:
    assert Asked.read(params) == NOTHING_ASKED


_VALUES = st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**400) | st.floats() | st.text()
_NAMES = st.sampled_from(["resolution", "duration", "aspectRatio", "aspect_ratio", "input"]) | st.text()


@given(st.recursive(_VALUES, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner), max_leaves=20))
def test_any_json_is_read_as_something_that_can_be_asked(params: Any) -> None:
    asked = Asked.read(params)
    assert asked.resolution in ("", "720p", "1080p", "4k")
    assert asked.aspect_ratio in ("", "16:9", "9:16")
    assert asked.seconds is None or 0 < asked.seconds < float("inf")
