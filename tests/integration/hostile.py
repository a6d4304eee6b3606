"""What the tests of hostile servers share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.download_policy import DownloadPolicy
from tests.support.hostile_answers import CAP, TRAPS, leads
from tests.support.hostile_urls import URLS
from tests.support.hostile_world import TRUSTED, World

SECRET = "b1gsecret"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The servers, with a redirect to each URL that nobody may fetch, under `to/<number>`."""
    answers = {name: trap.answer for name, trap in TRAPS.items()}
    answers |= {f"to/{number}": leads(url) for number, (url, _) in enumerate(URLS.values())}
    with World(answers) as world:
        yield world


@pytest.fixture
def policy(world: World, tmp_path: Path) -> Iterator[DownloadPolicy]:
    """The rules in earnest. That the listed host is public has to be said: everything here is on loopback."""
    yield DownloadPolicy(
        hosts=("*.films.example",),
        insecure=False,
        max_bytes=CAP,
        deadline=20,
        min_rate=0,
        temp_dir=str(tmp_path),
        port=world.port,
        also_public=frozenset({world.internet}),
        ca_file=TRUSTED,
    )
    assert os.listdir(tmp_path) == []
