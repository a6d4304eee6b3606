"""What the simulator's videos are: their size, which way up they stand, whether they sound, over HTTP."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.contract.test_simulator import SPEED, Bench, fetch

SMALL, FULL_HD, UHD = (1280, 720), (1920, 1080), (3840, 2160)


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(Options(speed=SPEED, rate_limit=0)) as running:
        yield running


@pytest.fixture
def bench(running: Simulator) -> Iterator[Bench]:
    bench = Bench(SimulatorClient(running.url))
    yield bench
    bench.receiver.close()


def boxes(video: bytes, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The name of each box, and where its content is."""
    while start < end:
        size, name = struct.unpack_from(">I4s", video, start)
        yield name.decode(), start + 8, start + size
        start += size
    assert start == end


def tracks(video: bytes) -> dict[str, tuple[int, int]]:
    """Width and height as shown of each track, by its handler: `vide`, `soun`."""
    found: dict[str, tuple[int, int]] = {}
    [moov] = [box[1:] for box in boxes(video, 0, len(video)) if box[0] == "moov"]
    for name, *track in boxes(video, *moov):
        if name != "trak":
            continue
        parts = {part: place for part, *place in boxes(video, *track)}
        media = {part: place for part, *place in boxes(video, *parts["mdia"])}
        a, b, *_, width, height = struct.unpack_from(">9iII", video, parts["tkhd"][0] + 40)
        shown = (height >> 16, width >> 16) if (a, b) == (0, 1 << 16) else (width >> 16, height >> 16)
        handler = media["hdlr"][0] + 8
        found[video[handler : handler + 4].decode()] = shown
    return found


def size(url: str) -> tuple[int, int]:
    """The width and height of a video that has sound."""
    found = tracks(fetch(url).content)
    assert set(found) == {"vide", "soun"}
    return found["vide"]


def upgraded(bench: Bench, base: str) -> list[str]:
    """The URLs of its 1080p and of its 4K."""
    order = {"taskId": base, "index": 0}

    def hd() -> Any:
        return bench.get("/api/v1/veo/get-1080p-video", params=order)["data"]

    def uhd() -> Any:
        return bench.post("/api/v1/veo/get-4k-video", order)["data"]["resultUrls"]

    bench.until(hd)
    bench.until(uhd)
    return [hd()["resultUrl"], uhd()[0]]


def results(bench: Bench, task_id: str) -> list[str]:
    found: list[str] = bench.details(task_id)["response"]["resultUrls"]
    return found


@pytest.mark.parametrize(
    ("asked", "expected", "price"),
    [(None, SMALL, 60), ("720p", SMALL, 60), ("1080p", FULL_HD, 65), ("4k", UHD, 180)],
)
def test_the_resolution_asked_for_is_delivered_and_charged(
    bench: Bench, asked: str | None, expected: tuple[int, int], price: int
) -> None:
    before = bench.client.books()["creditsLeft"]
    made = bench.generated(resolution=asked)
    assert before - bench.client.books()["creditsLeft"] == price
    assert expected == size(results(bench, made)[0])
    assert bench.details(made)["response"]["resolution"] == ("4k" if asked == "4k" else "1080p")
    row = bench.client.books()["generations"][made]
    assert (price, price) == (row["credits"], row["creditsConsumed"])


def test_the_unified_form_delivers_the_resolution_too(bench: Bench) -> None:
    made = bench.client.create_task("veo-3-1", {"prompt": "a cat", "resolution": "1080p", "model": "veo3"})
    bench.until(lambda: bench.client.record_info(made)["state"] == "success")
    record = bench.client.record_info(made)
    assert record["creditsConsumed"] == 255
    assert size(json.loads(record["resultJson"])["resultUrls"][0]) == FULL_HD


def test_a_downgraded_video_is_720p_but_was_paid_in_full(bench: Bench) -> None:
    made = bench.generated("downgraded", resolution="4k")
    assert size(results(bench, made)[0]) == SMALL
    assert bench.client.books()["generations"][made]["creditsConsumed"] == 180
    assert json.loads(bench.details(made)["paramJson"])["resolution"] == "4k"


def test_upgrades_have_the_size_of_their_name(bench: Bench) -> None:
    assert [size(url) for url in upgraded(bench, bench.generated())] == [FULL_HD, UHD]


def test_upgrades_can_be_smaller_than_their_name(bench: Bench) -> None:
    assert [size(url) for url in upgraded(bench, bench.generated("upgrade-too-small"))] == [SMALL, FULL_HD]


@pytest.mark.parametrize("spelling", ["aspect_ratio", "aspectRatio"])
@pytest.mark.parametrize(("resolution", "landscape"), [("720p", SMALL), ("1080p", FULL_HD)])
def test_a_request_for_9_16_gives_videos_that_stand_upright(
    bench: Bench, spelling: str, resolution: str, landscape: tuple[int, int]
) -> None:
    made = bench.generated(**{spelling: "9:16"}, resolution=resolution)
    assert landscape[::-1] == size(results(bench, made)[0])
    assert size(bench.details(made)["response"]["originUrls"][0]) == SMALL[::-1]
    assert [size(url) for url in upgraded(bench, made)] == [FULL_HD[::-1], UHD[::-1]]


def test_the_portrait_scenario_says_so_in_its_records_and_hands_it_down(bench: Bench) -> None:
    made = bench.generated("portrait", callback_url=bench.receiver.url, aspect_ratio="16:9")
    assert size(results(bench, made)[0]) == SMALL[::-1]
    assert json.loads(bench.details(made)["paramJson"])["aspectRatio"] == "9:16"
    assert '"aspectRatio":"9:16"' in bench.receiver.next().body["data"]["promptJson"]
    extension = bench.client.extend(made, "on")
    bench.until(lambda: bench.details(extension)["successFlag"])
    response = bench.details(extension)["response"]
    assert {size(response[name][0]) for name in ("resultUrls", "fullResultUrls")} == {SMALL[::-1]}


def test_a_portrait_of_the_unified_form_says_so_in_its_param(bench: Bench) -> None:
    made = bench.client.create_task("veo-3-1", {"prompt": "scenario=portrait a cat"})
    assert json.loads(bench.client.record_info(made)["param"])["input"]["aspectRatio"] == "9:16"


def test_a_missing_result_is_null_everywhere_and_cannot_be_upgraded(bench: Bench) -> None:
    made = bench.generated("missing-result", callback_url=bench.receiver.url)
    first, second = results(bench, made)
    assert second is None
    assert [first, None] == bench.receiver.next().body["data"]["info"]["resultUrls"]
    assert [first, None] == bench.client.books()["generations"][made]["resultUrls"]
    params = {"taskId": made, "index": 1}
    assert bench.get("/api/v1/veo/get-1080p-video", params=params)["msg"] == "index is out of range."
    assert size(first) == SMALL


def test_a_missing_result_is_null_in_the_unified_form(bench: Bench) -> None:
    made = bench.client.create_task("veo-3-1", {"prompt": "scenario=missing-result a cat"}, bench.receiver.url)
    told = json.loads(bench.receiver.next().body["data"]["resultJson"])["resultUrls"]
    assert told == json.loads(bench.client.record_info(made)["resultJson"])["resultUrls"]
    assert [url is None for url in told] == [False, True]


def test_a_silent_video_is_sound_but_for_its_sound(bench: Bench) -> None:
    made = bench.generated("silent-video")
    for url, expected in zip([results(bench, made)[0], *upgraded(bench, made)], [SMALL, FULL_HD, UHD], strict=True):
        assert {"vide": expected} == tracks(fetch(url).content)
