"""The downloader against servers that are on the list and mean harm, over TLS and a name server, without the loosened rules."""

import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from urllib.parse import quote

import pytest

from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from tests.support.hostile_answers import CAP, TRAPS, VIDEO
from tests.support.hostile_world import TRUSTED, World, note_connects
from tests.support.names import asking

SECRET = "b1gsecret"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World({name: trap.answer for name, trap in TRAPS.items()}) as world:
        yield world


@pytest.fixture
def policy(world: World, tmp_path: Path) -> Iterator[DownloadPolicy]:
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


@pytest.mark.parametrize("name", TRAPS)
def test_a_hostile_answer_is_named_or_harmless(world: World, policy: DownloadPolicy, name: str) -> None:
    trap = TRAPS[name]
    visits, connects = world.trespasses(), note_connects()
    downloader = Downloader(replace(policy, **trap.policy), Event(), asking(world.names.address))
    started = time.monotonic()
    if trap.error is None:
        with downloader.fetch(world.url(quote(name))) as download:
            assert download.file.read() == VIDEO
    else:
        with pytest.raises(trap.error, match=trap.says) as raised, downloader.fetch(world.url(quote(name))):
            raise AssertionError("it was kept")
        assert type(raised.value) is trap.error
        assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert time.monotonic() - started < 10  # some half a second is meant; machines are shared
    assert set(connects) == {world.internet}
    assert world.trespasses() == visits
