"""The downloader against servers that are on the list and mean harm, over TLS and a name server, by the rules in earnest."""

import time
import traceback
from dataclasses import replace
from threading import Event
from urllib.parse import quote

import pytest

from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from app.domain.errors import FetchFailed
from tests.integration.hostile import SECRET, policy, world
from tests.support.hostile_answers import TRAPS, VIDEO
from tests.support.hostile_world import World, note_connects
from tests.support.names import asking

__all__ = ["policy", "world"]


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
    assert time.monotonic() - started < 10  # less than half a second is meant; machines are shared
    assert set(connects) == {world.internet}
    assert world.trespasses() == visits


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("wrong-name", "certificate is not valid for 'wrong-name.films.example'"),
        ("expired", "certificate has expired"),
        ("not-yet", "certificate is not yet valid"),
        ("unknown-authority", "unable to get local issuer certificate"),
        ("self-signed", "self-signed certificate"),
    ],
)
def test_a_certificate_that_is_not_right_is_named(world: World, policy: DownloadPolicy, name: str, says: str) -> None:
    with (
        pytest.raises(FetchFailed, match=says) as raised,
        Downloader(policy, Event(), asking(world.names.address)).fetch(world.url("good", f"{name}.films.example")),
    ):
        raise AssertionError("it was kept")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_the_certificates_of_this_world_are_nothing_to_others(world: World, policy: DownloadPolicy) -> None:
    with (
        pytest.raises(FetchFailed, match="unable to get local issuer certificate"),
        Downloader(replace(policy, ca_file=None), Event(), asking(world.names.address)).fetch(world.url("good")),
    ):
        raise AssertionError("it was kept")
