"""Fixtures that start real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings

from app.embedded.redis_server import redis_server
from app.embedded.service import free_port, running

# The same examples wherever and whenever the tests run: what fails elsewhere fails here. `make explore` draws others.
settings.register_profile("same", derandomize=True)
settings.register_profile("drawn", derandomize=False, print_blob=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real redis-server for the whole run."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    with running(redis_server(folder, port), folder / "redis.log"):
        yield port


@pytest.fixture
def redis_url(redis_port: int) -> str:
    """The real redis-server, emptied for this test."""
    with redis.Redis(port=redis_port) as client:
        client.flushall()
    return f"redis://127.0.0.1:{redis_port}/0"


@pytest.fixture
def media() -> Path:
    """The folder with real videos and pictures."""
    return Path(__file__).parent / "media"
