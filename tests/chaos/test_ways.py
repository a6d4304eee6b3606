"""The bad way to the bucket and the load balancer do what a run relies on."""

import hashlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from app.embedded import Service, free_port, running, s3_server
from tests.support.s3_faults import Shares, Way, make_server
from tests.support.waiting import wait_for

KEYS = {"access_key": "way-access", "secret_key": "way-secret"}
BODY = os.urandom(100_000)


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["b"], **KEYS), folder / "s3.log"):
        yield port


@pytest.fixture
def way(s3_port: int) -> Way:
    return Way(s3_port, seed=1)


@pytest.fixture
def way_port(way: Way) -> Iterator[int]:
    server = make_server(0, way)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def client(port: int, read: float = 10) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=read, request_checksum_calculation="when_required"
        ),
    )


@pytest.fixture
def s3(way_port: int) -> Any:
    return client(way_port)


def put(s3: Any, key: str) -> None:
    s3.put_object(Bucket="b", Key=key, Body=BODY)


def kept(s3_port: int, key: str) -> bytes | None:
    """What the endpoint itself has."""
    direct = client(s3_port)
    try:
        return bytes(direct.get_object(Bucket="b", Key=key)["Body"].read())
    except direct.exceptions.NoSuchKey:
        return None


def test_a_good_way_changes_nothing(way: Way, s3: Any, s3_port: int) -> None:
    put(s3, "good")
    assert kept(s3_port, "good") == BODY
    assert s3.get_object(Bucket="b", Key="good")["Body"].read() == BODY
    head = s3.head_object(Bucket="b", Key="good")
    assert (head["ContentLength"], head["ETag"].strip('"')) == (len(BODY), hashlib.md5(BODY).hexdigest())
    assert "good" in [row["Key"] for row in s3.list_objects_v2(Bucket="b")["Contents"]]
    s3.delete_object(Bucket="b", Key="good")
    assert kept(s3_port, "good") is None
    assert not way.served


def test_errors_are_those_of_s3_and_say_nothing_about_what_was_done(way: Way, s3: Any, s3_port: int) -> None:
    way.shares = Shares(errors=1)
    codes = set()
    for number in range(20):
        with pytest.raises(ClientError) as refused:
            put(s3, f"error-{number}")
        codes.add(refused.value.response["Error"]["Code"])
    assert codes == {"InternalError", "SlowDown"}
    assert {kept(s3_port, f"error-{number}") is None for number in range(20)} == {True, False}


def test_resets_come_at_once_half_way_and_afterwards(way: Way, s3: Any, s3_port: int) -> None:
    way.shares = Shares(resets=1)
    for number in range(20):
        with pytest.raises((BotoCoreError, HTTPClientError)):
            put(s3, f"reset-{number}")
    assert {kept(s3_port, f"reset-{number}") for number in range(20)} == {None, BODY}, "never half a file"


def test_a_garbled_object_is_confirmed_and_another(way: Way, s3: Any, s3_port: int) -> None:
    way.shares = Shares(garbled=1)
    put(s3, "garbled")
    found = kept(s3_port, "garbled")
    assert found is not None
    assert (len(found), found == BODY) == (len(BODY), False)


def test_a_lost_object_is_confirmed_and_not_there(way: Way, s3: Any, s3_port: int) -> None:
    way.shares = Shares(lost=1)
    put(s3, "lost")
    assert kept(s3_port, "lost") is None


def test_a_stall_holds_the_answer_back(way: Way, way_port: int, s3_port: int) -> None:
    way.shares = Shares(stalls=1, stall=30)
    impatient = client(way_port, read=0.5)
    with pytest.raises(HTTPClientError):
        put(impatient, "stalled")
    assert kept(s3_port, "stalled") == BODY


def test_an_outage_cuts_everything(way: Way, s3: Any) -> None:
    way.shares = Shares(outage=True)
    with pytest.raises(BotoCoreError):
        s3.head_bucket(Bucket="b")
    way.shares = Shares()
    s3.head_bucket(Bucket="b")


def test_faults_are_set_and_counted_over_http(way_port: int, s3: Any) -> None:
    url = f"http://127.0.0.1:{way_port}/_faults"
    assert requests.post(url, json={"lost": 1}, timeout=5).json()["shares"]["lost"] == 1
    put(s3, "counted")
    assert requests.get(url, timeout=5).json()["served"] == {"lost": 1}


# --- the load balancer -----------------------------------------------------------------------------------------------------


class Echo:
    """A server that says who it is."""

    def __init__(self, name: bytes) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._name = name
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.sendall(self._name)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def test_connections_go_to_each_in_turn_and_past_one_that_is_down(tmp_path: Path) -> None:
    one, other, port = Echo(b"one"), Echo(b"other"), free_port()
    argv = (sys.executable, "-m", "tests.support.balancer", "--port", str(port), str(one.port), str(other.port))

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(16)

    def listens() -> bool:
        try:
            return bool(ask())
        except OSError:
            return False

    with running(Service("balancer", argv, os.environ, listens), tmp_path / "log"):
        assert sorted(ask() for _ in range(10)) == [b"one"] * 5 + [b"other"] * 5
        other.close()
        assert {ask() for _ in range(10)} == {b"one"}
        one.close()
        wait_for(lambda: ask() == b"")
