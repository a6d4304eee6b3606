"""One key, one file: what is there already is not sent again, what is damaged is replaced, and another file is left alone."""

import base64
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from app.adapters.bucket import S3Bucket
from app.domain.container import Media, inspect
from app.domain.errors import StoreConflict, StoreUnavailable
from app.domain.ports import Download, Stored
from app.embedded import free_port, running, s3_environment, s3_server
from tests.support.films import box

MEDIA = Path(__file__).parents[1] / "media"
VIDEO, OTHER = (MEDIA / "result-720p.mp4").read_bytes(), (MEDIA / "origin-720p-portrait.mp4").read_bytes()
JPEG = (MEDIA / "preview.jpg").read_bytes()
KEY = "veo/abc/result-0.mp4"
KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}


def sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def download(body: bytes = VIDEO, *, picture: bool = False) -> Download:
    media = inspect(io.BytesIO(body), len(body), picture=picture)
    return Download(io.BytesIO(body), len(body), sha(body), media, "video.example.com")


def facts(body: bytes = VIDEO) -> dict[str, str]:
    return {"sha256": sha(body), "task-id": "abc", "source-host": "video.example.com"}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield port


@pytest.fixture
def bucket(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator["Watched"]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_environment(port, **KEYS).items():
        monkeypatch.setenv(name, value)
    bucket = Watched("reels")
    bucket.client.delete_object(Bucket="reels", Key=KEY)
    yield bucket
    bucket.client.close()


class Watched(S3Bucket):
    """A bucket whose requests are counted."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[str] = []
        self.client.meta.events.register("before-call.s3", lambda model, **_: self.calls.append(model.name))

    def lay(self, body: bytes, metadata: dict[str, str], key: str = KEY) -> None:
        """Something is in the bucket before the test begins."""
        self.client.put_object(Bucket="reels", Key=key, Body=body, Metadata=metadata)
        self.calls.clear()

    def content(self, key: str = KEY) -> tuple[bytes, dict[str, str]]:
        answer = self.client.get_object(Bucket="reels", Key=key)
        return answer["Body"].read(), {name.lower(): value for name, value in answer["Metadata"].items()}


def test_a_file_that_is_there_is_not_sent_again(bucket: Watched) -> None:
    bucket.put_file(KEY, download(), facts())
    bucket.calls.clear()
    bucket.put_file(KEY, download(), facts())
    assert bucket.calls == ["HeadObject", "GetObject"]  # rclone's word proves nothing


@pytest.mark.parametrize(
    "metadata", [{}, {"sha256": sha(OTHER)}, {"sha256": "nonsense"}], ids=["nothing", "another", "nonsense"]
)
def test_the_same_bytes_get_the_metadata_that_they_lack(bucket: Watched, metadata: dict[str, str]) -> None:
    bucket.lay(VIDEO, metadata)
    bucket.put_file(KEY, download(), facts())
    assert bucket.content() == (VIDEO, facts())


@pytest.mark.parametrize(
    "damaged",
    [b"", VIDEO[:1000], VIDEO[:-1], VIDEO[:-1] + b"\x00", VIDEO + b"?", OTHER],
    ids=["empty", "cut", "cut at the end", "one byte changed", "one byte more", "another file"],
)
def test_an_upload_of_the_same_file_that_went_wrong_is_replaced(bucket: Watched, damaged: bytes) -> None:
    bucket.lay(damaged, facts())
    bucket.put_file(KEY, download(), facts())
    assert bucket.content() == (VIDEO, facts())


@pytest.mark.parametrize("damaged", [OTHER[:-9], OTHER[:-1] + b"\x00"])
def test_a_damaged_upload_of_another_file_is_replaced(bucket: Watched, damaged: bytes) -> None:
    bucket.lay(damaged, facts(OTHER))
    bucket.put_file(KEY, download(), facts())
    assert bucket.content() == (VIDEO, facts())


@pytest.mark.parametrize("damaged", [b"", VIDEO[:5000], b"<html>sorry</html>"])
def test_what_nobody_vouches_for_and_is_no_whole_video_is_replaced(bucket: Watched, damaged: bytes) -> None:
    bucket.lay(damaged, {})
    bucket.put_file(KEY, download(), facts())
    assert bucket.content() == (VIDEO, facts())


@pytest.mark.parametrize("metadata", [facts(OTHER), {"sha256": sha(OTHER)}, {}], ids=["ours", "a hash", "nothing"])
def test_another_sound_file_is_a_conflict_and_stays_as_it_is(bucket: Watched, metadata: dict[str, str]) -> None:
    bucket.lay(OTHER, metadata)
    with pytest.raises(StoreConflict) as raised:
        bucket.put_file(KEY, download(), facts())
    text = str(raised.value)
    assert text.startswith(
        f"bucket reels, {KEY}: conflict: it holds another file ({len(OTHER)} bytes, SHA-256 {sha(OTHER)[:16]}"
    )
    assert f"({len(VIDEO)} bytes, SHA-256 {sha(VIDEO)[:16]}…); nothing was overwritten" in text
    assert "PutObject" not in bucket.calls
    assert bucket.content() == (OTHER, metadata)


def test_a_file_of_the_same_length_is_still_another(bucket: Watched) -> None:
    filler = box(b"free", bytes(len(VIDEO) - len(OTHER) - 8))
    bucket.lay(OTHER + filler, facts(OTHER + filler))
    with pytest.raises(StoreConflict):
        bucket.put_file(KEY, download(), facts())


def test_another_sound_picture_is_a_conflict_too(bucket: Watched) -> None:
    bucket.lay(JPEG, {})
    with pytest.raises(StoreConflict):
        bucket.put_file(KEY, download(JPEG + bytes(2), picture=True), facts(JPEG + bytes(2)))


def test_a_retry_after_the_other_file_was_moved_away_stores(bucket: Watched) -> None:
    bucket.lay(OTHER, facts(OTHER))
    with pytest.raises(StoreConflict):
        bucket.put_file(KEY, download(), facts())
    bucket.client.delete_object(Bucket="reels", Key=KEY)
    bucket.put_file(KEY, download(), facts())
    assert bucket.content() == (VIDEO, facts())


# What a killed worker has left


def test_a_whole_file_of_ours_is_found_with_what_it_is(bucket: Watched) -> None:
    bucket.put_file(KEY, download(), facts())
    assert bucket.find_file(KEY, "abc") == Stored(
        len(VIDEO), sha(VIDEO), Media("video/mp4", "mp4", 1280, 720, 2.0, True)
    )


@pytest.mark.parametrize(
    ("body", "metadata"),
    [
        (VIDEO, {}),
        (VIDEO, facts() | {"task-id": "other"}),
        (VIDEO, facts(OTHER)),
        (VIDEO[:-1], facts()),
        (VIDEO[:-1], facts(VIDEO[:-1])),
        (JPEG, facts(JPEG)),
    ],
    ids=["unsigned", "another's", "changed", "cut", "cut before it was hashed", "no video"],
)
def test_what_is_not_whole_or_not_ours_is_not_found(bucket: Watched, body: bytes, metadata: dict[str, str]) -> None:
    bucket.lay(body, metadata)
    assert bucket.find_file(KEY, "abc") is None


def test_what_is_not_there_is_not_found(bucket: Watched) -> None:
    assert bucket.find_file(KEY, "abc") is None


def test_a_bucket_that_cannot_be_asked_has_not_said_that_nothing_is_there() -> None:
    client = boto3.session.Session("id", "secret", region_name="us-east-1").client("s3")
    with Stubber(client) as stubber:
        stubber.add_client_error("head_object", "503", "no", 503)
        with pytest.raises(StoreUnavailable, match=r"cannot look for: 503$"):
            S3Bucket("reels", client).find_file(KEY, "abc")
    client.close()


# Stores that heed the conditions of a PUT


@pytest.fixture
def store() -> Iterator[tuple[S3Bucket, Stubber]]:
    """A bucket whose store answers what it is told to, in order. It is known to compare checksums."""
    client = boto3.session.Session("id", "secret", region_name="us-east-1").client("s3")
    with Stubber(client) as stubber:
        bucket = S3Bucket("reels", client)
        stubber.add_client_error("put_object", "BadDigest", "no", 400)
        assert bucket.compares_checksums()
        yield bucket, stubber
        stubber.assert_no_pending_responses()
    client.close()


def head(body: bytes, **metadata: str) -> dict[str, object]:
    checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return {"ContentLength": len(body), "ETag": f'"{sha(body)}"', "ChecksumSHA256": checksum, "Metadata": metadata}


def absent(stubber: Stubber) -> None:
    stubber.add_client_error("head_object", "404", "Not Found", 404)


def sent_conditions(bucket: S3Bucket) -> list[dict[str, str]]:
    """The conditions of each PUT, as they go out."""
    sent: list[dict[str, str]] = []

    def note(params: dict[str, object], **_: object) -> None:
        sent.append({name: str(params[name]) for name in params if name.startswith("If")})

    bucket.client.meta.events.register("provide-client-params.s3.PutObject", note)
    return sent


def test_a_new_object_is_put_only_where_there_is_none(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    sent = sent_conditions(bucket)
    absent(stubber)
    stubber.add_response("put_object", {})
    stubber.add_response("head_object", head(VIDEO))
    bucket.put_file(KEY, download(), facts())
    assert sent == [{"IfNoneMatch": "*"}]


def test_a_damaged_object_is_replaced_only_if_it_is_still_that(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    sent = sent_conditions(bucket)
    stubber.add_response("head_object", head(b"cut", sha256=sha(VIDEO)))
    stubber.add_response("put_object", {})
    stubber.add_response("head_object", head(VIDEO))
    bucket.put_file(KEY, download(), facts())
    assert sent == [{"IfMatch": f'"{sha(b"cut")}"'}]


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_an_answer_that_was_lost_counts_once_the_object_is_seen(store: tuple[S3Bucket, Stubber], code: str) -> None:
    bucket, stubber = store
    absent(stubber)
    stubber.add_client_error("put_object", code, "no", 412)
    stubber.add_response("head_object", head(VIDEO, sha256=sha(VIDEO)))
    bucket.put_file(KEY, download(), facts())


def test_another_file_that_came_in_between_is_a_conflict(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    absent(stubber)
    stubber.add_client_error("put_object", "PreconditionFailed", "no", 412)
    stubber.add_response("head_object", head(OTHER, Sha256=sha(OTHER)))
    stubber.add_response("get_object", {"Body": StreamingBody(io.BytesIO(OTHER), len(OTHER))})
    with pytest.raises(StoreConflict):
        bucket.put_file(KEY, download(), facts())


def test_a_damaged_object_that_is_gone_meanwhile_is_made_anew(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    sent = sent_conditions(bucket)
    stubber.add_response("head_object", head(b"cut", sha256=sha(VIDEO)))
    stubber.add_client_error("put_object", "NoSuchKey", "no", 404)
    absent(stubber)
    stubber.add_response("put_object", {})
    stubber.add_response("head_object", head(VIDEO))
    bucket.put_file(KEY, download(), facts())
    assert sent[1] == {"IfNoneMatch": "*"}


def test_a_key_that_others_keep_writing_is_left_for_later(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    for _ in range(3):
        absent(stubber)
        stubber.add_client_error("put_object", "PreconditionFailed", "no", 412)
    with pytest.raises(StoreUnavailable, match="not confirmed: others keep writing it"):
        bucket.put_file(KEY, download(), facts())


@pytest.mark.parametrize(("code", "status"), [("NotImplemented", 501), ("InvalidArgument", 400)])
def test_a_store_that_knows_no_conditions_is_asked_for_them_once(
    store: tuple[S3Bucket, Stubber], code: str, status: int
) -> None:
    bucket, stubber = store
    sent = sent_conditions(bucket)
    absent(stubber)
    stubber.add_client_error("put_object", code, "no", status)
    for _ in range(2):
        stubber.add_response("put_object", {})
        stubber.add_response("head_object", head(VIDEO))
        absent(stubber)
    stubber.add_client_error("put_object", "InvalidArgument", "no", 400)
    bucket.put_file(KEY, download(), facts())
    bucket.put_file(KEY, download(), facts())
    assert sent == [{"IfNoneMatch": "*"}, {}, {}]
    with pytest.raises(StoreUnavailable, match="cannot store: InvalidArgument"):
        bucket.put_file(KEY, download(), facts())


def test_an_object_that_cannot_be_read_is_not_taken_for_damaged(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store
    stubber.add_response("head_object", head(OTHER, sha256=sha(OTHER)))
    stubber.add_response("get_object", {"Body": StreamingBody(io.BytesIO(OTHER[:99]), len(OTHER))})
    with pytest.raises(StoreUnavailable, match="cannot store: IncompleteReadError"):
        bucket.put_file(KEY, download(), facts())
