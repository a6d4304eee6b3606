"""URLs that nobody may fetch: given to us, or as what a listed host redirects to."""

import traceback
from threading import Event

import pytest

from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
from app.domain.errors import FetchFailed, FetchForbidden
from tests.integration.hostile import SECRET, policy, world
from tests.support.hostile_answers import VIDEO
from tests.support.hostile_urls import LISTED, URLS
from tests.support.hostile_world import World, note_connects
from tests.support.names import asking

__all__ = ["policy", "world"]


@pytest.fixture
def downloader(world: World, policy: DownloadPolicy) -> Downloader:
    return Downloader(policy, Event(), asking(world.names.address))


@pytest.mark.parametrize("name", URLS)
def test_a_url_is_refused_for_good_before_anything_is_asked(world: World, downloader: Downloader, name: str) -> None:
    url, says = URLS[name]
    asked, connects = world.names.asked.total(), note_connects()
    with (
        pytest.raises(FetchForbidden, match=says) as raised,
        downloader.fetch(f"{url.format(port=world.port)}?X-Amz-Signature={SECRET}"),
    ):
        raise AssertionError("it was kept")
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    assert connects == []
    assert world.names.asked.total() == asked


@pytest.mark.parametrize("name", URLS)
def test_a_redirect_to_it_is_not_followed_and_worth_another_try(
    world: World, downloader: Downloader, name: str
) -> None:
    visits, connects = world.trespasses(), note_connects()
    world.names.asked.clear()
    with pytest.raises(FetchFailed), downloader.fetch(world.url(f"to/{list(URLS).index(name)}")):
        raise AssertionError("it was kept")
    assert set(connects) == {world.internet}
    assert world.trespasses() == visits
    assert {name for name, _ in world.names.asked} == {LISTED}


@pytest.mark.parametrize(
    "url",
    [
        "https://{listed}:{port}/good?@127.0.0.1/",
        "https://{listed}:{port}/good#@127.0.0.1/",
        "https://{listed}:{port}/good?//127.0.0.1/",
        "https://{listed}:{port}/good?\u3002",
        "HTTPS://CDN.Films.EXAMPLE:{port}/good",
        "http://{listed}:{port}/good",
        "https://{listed}:0{port}/good",
        "https://{listed}:{port}/../../good",
        "https://{listed}:{port}/%67ood",
    ],
)
def test_what_only_looks_strange_is_fetched_from_where_it_says(world: World, downloader: Downloader, url: str) -> None:
    world.url("good")
    connects = note_connects()
    with downloader.fetch(url.format(listed=LISTED, port=world.port)) as download:
        assert download.file.read() == VIDEO
        assert download.host == LISTED
    assert connects == [world.internet]
