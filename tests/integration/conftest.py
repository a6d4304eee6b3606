"""What the integration tests share: the ledger on a real redis-server, a plain client to look behind it, the command line."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from app.adapters.bucket import S3Bucket
from app.adapters.redis_ledger import RedisLedger
from app.embedded import free_port, running, s3_environment, s3_server

KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}


@pytest.fixture
def ledger(redis_url: str) -> Iterator[RedisLedger]:
    ledger = RedisLedger(redis_url)
    yield ledger
    ledger._redis.close()  # a socket that the collector finds open is a warning, and that an error


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def reelkeep(redis_url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the command line in a process of its own; further settings by name."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**os.environ, "REELKEEP_REDIS_URL": redis_url, "COLUMNS": "200", **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of an S3 server, and the folder behind it."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, **KEYS), folder / "log"):
        yield port, folder / "data"


@pytest.fixture
def reels(
    s3: tuple[int, Path], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[S3Bucket, Path]]:
    """An empty bucket, and the folder behind it."""
    port, folder = s3
    for name, value in s3_environment(port, **KEYS).items():
        monkeypatch.setenv(name, value)
    name = f"reels-{random.Random(request.node.name).randrange(10**12)}"
    bucket = S3Bucket(name)
    bucket.client.create_bucket(Bucket=name)
    yield bucket, folder / name
    bucket.client.close()


@pytest.fixture
def bucket(reels: tuple[S3Bucket, Path]) -> S3Bucket:
    return reels[0]
