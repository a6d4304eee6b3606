"""The bucket against a real S3 server, and against answers of stores that we cannot run here."""

import base64
import hashlib
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from botocore.model import OperationModel
from botocore.response import StreamingBody
from botocore.stub import Stubber

from app.adapters.bucket import S3Bucket, make_client
from app.domain.container import Media
from app.domain.errors import StoreUnavailable
from app.domain.ports import Download
from app.embedded import free_port, running, s3_environment, s3_server

BODY = bytes(range(256)) * 1000
KEY = "veo/abc/result-0.mp4"
PROBE = ".parts/checksum-probe"
KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}
METADATA = {"sha256": hashlib.sha256(BODY).hexdigest(), "task-id": "abc", "source-host": "video.example.com"}


def download(body: bytes = BODY) -> Download:
    return Download(
        file=io.BytesIO(body),
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        media=Media("video/mp4", "mp4", 1280, 720, 8.0),
        host="video.example.com",
    )


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of an S3 server with a bucket `reels`, and the folder behind it."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield port, folder / "data"


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever AWS settings the machine has play no part."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def bucket(s3: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    set_environment(monkeypatch, s3[0])
    bucket = S3Bucket("reels")
    bucket.client.delete_object(Bucket="reels", Key=KEY)
    yield bucket
    bucket.client.close()


def set_environment(monkeypatch: pytest.MonkeyPatch, port: int, **changed: str) -> None:
    for name, value in (s3_environment(port, **KEYS) | changed).items():
        monkeypatch.setenv(name, value)


@contextmanager
def altered_uploads(bucket: S3Bucket, changes: dict[str, object]) -> Iterator[None]:
    """For the length of a block, the client uploads with other parameters than it is told."""

    def alter(params: dict[str, object], **_: object) -> None:
        params.update(changes)

    bucket.client.meta.events.register("provide-client-params.s3.PutObject", alter, unique_id="alter")
    try:
        yield
    finally:
        bucket.client.meta.events.unregister("provide-client-params.s3.PutObject", unique_id="alter")


# A real server


def test_a_file_is_stored_byte_for_byte_with_its_type_and_metadata(bucket: S3Bucket, s3: tuple[int, Path]) -> None:
    bucket.put_file(KEY, download(), METADATA)
    head = bucket.client.head_object(Bucket="reels", Key=KEY)
    assert (s3[1] / "reels" / KEY).read_bytes() == BODY
    assert head["ContentType"] == "video/mp4"
    assert {name.lower(): value for name, value in head["Metadata"].items()} == METADATA


def test_a_file_is_stored_from_its_start_wherever_it_was_left(bucket: S3Bucket) -> None:
    some = download()
    some.file.read(1000)
    bucket.put_file(KEY, some, METADATA)


def test_storing_twice_is_harmless(bucket: S3Bucket) -> None:
    bucket.put_file(KEY, download(), METADATA)
    bucket.put_file(KEY, download(), METADATA)


def test_a_large_file_is_one_object_with_one_md5(bucket: S3Bucket, s3: tuple[int, Path], tmp_path: Path) -> None:
    large = BODY * 100  # 25 MB: past where uploaders begin to send parts
    (tmp_path / "4k.mp4").write_bytes(large)
    with (tmp_path / "4k.mp4").open("rb") as file:
        bucket.put_file("veo/abc/4k-0.mp4", replace(download(large), file=file), METADATA)
    head = bucket.client.head_object(Bucket="reels", Key="veo/abc/4k-0.mp4")
    assert head["ETag"] == f'"{hashlib.md5(large).hexdigest()}"'
    assert (s3[1] / "reels" / "veo/abc/4k-0.mp4").read_bytes() == large


def test_content_that_is_not_what_was_hashed_is_noticed(bucket: S3Bucket) -> None:
    other = replace(download(), file=io.BytesIO(b"\xff" + BODY[1:]))
    with pytest.raises(
        StoreUnavailable, match=rf"^bucket reels, {KEY}: not confirmed: what it has is not what was sent$"
    ):
        bucket.put_file(KEY, other, METADATA)


def test_a_wrong_sha256_is_not_confirmed_by_a_store_that_echoes_it(bucket: S3Bucket) -> None:
    wrong = replace(download(), sha256=hashlib.sha256(b"").hexdigest())
    with pytest.raises(StoreUnavailable, match="not confirmed"):
        bucket.put_file(KEY, wrong, METADATA)


def test_a_file_that_is_cut_on_its_way_is_noticed(bucket: S3Bucket) -> None:
    cut = {"ContentLength": 10, "Body": BODY[:10]}
    expected = f"{KEY}: not confirmed: what it has is not what was sent"
    with pytest.raises(StoreUnavailable, match=expected), altered_uploads(bucket, cut):
        bucket.put_file(KEY, download(), METADATA)


def probes(bucket: S3Bucket) -> list[str]:
    """The operations on the probe, from now on."""
    made: list[str] = []

    def note(params: dict[str, object], model: OperationModel, **_: object) -> None:
        if params.get("Key") == PROBE:
            made.append(model.name)

    bucket._quick_client().meta.events.register("provide-client-params.s3", note)
    return made


def test_a_store_that_takes_any_checksum_is_found_out_once_for_all_files(bucket: S3Bucket) -> None:
    made = probes(bucket)
    for number in range(3):
        bucket.put_file(f"probed/{number}.mp4", download(), METADATA)
    assert made == ["PutObject", "DeleteObject"]
    assert not bucket.compares_checksums()
    assert not bucket.has(PROBE)


def test_a_store_is_found_out_once_for_all_threads_and_none_waits_for_that(bucket: S3Bucket) -> None:
    made, others_are_done = probes(bucket), threading.Event()

    def hold(params: dict[str, object], **_: object) -> None:
        assert params.get("Key") != PROBE or others_are_done.wait(60)

    bucket._quick_client().meta.events.register("provide-client-params.s3.PutObject", hold)
    with ThreadPoolExecutor(8) as threads:
        storing = [
            threads.submit(bucket.put_file, f"at-once/{number}.mp4", download(), METADATA) for number in range(8)
        ]
        finished = as_completed(storing, 60)
        for _ in range(7):
            next(finished).result()
        others_are_done.set()
        next(finished).result()
    assert made == ["PutObject", "DeleteObject"]


def test_what_a_probe_leaves_where_nothing_may_be_deleted_does_no_harm(bucket: S3Bucket) -> None:
    def refuse(model: OperationModel, **_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied"}}, model.name)

    bucket._quick_client().meta.events.register("before-call.s3.DeleteObject", refuse)
    bucket.put_file(KEY, download(), METADATA)
    assert bucket.has(PROBE)
    bucket.put_file(KEY, download(), METADATA)


def test_json_is_stored_read_and_listed(bucket: S3Bucket) -> None:
    bucket.put_json("json/a/manifest.json", '{"name": "Überfall"}')
    bucket.put_json("json/b/manifest.json", "{}")
    assert bucket.get_json("json/a/manifest.json") == '{"name": "Überfall"}'
    assert bucket.get_json("json/c/manifest.json") is None
    assert list(bucket.keys("json/")) == ["json/a/manifest.json", "json/b/manifest.json"]
    assert list(bucket.keys("nothing/")) == []
    head = bucket.client.head_object(Bucket="reels", Key="json/a/manifest.json")
    assert head["ContentType"] == "application/json"


def test_many_threads_share_one_bucket_and_make_one_client(bucket: S3Bucket) -> None:
    barrier, clients = threading.Barrier(8), set()

    def one(number: int) -> None:
        barrier.wait()
        clients.add(id(bucket.client))
        bucket.put_file(f"many/{number}.mp4", download(), METADATA)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(8)))
    assert len(clients) == 1
    assert len(list(bucket.keys("many/"))) == 8


def test_a_reachable_bucket_passes_the_check(bucket: S3Bucket) -> None:
    bucket.check()


# What can be wrong with the set-up


def test_a_bucket_that_does_not_exist_is_named(bucket: S3Bucket) -> None:
    other = S3Bucket("nowhere", bucket.client)
    with pytest.raises(StoreUnavailable, match=r"^bucket nowhere: there is no such bucket: make it"):
        other.check()
    with pytest.raises(StoreUnavailable, match=rf"^bucket nowhere, {KEY}: cannot store: NoSuchBucket$"):
        other.put_file(KEY, download(), METADATA)
    with pytest.raises(StoreUnavailable, match=r"cannot read: NoSuchBucket"):
        other.get_json("x.json")
    with pytest.raises(StoreUnavailable, match=r"cannot list: NoSuchBucket"):
        list(other.keys("x"))


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_named_and_not_shown(s3: tuple[int, Path], monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    set_environment(monkeypatch, s3[0], **{wrong: "b1g-secret"})
    bucket = S3Bucket("reels")
    with pytest.raises(StoreUnavailable, match="access refused: check AWS_ACCESS_KEY_ID") as checked:
        bucket.check()
    with pytest.raises(StoreUnavailable, match="cannot store: 403: access refused: check AWS_ACCESS") as put:
        bucket.put_file(KEY, download(), METADATA)
    assert "b1g-secret" not in f"{checked.value} {put.value}"
    bucket.client.close()


def test_missing_keys_are_named(s3: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, s3[0])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreUnavailable, match="no credentials: set AWS_ACCESS_KEY_ID"):
        S3Bucket("reels").check()


def test_a_server_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    set_environment(monkeypatch, port)
    bucket = S3Bucket("reels")
    with pytest.raises(
        StoreUnavailable, match=f"nothing answers at http://127.0.0.1:{port}: check AWS_ENDPOINT_URL_S3"
    ):
        bucket.check()
    with pytest.raises(StoreUnavailable, match=f"bucket reels, {KEY}: cannot store: EndpointConnectionError"):
        bucket.put_file(KEY, download(), METADATA)


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[::1", "ftp://127.0.0.1"])
def test_a_malformed_endpoint_is_an_error_of_the_store(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    set_environment(monkeypatch, 1, AWS_ENDPOINT_URL_S3=endpoint)
    bucket = S3Bucket("reels")
    with pytest.raises(StoreUnavailable):
        bucket.check()
    with pytest.raises(StoreUnavailable):
        bucket.put_json("x.json", "{}")


def test_aws_is_addressed_by_name_and_other_stores_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def url() -> str:
        client = make_client()
        address = client.generate_presigned_url("get_object", {"Bucket": "reels", "Key": "k"}).partition("?")[0]
        client.close()
        return address

    set_environment(monkeypatch, 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://store.example.com")
    assert url() == "https://store.example.com/reels/k"
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert url() == "https://reels.s3.amazonaws.com/k"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert url() == "https://reels.s3.amazonaws.com/k"


# What other stores answer


def base64_sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


#: what HEAD answers of a file that is there
GOOD = {"ContentLength": len(BODY), "ChecksumSHA256": base64_sha256(BODY)}


@pytest.fixture
def store() -> Iterator[tuple[S3Bucket, Stubber]]:
    """A bucket whose store answers what it is told to, in order."""
    client = boto3.session.Session("id", "secret", region_name="us-east-1").client("s3")
    with Stubber(client) as stubber:
        yield S3Bucket("reels", client), stubber
        stubber.assert_no_pending_responses()
    client.close()


@pytest.fixture
def believed(store: tuple[S3Bucket, Stubber]) -> tuple[S3Bucket, Stubber]:
    """The same, of a store that has refused a wrong checksum."""
    store[1].add_client_error("put_object", "BadDigest", "no", 400)
    assert store[0].compares_checksums()
    return store


@pytest.fixture
def doubted(store: tuple[S3Bucket, Stubber]) -> tuple[S3Bucket, Stubber]:
    """The same, of a store that knows no checksums."""
    store[1].add_client_error("put_object", "NotImplemented", "no", 501)
    assert not store[0].compares_checksums()
    return store


def absent(stubber: Stubber) -> None:
    """There is no object yet."""
    stubber.add_client_error("head_object", "404", "Not Found", 404)


def body(content: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(content), len(content))


def test_the_upload_carries_its_length_type_and_checksum(believed: tuple[S3Bucket, Stubber]) -> None:
    store = believed
    expected = {"ContentLength": len(BODY), "ContentType": "video/mp4", "ChecksumSHA256": base64_sha256(BODY)}
    where = {"Bucket": "reels", "Key": KEY}
    absent(store[1])
    store[1].add_response("put_object", {}, where | expected | {"Body": BODY, "Metadata": METADATA, "IfNoneMatch": "*"})
    store[1].add_response("head_object", GOOD, where | {"ChecksumMode": "ENABLED"})
    store[0].put_file(KEY, download(), METADATA)


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch"])
def test_a_store_that_refuses_a_wrong_checksum_is_believed(store: tuple[S3Bucket, Stubber], code: str) -> None:
    bucket, stubber = store
    absent(stubber)
    stubber.add_response("put_object", {})
    probe = {"Bucket": "reels", "Key": PROBE, "Body": b"probe", "ChecksumSHA256": base64_sha256(b"")}
    stubber.add_client_error("put_object", code, "no", 400, expected_params=probe)
    stubber.add_response("head_object", GOOD)
    bucket.put_file(KEY, download(), METADATA)
    for _ in range(2):  # and is not asked again
        absent(stubber)
        stubber.add_response("put_object", {})
        stubber.add_response("head_object", GOOD)
        bucket.put_file(KEY, download(), METADATA)


def test_what_a_believed_store_has_already_is_not_read_back(believed: tuple[S3Bucket, Stubber]) -> None:
    believed[1].add_response("head_object", GOOD | {"ETag": '"0123"', "Metadata": METADATA})
    believed[0].put_file(KEY, download(), METADATA)


@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("NotImplemented", 501), ("InvalidRequest", 400)])
def test_a_store_that_refuses_the_probe_for_other_reasons_is_not_believed(
    store: tuple[S3Bucket, Stubber], code: str, status: int
) -> None:
    bucket, stubber = store
    absent(stubber)
    stubber.add_response("put_object", {})
    stubber.add_client_error("put_object", code, "no", status)
    stubber.add_response("get_object", {"Body": body(BODY)})
    bucket.put_file(KEY, download(), METADATA)
    absent(stubber)
    stubber.add_response("put_object", {})
    stubber.add_response("get_object", {"Body": body(BODY)})
    bucket.put_file(KEY, download(), METADATA)


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500)])
def test_a_store_that_has_other_troubles_is_not_believed_this_time_and_asked_anew(
    store: tuple[S3Bucket, Stubber], code: str, status: int
) -> None:
    bucket, stubber = store
    absent(stubber)
    stubber.add_response("put_object", {})
    stubber.add_client_error("put_object", code, "no", status)
    stubber.add_response("get_object", {"Body": body(BODY)})
    bucket.put_file(KEY, download(), METADATA)
    stubber.add_client_error("put_object", "BadDigest", "no", 400)
    assert bucket.compares_checksums()


def test_a_store_that_is_away_when_it_is_probed_is_asked_anew_next_time(store: tuple[S3Bucket, Stubber]) -> None:
    bucket, stubber = store

    def fail(params: dict[str, object], **_: object) -> None:
        if params["Key"] == PROBE:
            raise ConnectTimeoutError(endpoint_url="x")

    events, event = bucket.client.meta.events, "provide-client-params.s3.PutObject"
    events.register(event, fail, unique_id="fail")
    absent(stubber)
    stubber.add_response("put_object", {})
    with pytest.raises(StoreUnavailable, match=f"{KEY}: cannot store: ConnectTimeoutError$"):
        bucket.put_file(KEY, download(), METADATA)
    events.unregister(event, unique_id="fail")
    stubber.add_response("head_object", GOOD | {"ETag": '"0123"', "Metadata": METADATA})
    stubber.add_client_error("put_object", "BadDigest", "no", 400)
    bucket.put_file(KEY, download(), METADATA)


@pytest.mark.parametrize(
    "proof",
    [
        {},
        {"ETag": '"0123"', "ServerSideEncryption": "aws:kms"},
        {"ETag": f'"{hashlib.md5(BODY).hexdigest()}"'},
        {"ChecksumSHA256": base64_sha256(b"")},
        {"ChecksumSHA256": f"{base64_sha256(BODY)}-1"},
    ],
    ids=["nothing", "encrypted", "MD5", "another", "of parts"],
)
@pytest.mark.parametrize("intact", [True, False])
def test_what_a_believed_store_does_not_vouch_for_is_read_back(
    believed: tuple[S3Bucket, Stubber], proof: dict[str, str], intact: bool
) -> None:
    absent(believed[1])
    believed[1].add_response("put_object", {})
    believed[1].add_response("head_object", {"ContentLength": len(BODY)} | proof)
    read_back(believed, intact)


@pytest.mark.parametrize("intact", [True, False])
def test_the_word_of_a_store_that_compares_nothing_is_not_asked_for(
    doubted: tuple[S3Bucket, Stubber], intact: bool
) -> None:
    absent(doubted[1])
    doubted[1].add_response("put_object", {})
    read_back(doubted, intact)


@pytest.mark.parametrize("intact", [True, False])
def test_what_such_a_store_has_already_is_read_whatever_it_says(
    doubted: tuple[S3Bucket, Stubber], intact: bool
) -> None:
    doubted[1].add_response("head_object", GOOD | {"ETag": '"0123"', "Metadata": METADATA})
    doubted[1].add_response("get_object", {"Body": body(BODY if intact else b"?")})
    if not intact:
        doubted[1].add_response("put_object", {})
        doubted[1].add_response("get_object", {"Body": body(BODY)})
    doubted[0].put_file(KEY, download(), METADATA)


def with_md5() -> Download:
    return replace(download(), md5=hashlib.md5(BODY).hexdigest())


def test_an_answer_that_names_the_md5_confirms_whatever_the_store_compares(store: tuple[S3Bucket, Stubber]) -> None:
    absent(store[1])
    store[1].add_response("put_object", {"ETag": f'"{with_md5().md5}"'})
    store[0].put_file(KEY, with_md5(), METADATA)


def test_another_md5_confirms_nothing(doubted: tuple[S3Bucket, Stubber]) -> None:
    absent(doubted[1])
    doubted[1].add_response("put_object", {"ETag": '"0123"'})
    doubted[1].add_response("get_object", {"Body": body(BODY[:-1] + b"?")})
    with pytest.raises(StoreUnavailable, match="not confirmed: what it has is not what was sent"):
        doubted[0].put_file(KEY, with_md5(), METADATA)


def test_what_is_there_is_known_by_its_md5_too(store: tuple[S3Bucket, Stubber]) -> None:
    head = {"ContentLength": len(BODY), "ETag": f'"{with_md5().md5}"', "Metadata": METADATA}
    store[1].add_response("head_object", head)
    store[0].put_file(KEY, with_md5(), METADATA)


def test_an_md5_is_wanted_where_nothing_is_compared(doubted: tuple[S3Bucket, Stubber]) -> None:
    assert doubted[0].wants_md5()


def test_no_md5_is_wanted_where_checksums_are_compared(believed: tuple[S3Bucket, Stubber]) -> None:
    assert not believed[0].wants_md5()


def test_while_the_store_is_away_an_md5_is_wanted(store: tuple[S3Bucket, Stubber]) -> None:
    store[1].add_client_error("put_object", "SlowDown", "no", 503)
    assert store[0].wants_md5()
    store[1].add_client_error("put_object", "BadDigest", "no", 400)
    assert not store[0].wants_md5()


def test_a_store_that_cannot_be_reached_stops_no_download() -> None:
    client = boto3.session.Session("id", "secret", region_name="us-east-1").client(
        "s3", endpoint_url=f"http://127.0.0.1:{free_port()}"
    )
    with closing(client):
        assert S3Bucket("reels", client).wants_md5()


def test_rclone_confirms_with_its_md5_and_nothing_is_read_back(bucket: S3Bucket) -> None:
    made: list[str] = []
    bucket.client.meta.events.register("provide-client-params.s3", lambda model, **_: made.append(model.name))
    bucket.put_file("veo/md5/result-0.mp4", with_md5(), METADATA)
    assert made == ["HeadObject", "PutObject"]


def read_back(store: tuple[S3Bucket, Stubber], intact: bool) -> None:
    """Store a file that is read back, and is or is not what was sent."""
    store[1].add_response("get_object", {"Body": body(BODY if intact else BODY[:-1] + b"?")})
    if intact:
        store[0].put_file(KEY, download(), METADATA)
    else:
        with pytest.raises(StoreUnavailable, match="not confirmed: what it has is not what was sent"):
            store[0].put_file(KEY, download(), METADATA)


def test_an_object_of_another_length_is_not_confirmed(believed: tuple[S3Bucket, Stubber]) -> None:
    absent(believed[1])
    believed[1].add_response("put_object", {})
    believed[1].add_response("head_object", GOOD | {"ContentLength": 10})
    expected = f"{KEY}: not confirmed: it has 10 bytes where {len(BODY)} were sent$"
    with pytest.raises(StoreUnavailable, match=expected):
        believed[0].put_file(KEY, download(), METADATA)


def test_an_object_that_is_cut_short_when_read_back_is_not_confirmed(doubted: tuple[S3Bucket, Stubber]) -> None:
    absent(doubted[1])
    doubted[1].add_response("put_object", {})
    doubted[1].add_response("get_object", {"Body": StreamingBody(io.BytesIO(BODY[:-1]), len(BODY))})
    with pytest.raises(StoreUnavailable, match="cannot store: IncompleteReadError"):
        doubted[0].put_file(KEY, download(), METADATA)


def test_an_object_that_was_confirmed_and_is_not_there_is_not_stored(believed: tuple[S3Bucket, Stubber]) -> None:
    absent(believed[1])
    believed[1].add_response("put_object", {})
    absent(believed[1])
    with pytest.raises(StoreUnavailable, match=f"{KEY}: not confirmed: it is not there$"):
        believed[0].put_file(KEY, download(), METADATA)


def test_an_object_that_is_not_there_to_be_read_back_is_not_stored(doubted: tuple[S3Bucket, Stubber]) -> None:
    absent(doubted[1])
    doubted[1].add_response("put_object", {})
    doubted[1].add_client_error("get_object", "NoSuchKey", "no", 404)
    with pytest.raises(StoreUnavailable, match=f"{KEY}: cannot store: NoSuchKey$"):
        doubted[0].put_file(KEY, download(), METADATA)


def test_json_is_confirmed_by_the_md5_that_the_store_answers(store: tuple[S3Bucket, Stubber]) -> None:
    store[1].add_response("put_object", {"ETag": f'"{hashlib.md5(b"{}").hexdigest()}"'})
    store[0].put_json("x.json", "{}")


@pytest.mark.parametrize("answer", [{}, {"ETag": '"0123"'}])
def test_json_without_that_is_read_back(store: tuple[S3Bucket, Stubber], answer: dict[str, str]) -> None:
    store[1].add_response("put_object", answer)
    store[1].add_response("get_object", {"Body": body(b"{}")})
    store[0].put_json("x.json", "{}")
    store[1].add_response("put_object", answer)
    store[1].add_response("get_object", {"Body": body(b"{]")})
    with pytest.raises(StoreUnavailable, match="not confirmed: what it has is not what was sent"):
        store[0].put_json("x.json", "{}")
    store[1].add_response("put_object", answer)
    store[1].add_client_error("get_object", "NoSuchKey", "no", 404)
    with pytest.raises(StoreUnavailable, match="cannot store: NoSuchKey"):
        store[0].put_json("x.json", "{}")


@pytest.mark.parametrize("code", ["SlowDown", "InternalError"])
def test_what_the_store_says_is_named(store: tuple[S3Bucket, Stubber], code: str) -> None:
    absent(store[1])
    store[1].add_client_error("put_object", code, "no", 503)
    with pytest.raises(StoreUnavailable, match=f"bucket reels, {KEY}: cannot store: {code}$"):
        store[0].put_file(KEY, download(), METADATA)


def test_the_right_that_a_refused_request_needs_is_named(store: tuple[S3Bucket, Stubber]) -> None:
    absent(store[1])
    store[1].add_client_error("put_object", "AccessDenied", "no", 403)
    with pytest.raises(StoreUnavailable, match=f"{KEY}: cannot store: AccessDenied: allow s3:PutObject$"):
        store[0].put_file(KEY, download(), METADATA)


def test_what_may_be_there_and_not_be_seen_is_not_written_over(store: tuple[S3Bucket, Stubber]) -> None:
    store[1].add_client_error(
        "head_object", "403", "Forbidden", 403
    )  # without s3:ListBucket: also of what is not there
    with pytest.raises(StoreUnavailable, match=r"cannot store: 403: .* list the bucket \(s3:ListBucket\)$"):
        store[0].put_file(KEY, download(), METADATA)


def test_a_refusal_to_read_is_not_taken_for_absence(store: tuple[S3Bucket, Stubber]) -> None:
    store[1].add_client_error("get_object", "AccessDenied", "no", 403)
    with pytest.raises(StoreUnavailable, match="cannot read: AccessDenied"):
        store[0].get_json("x.json")


@pytest.mark.parametrize(
    ("code", "remedy"), [("301", "another region"), ("400", "AWS_DEFAULT_REGION"), ("500", "answered 500")]
)
def test_the_check_says_what_to_mend(store: tuple[S3Bucket, Stubber], code: str, remedy: str) -> None:
    store[1].add_client_error("head_bucket", code, "no", int(code))
    with pytest.raises(StoreUnavailable, match=remedy):
        store[0].check()
