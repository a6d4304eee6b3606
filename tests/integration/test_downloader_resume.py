"""Transfers that break and go on, against servers that know ranges well, badly or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from requests.structures import CaseInsensitiveDict

from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import MOST_BREAKS, Downloader
from app.adapters.resume import read_validator
from app.domain.container import NotMedia
from app.domain.errors import FetchFailed, FetchForbidden, Interrupted, LinkDead
from tests.support.films import box
from tests.support.range_server import Shelf, serve

VIDEO = (Path(__file__).parents[1] / "media" / "result-720p.mp4").read_bytes()
OTHER = VIDEO[:-500] + b"x" * 500
THEN, NOW = "Mon, 02 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 12:00:00 GMT"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(VIDEO)


@pytest.fixture
def url(shelf: Shelf) -> Iterator[str]:
    with serve(shelf) as url:
        yield url


def fetch(
    url: str, tmp_path: Path, stop: threading.Event | None = None, *, most: int = 10**6, in_memory: int = 0
) -> bytes:
    """The file, after a look at what is said of it."""
    limits = {"max_bytes": most, "in_memory": in_memory, "deadline": 20, "min_rate": 0}
    policy = DownloadPolicy(hosts=("127.0.0.1",), insecure=True, temp_dir=str(tmp_path), **limits)
    with Downloader(policy, stop or threading.Event()).fetch(url) as download:
        data = download.file.read()
        assert (download.bytes, download.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        return data


@pytest.mark.parametrize("in_memory", [0, len(VIDEO)], ids=["on disk", "in memory"])
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("headers", [{"ETag": '"one"'}, {"Last-Modified": THEN, "Date": NOW}])
def test_a_transfer_that_breaks_goes_on_at_the_next_byte(
    shelf: Shelf, url: str, tmp_path: Path, how: str, headers: dict[str, str], in_memory: int
) -> None:
    shelf.breaks, shelf.how, shelf.headers = [50_000, 20_000, 1], how, headers
    assert fetch(url, tmp_path, in_memory=in_memory) == VIDEO
    validator = headers.get("ETag", THEN)
    assert shelf.asked == [(None, None), *((f"bytes={at}-", validator) for at in (50_000, 70_000, 70_001))]
    assert sum(shelf.sent) == len(VIDEO)


def test_a_file_of_unknown_length_goes_on_too(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.length_is_named = [50_000], False
    assert fetch(url, tmp_path) == VIDEO
    assert shelf.asked == [(None, None), ("bytes=50000-", '"one"')]


def test_the_way_leads_by_the_redirect_each_time(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.redirects = [50_000], True
    assert fetch(url, tmp_path) == VIDEO
    assert sum(shelf.sent) == len(VIDEO)


def test_a_file_that_has_changed_is_begun_anew(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.later = [50_000, 30_000], (OTHER, {"ETag": '"two"'})
    assert fetch(url, tmp_path) == OTHER
    assert shelf.asked == [(None, None), ("bytes=50000-", '"one"'), ("bytes=30000-", '"two"')]


@pytest.mark.parametrize("in_memory", [0, len(VIDEO), 2 * len(VIDEO)], ids=["on disk", "moved", "in memory"])
def test_a_shorter_file_leaves_nothing_of_a_longer_one(shelf: Shelf, url: str, tmp_path: Path, in_memory: int) -> None:
    shelf.body = VIDEO + box(b"free", bytes(1000))
    shelf.breaks, shelf.later = [len(VIDEO) + 500], (VIDEO, {"ETag": '"two"'})
    assert fetch(url, tmp_path, in_memory=in_memory) == VIDEO


def test_a_longer_file_in_place_of_one_in_memory_goes_to_the_disk(shelf: Shelf, url: str, tmp_path: Path) -> None:
    longer = VIDEO + box(b"free", bytes(1000))
    shelf.breaks, shelf.later = [50_000], (longer, {"ETag": '"two"'})
    assert fetch(url, tmp_path, in_memory=len(VIDEO)) == longer


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"ETag": '"two"'}, OTHER), ({}, OTHER), ({"ETag": '"one"'}, OTHER + box(b"free", b"x"))],
    ids=["another tag", "no tag", "another length"],
)
def test_parts_of_another_file_are_never_joined(
    shelf: Shelf, url: str, tmp_path: Path, headers: dict[str, str], body: bytes
) -> None:
    shelf.breaks, shelf.heeds_if_range, shelf.later = [50_000], False, (body, headers)
    assert fetch(url, tmp_path) == body
    assert shelf.asked == [(None, None), ("bytes=50000-", '"one"'), (None, None)]


@pytest.mark.parametrize("range_", ["bytes 0-111618/111619", "bytes 50000-60000/111619", "bytes */111619", "nonsense"])
def test_a_part_that_was_not_asked_for_is_not_used(shelf: Shelf, url: str, tmp_path: Path, range_: str) -> None:
    shelf.breaks, shelf.content_range = [50_000], range_
    assert fetch(url, tmp_path) == VIDEO
    assert [range_ for range_, _ in shelf.asked] == [None, "bytes=50000-", None]


def test_a_server_without_ranges_is_asked_once_more_and_not_again(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.knows_ranges = [50_000, 50_000], False
    with pytest.raises(FetchFailed, match="cut short"):
        fetch(url, tmp_path)
    assert len(shelf.asked) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"one"'},
        {"ETag": 'W/"one"', "Last-Modified": THEN, "Date": NOW},
        {"Last-Modified": NOW, "Date": NOW},
        {"Last-Modified": THEN},
        {"Last-Modified": "yesterday", "Date": NOW},
        {"ETag": '"one"', "Accept-Ranges": "none"},
        {"ETag": 'one"'},
    ],
)
def test_what_cannot_be_recognised_is_not_resumed(
    shelf: Shelf, url: str, tmp_path: Path, headers: dict[str, str]
) -> None:
    shelf.breaks, shelf.headers = [50_000], headers
    with pytest.raises(FetchFailed, match="cut short"):
        fetch(url, tmp_path)
    assert len(shelf.asked) == 1


def test_without_progress_nothing_is_asked_again(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks = [50_000, 0]
    with pytest.raises(FetchFailed):
        fetch(url, tmp_path)
    assert len(shelf.asked) == 2


def test_a_transfer_goes_on_only_so_many_times(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks = [1000] * 20
    with pytest.raises(FetchFailed, match="cut short"):
        fetch(url, tmp_path)
    assert len(shelf.asked) == 1 + MOST_BREAKS


@pytest.mark.parametrize(("status", "error"), [(404, LinkDead), (503, FetchFailed), (416, FetchFailed)])
def test_a_link_that_fails_meanwhile_is_named(
    shelf: Shelf, url: str, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    shelf.breaks, shelf.statuses = [50_000], {2: status}
    with pytest.raises(error, match=f"HTTP {status}"):
        fetch(url, tmp_path)


def test_a_file_that_is_whole_and_no_video_is_not_asked_for_again(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.body = VIDEO[:-1]
    with pytest.raises(NotMedia):
        fetch(url, tmp_path)
    assert len(shelf.asked) == 1


def test_the_cap_holds_for_all_parts_together(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.length_is_named = [50_000], False
    with pytest.raises(FetchForbidden, match="more than the cap of 100000"):
        fetch(url, tmp_path, most=100_000)


def test_a_stop_is_no_break(shelf: Shelf, url: str, tmp_path: Path) -> None:
    shelf.breaks, shelf.how = [50_000], "silence"
    with pytest.raises(Interrupted):
        fetch(url, tmp_path, shelf.broken)
    assert len(shelf.asked) == 1


def test_names_of_headers_are_read_in_any_case() -> None:
    assert read_validator(CaseInsensitiveDict({"etag": '"x"'})) == '"x"'
