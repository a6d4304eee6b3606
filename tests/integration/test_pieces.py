"""Large files are kept in pieces while they arrive, so that whoever goes on with one fetches little again."""

import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from app.adapters import pieces
from app.adapters.bucket import S3Bucket
from app.adapters.bucket_parts import BucketParts
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from app.adapters.pieces import Pieces
from app.adapters.resume import Body
from app.domain.container import NotMedia
from app.domain.errors import FetchFailed, Interrupted, LinkDead, StoreUnavailable
from app.embedded import free_port, running, s3_environment, s3_server
from tests.support.films import box
from tests.support.range_server import Shelf, serve
from tests.support.waiting import wait_for

FILM = (Path(__file__).parents[1] / "media" / "result-720p.mp4").read_bytes()
VIDEO = FILM + box(b"free", random.Random(9).randbytes(400_000))
OTHER = FILM + box(b"free", random.Random(8).randbytes(400_000))
PIECE = 65_536
FOLDER = "veo/.parts/abc/4k-0/"
KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield s3_environment(port, **KEYS)


@pytest.fixture
def bucket(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    bucket = S3Bucket("reels")
    bucket.parts(FOLDER).discard()
    yield bucket
    bucket.client.close()


@pytest.fixture
def parts(bucket: S3Bucket) -> BucketParts:
    return bucket.parts(FOLDER)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(VIDEO)


@pytest.fixture
def url(shelf: Shelf) -> Iterator[str]:
    with serve(shelf) as url:
        yield url


#: in place of `DownloadPolicy.keep_below`: every source counts as slow, or none does
SLOW, FAST = 10.0**18, 0.0


def make_policy(**changed: float) -> DownloadPolicy:
    limits: dict[str, Any] = {"max_bytes": 10**6, "deadline": 20, "min_rate": 0, "in_memory": 0, "keep_below": SLOW}
    limits |= {"large": 2 * PIECE, "piece": PIECE} | changed
    return DownloadPolicy(hosts=("127.0.0.1",), insecure=True, **limits)


def fetch(url: str, parts: object, stop: threading.Event | None = None, **changed: float) -> bytes:
    downloader = Downloader(make_policy(**changed), stop or threading.Event())
    with downloader.fetch(url, parts=parts) as download:  # type: ignore[arg-type]
        data = download.file.read()
        assert (download.bytes, download.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        return data


def kept(bucket: S3Bucket) -> list[str]:
    return list(bucket.keys(FOLDER))


def fail_at(shelf: Shelf, url: str, parts: object, *sizes: int, **changed: float) -> None:
    """An attempt that fails when its answers have broken after so many bytes."""
    shelf.breaks, shelf.statuses = [*sizes], {len(sizes) + 1: 503}
    with pytest.raises(FetchFailed, match="HTTP 503"):
        fetch(url, parts, **changed)
    shelf.breaks, shelf.statuses = [], {}
    shelf.asked.clear()
    shelf.sent.clear()


def test_a_failed_attempt_leaves_all_whole_pieces_and_the_next_goes_on_behind_them(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    fail_at(shelf, url, parts, 300_000)
    assert len(kept(bucket)) == 4
    assert fetch(url, bucket.parts(FOLDER)) == VIDEO
    assert shelf.asked[1:] == [(f"bytes={4 * PIECE}-", '"one"')]


def test_of_a_fast_source_nothing_is_kept(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "Keeper", None)
    shelf.breaks = [300_000]
    assert fetch(url, parts, keep_below=FAST) == VIDEO
    assert (kept(bucket), parts.used) == ([], False)


def test_of_a_fast_source_that_fails_all_that_came_is_kept_and_taken_up(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    fail_at(shelf, url, parts, 100_000, 200_000, keep_below=FAST)
    assert len(kept(bucket)) == 4
    fail_at(shelf, url, parts, 10, 70_000, keep_below=FAST)
    assert len(kept(bucket)) == 5
    assert fetch(url, bucket.parts(FOLDER), keep_below=FAST) == VIDEO
    assert shelf.asked == [(None, None), (f"bytes={5 * PIECE}-", '"one"')]
    assert len(kept(bucket)) == 5


def test_a_source_that_turns_slow_is_kept_from_its_start(bucket: S3Bucket, parts: BucketParts) -> None:
    with (
        closing(Body(None, 0, with_md5=False)) as body,
        Pieces(parts, make_policy(keep_below=SLOW), threading.Event()) as keeping,
    ):
        body.begin('"one"', len(VIDEO))
        assert not keeping.begin(body)
        body.append(VIDEO[: 3 * PIECE - 1])  # all at once
        keeping.note(body)
        wait_for(lambda: len(kept(bucket)) == 2)


def test_pieces_add_up_over_many_attempts(shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts) -> None:
    fail_at(shelf, url, parts, 150_000)
    assert len(kept(bucket)) == 2
    fail_at(shelf, url, parts, 10, 100_000)
    assert len(kept(bucket)) == 3
    assert fetch(url, parts) == VIDEO
    assert shelf.asked[1:] == [(f"bytes={3 * PIECE}-", '"one"')]


def test_a_file_that_came_whole_leaves_pieces_only_until_they_are_discarded(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    fail_at(shelf, url, parts, 300_000)
    again = bucket.parts(FOLDER)
    assert fetch(url, again) == VIDEO
    assert again.used
    parts.discard()
    assert (kept(bucket), parts.used) == ([], False)


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"one"'}])
def test_what_cannot_be_recognised_is_not_kept(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts, headers: dict[str, str]
) -> None:
    shelf.headers = headers
    assert fetch(url, parts) == VIDEO
    assert (kept(bucket), parts.used) == ([], False)


def test_what_is_in_memory_is_not_kept(shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts) -> None:
    fail_at(shelf, url, parts, 300_000, in_memory=len(VIDEO))
    assert (kept(bucket), parts.used) == ([], False)


def test_a_small_file_is_not_kept(shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts) -> None:
    fail_at(shelf, url, parts, 300_000, large=len(VIDEO))
    assert (kept(bucket), parts.used) == ([], False)


@pytest.mark.parametrize(
    ("body", "headers"), [(OTHER, {"ETag": '"two"'}), (OTHER + box(b"free"), {"ETag": '"one"'})], ids=["tag", "length"]
)
def test_pieces_of_a_file_that_has_changed_are_not_used(
    shelf: Shelf, url: str, parts: BucketParts, body: bytes, headers: dict[str, str]
) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.body, shelf.headers = body, headers
    assert fetch(url, parts) == body
    assert shelf.asked == [(None, None)]


def test_a_file_that_changes_after_its_pieces_were_found_is_begun_anew(
    shelf: Shelf, url: str, parts: BucketParts
) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.later = (OTHER, {"ETag": '"two"'})
    assert fetch(url, parts) == OTHER


def test_a_server_that_forgot_ranges_gives_the_whole_file(shelf: Shelf, url: str, parts: BucketParts) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.knows_ranges = False
    assert fetch(url, parts) == VIDEO
    assert shelf.asked[1:] == [(f"bytes={4 * PIECE}-", '"one"')]


def test_pieces_are_taken_up_once_for_a_transfer(shelf: Shelf, url: str, parts: BucketParts) -> None:
    shelf.body, shelf.headers = OTHER, {"ETag": '"two"'}
    fail_at(shelf, url, parts, 300_000)
    shelf.body, shelf.headers = VIDEO, {"ETag": '"one"'}
    fail_at(shelf, url, parts, 300_000)
    shelf.later = (OTHER, {"ETag": '"two"'})
    assert fetch(url, parts) == OTHER
    assert shelf.asked == [(None, None), (f"bytes={4 * PIECE}-", '"one"')]


@pytest.mark.parametrize("status", [404, 416, 500])
def test_whatever_a_server_has_against_the_rest_it_is_asked_for_the_whole(
    shelf: Shelf, url: str, parts: BucketParts, status: int
) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.statuses = {2: status}
    assert fetch(url, parts) == VIDEO
    assert shelf.asked == [(None, None), (f"bytes={4 * PIECE}-", '"one"'), (None, None)]


@pytest.mark.parametrize("range_", ["bytes */411627", "bytes 0-9/411627", "nonsense"])
def test_a_rest_that_does_not_fit_is_not_used_but_the_whole(
    shelf: Shelf, url: str, parts: BucketParts, range_: str
) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.content_range = range_
    assert fetch(url, parts) == VIDEO
    assert shelf.asked == [(None, None), (f"bytes={4 * PIECE}-", '"one"'), (None, None)]


def test_a_link_that_dies_between_two_requests_is_dead(shelf: Shelf, url: str, parts: BucketParts) -> None:
    fail_at(shelf, url, parts, 300_000)
    shelf.statuses = {2: 404, 3: 404}
    with pytest.raises(LinkDead):
        fetch(url, parts)


@pytest.mark.parametrize("body", [bytes(PIECE), b"cut"], ids=["damaged", "cut"])
def test_where_the_first_piece_is_not_good_the_whole_is_asked_for(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts, body: bytes
) -> None:
    fail_at(shelf, url, parts, 300_000)
    bucket.client.put_object(Bucket="reels", Key=kept(bucket)[0], Body=body)
    assert fetch(url, parts) == VIDEO
    assert shelf.asked == [(None, None), (None, None)]


@pytest.mark.parametrize("trouble", ["missing", "damaged", "cut"])
def test_pieces_count_up_to_the_first_that_is_not_good(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts, trouble: str
) -> None:
    fail_at(shelf, url, parts, 300_000)
    key = kept(bucket)[2]
    if trouble == "missing":
        bucket.client.delete_object(Bucket="reels", Key=key)
    else:
        body = bytes(PIECE) if trouble == "damaged" else b"cut"
        bucket.client.put_object(Bucket="reels", Key=key, Body=body)
    assert fetch(url, parts) == VIDEO
    assert shelf.asked[1:] == [(f"bytes={2 * PIECE}-", '"one"')]


def test_a_file_of_whole_pieces_is_never_asked_for_behind_its_end(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    shelf.body = FILM + box(b"free", bytes(6 * PIECE - len(FILM) - 8))
    fail_at(shelf, url, parts, 300_000)
    version = kept(bucket)[0].split("/")[4]
    for number in range(6):
        parts.keep(version, number, shelf.body[number * PIECE : (number + 1) * PIECE])
    assert fetch(url, parts) == shelf.body
    assert shelf.asked[1:] == [(f"bytes={5 * PIECE}-", '"one"')]


def test_pieces_of_what_is_no_video_are_not_used_again(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    shelf.body = VIDEO[:-1]
    fail_at(shelf, url, parts, 300_000)
    with pytest.raises(NotMedia):
        fetch(url, parts)
    assert kept(bucket) == []


class Hanging:
    """Parts in a store that takes nothing before it is let go."""

    used = False

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    def find(self, version: str) -> Sequence[str]:
        return ()

    def keep(self, version: str, number: int, piece: bytes) -> None:
        self.asked.set()
        assert self.let_go.wait(60)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.let_go.set()
    wait_for(lambda: not keepers())


def keepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "download-keeper"]


def test_a_stop_does_not_wait_for_the_store(shelf: Shelf, url: str, hanging: Hanging) -> None:
    shelf.breaks, shelf.how = [300_000], "silence"
    with pytest.raises(Interrupted):
        fetch(url, hanging, hanging.asked)
    assert keepers()


def test_a_stop_ends_the_wait_for_the_store_too(
    shelf: Shelf, url: str, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PATIENCE", 600.0)
    shelf.breaks, shelf.statuses = [300_000], {2: 503}
    with pytest.raises(FetchFailed, match="HTTP 503"):
        fetch(url, hanging, hanging.asked, keep_below=FAST)  # keeping begins when the attempt has failed
    assert keepers()


@pytest.mark.parametrize("keep_below", [SLOW, FAST])
def test_a_store_that_hangs_is_not_waited_for_long_after_a_failure(
    shelf: Shelf, url: str, hanging: Hanging, monkeypatch: pytest.MonkeyPatch, keep_below: float
) -> None:
    monkeypatch.setattr(pieces, "PATIENCE", 0.2)
    fail_at(shelf, url, hanging, 300_000, keep_below=keep_below)
    assert keepers()
    assert hanging.asked.is_set()


def test_a_store_that_hangs_at_the_end_does_not_make_the_source_too_slow(
    shelf: Shelf, url: str, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(self: Pieces, body: Body) -> None:
        note_only(self, body)
        assert body.size < PIECE or hanging.asked.wait(60)

    note_only = Pieces.note
    monkeypatch.setattr(Pieces, "note", note)
    monkeypatch.setattr(pieces, "LINGER", 2.5)  # longer than the server may be silent
    assert fetch(url, hanging, rate_window=1, min_rate=1) == VIDEO
    assert keepers()


def test_a_full_disk_leaves_nobody_waiting_with_the_file(
    shelf: Shelf, url: str, bucket: S3Bucket, parts: BucketParts
) -> None:
    shelf.breaks = [2 * PIECE + 10, PIECE]  # of which the last ten bytes stay in the file's buffer, for ever
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * PIECE, hard))
    try:
        with pytest.raises(FetchFailed, match="File too large"):
            fetch(url, parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (len(kept(bucket)), keepers()) == (2, [])


def test_a_store_that_is_away_costs_nothing_but_the_pieces(shelf: Shelf, url: str) -> None:
    class Away:
        used = False

        def find(self, version: str) -> Sequence[str]:
            if self.used:
                raise StoreUnavailable("no answer")
            return ()

        def keep(self, version: str, number: int, piece: bytes) -> None:
            raise StoreUnavailable("no answer")

    away = Away()
    assert fetch(url, away) == VIDEO
    away.used = True
    assert fetch(url, away) == VIDEO
    assert shelf.asked == [(None, None)] * 2


def test_a_piece_is_kept_whole_however_small_its_bytes_came(bucket: S3Bucket, parts: BucketParts) -> None:
    with closing(Body(None, 0, with_md5=False)) as body, Pieces(parts, make_policy(), threading.Event()) as keeping:
        body.begin('"one"', len(VIDEO))
        assert not keeping.begin(body)
        for at in range(0, PIECE, 16):
            body.append(VIDEO[at : at + 16])
            keeping.note(body)
        [name] = wait_for(lambda: parts.find(body.version(PIECE)))
    assert parts.read(name) == VIDEO[:PIECE]


WORKER = """
import sys, threading
from app.adapters.bucket import S3Bucket
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
url, folder, piece = sys.argv[1], sys.argv[2], int(sys.argv[3])
policy = DownloadPolicy(hosts=("127.0.0.1",), insecure=True, max_bytes=10**6, deadline=60, min_rate=0,
                        in_memory=0, keep_below=1e18, large=piece, piece=piece)
with Downloader(policy, threading.Event()).fetch(url, parts=S3Bucket("reels").parts(folder)):
    pass
"""


def test_after_a_killed_worker_less_than_a_piece_is_fetched_again(shelf: Shelf, url: str, bucket: S3Bucket) -> None:
    shelf.breaks, shelf.how = [5 * PIECE + 1000], "silence"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, url, FOLDER, str(PIECE)], cwd=Path(__file__).parents[2])
    try:
        wait_for(lambda: len(kept(bucket)) == 5)
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    shelf.breaks = []
    assert fetch(url, bucket.parts(FOLDER)) == VIDEO
    assert shelf.asked[2:] == [(f"bytes={5 * PIECE}-", '"one"')]
    assert shelf.sent[0] + shelf.sent[2] <= len(VIDEO) + PIECE


def requests_of(bucket: S3Bucket) -> list[str]:
    """The names of the requests from now on."""
    made: list[str] = []
    bucket.client.meta.events.register("before-call.s3", lambda model, **_: made.append(model.name))
    return made


def test_pieces_are_deleted_a_page_at_a_time(bucket: S3Bucket, parts: BucketParts) -> None:
    for number in range(3):
        parts.keep("v", number, b"piece")
    made = requests_of(bucket)
    parts.discard()
    assert made == ["ListObjectsV2", "DeleteObjects"]
    assert kept(bucket) == []
    made.clear()
    parts.discard()
    assert made == ["ListObjectsV2"], "where there is nothing, nothing is deleted"


@pytest.fixture
def store() -> Iterator[tuple[BucketParts, Stubber]]:
    """Two pieces in a store that answers what it is told to, in order."""
    client = boto3.session.Session("id", "secret", region_name="us-east-1").client("s3")
    with Stubber(client) as stubber:
        stubber.add_response("list_objects_v2", {"Contents": [{"Key": f"{FOLDER}v/{number}"} for number in range(2)]})
        yield BucketParts(lambda: client, "reels", FOLDER), stubber
        stubber.assert_no_pending_responses()
    client.close()


@pytest.mark.parametrize("code", ["NotImplemented", "MissingContentMD5", ""])
def test_where_a_page_cannot_be_deleted_each_piece_is(store: tuple[BucketParts, Stubber], code: str) -> None:
    parts, stubber = store
    if code:
        stubber.add_client_error("delete_objects", code, "no", 400)
    else:
        stubber.add_response("delete_objects", {"Errors": [{"Key": f"{FOLDER}v/1", "Code": "InternalError"}]})
    for number in range(2):
        stubber.add_response("delete_object", {}, {"Bucket": "reels", "Key": f"{FOLDER}v/{number}"})
    parts.discard()


def test_who_may_not_delete_is_told_which_right_is_missing(store: tuple[BucketParts, Stubber]) -> None:
    parts, stubber = store
    stubber.add_client_error("delete_objects", "AccessDenied", "no", 403)
    stubber.add_client_error("delete_object", "AccessDenied", "no", 403)
    with pytest.raises(StoreUnavailable, match=f"{FOLDER}: cannot delete: AccessDenied: allow s3:DeleteObject$"):
        parts.discard()


def test_folders_of_pieces_are_listed_by_rendition(bucket: S3Bucket) -> None:
    for folder in ("veo/.parts/abc/4k-0/", "veo/.parts/abc/result-0/", "veo/.parts/def/4k-1/"):
        bucket.parts(folder).keep("v", 0, b"piece")
        bucket.parts(folder).keep("v", 1, b"piece")
    assert bucket.list_parts("veo/.parts/") == ["abc/4k-0", "abc/result-0", "def/4k-1"]
    for folder in ("veo/.parts/abc/4k-0/", "veo/.parts/abc/result-0/", "veo/.parts/def/4k-1/"):
        bucket.parts(folder).discard()
    assert bucket.list_parts("veo/.parts/") == []
