"""Names that lead where nobody may go, change under our feet, or lead nowhere; by a real name server on loopback."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from app.adapters.download_connection import by_turns, look_up
from app.adapters.download_policy import DownloadPolicy, judge_addresses
from app.adapters.downloader import Downloader
from app.domain.errors import FetchFailed, Interrupted
from app.domain.ports import Download
from tests.integration.hostile import SECRET, policy, world
from tests.support.hostile_answers import VIDEO, leads
from tests.support.hostile_urls import ADDRESSES
from tests.support.hostile_world import World, note_connects, silent_listener
from tests.support.names import asking
from tests.support.waiting import wait_for

__all__ = ["policy", "world"]

#: public for these tests: nobody listens there; and somebody who answers nothing
DEAD, DEAD_TOO, SILENT = "127.1.0.9", "127.1.0.10", "127.1.0.8"
Fetch = Callable[[str], AbstractContextManager[Download]]


@pytest.fixture
def patient(world: World, policy: DownloadPolicy) -> DownloadPolicy:
    return replace(policy, also_public=policy.also_public | {DEAD, DEAD_TOO, SILENT}, connect_timeout=2)


@pytest.fixture
def fetch(world: World, patient: DownloadPolicy) -> Fetch:
    return Downloader(patient, Event(), asking(world.names.address)).fetch


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_listed_name_that_leads_inwards_is_not_connected_to(world: World, fetch: Fetch, name: str) -> None:
    addresses = [address.format(internet=world.internet) for address in ADDRESSES[name]]
    world.names.rounds[host := f"n{list(ADDRESSES).index(name)}.films.example"] = [addresses]
    visits, connects = world.trespasses(), note_connects()
    with (
        pytest.raises(FetchFailed, match=f"'{host}' has an address that is not public"),
        fetch(world.url("good", host)),
    ):
        raise AssertionError("it was kept")
    assert connects == []
    assert world.trespasses() == visits
    assert world.names.lookups(host) == 1


def test_a_name_is_looked_up_once_and_what_was_judged_is_connected_to(world: World, fetch: Fetch) -> None:
    world.names.rounds["rebound.films.example"] = [[world.internet], ["127.0.0.1"]]
    url, visits, connects = world.url("good", "rebound.films.example"), world.trespasses(), note_connects()
    with fetch(url) as download:
        assert download.file.read() == VIDEO
    assert world.names.lookups("rebound.films.example") == 1
    assert connects == [world.internet]
    with pytest.raises(FetchFailed, match="not public"), fetch(url):
        raise AssertionError("it was kept")
    assert connects == [world.internet]
    assert world.trespasses() == visits


def test_a_name_that_turns_inwards_between_two_redirects_is_not_followed(world: World, fetch: Fetch) -> None:
    world.names.rounds["turning.films.example"] = [[world.internet], ["::1", "127.0.0.1"]]
    url, visits, connects = world.url("redirect%20once", "turning.films.example"), world.trespasses(), note_connects()
    world.answer("turn", leads("https://turning.films.example:{port}/good"))
    with pytest.raises(FetchFailed, match="not public"), fetch(url.replace("redirect%20once", "turn")):
        raise AssertionError("it was kept")
    assert connects == [world.internet]
    assert world.trespasses() == visits


@pytest.mark.parametrize("dead", [[DEAD], [SILENT], [DEAD, SILENT]])
def test_the_next_address_is_tried_when_one_is_dead(world: World, fetch: Fetch, dead: list[str]) -> None:
    world.names.rounds[host := f"d{len(dead)}-{dead[0][-1]}.films.example"] = [[*dead, world.internet]]
    connects = note_connects()
    with silent_listener(SILENT, world.port), fetch(world.url("good", host)) as download:
        assert download.file.read() == VIDEO
    assert set(connects) - {SILENT} | {*dead} == {*dead, world.internet}
    assert connects[-1] == world.internet


def test_three_dead_addresses_are_enough(world: World, fetch: Fetch) -> None:
    world.names.rounds["dead.films.example"] = [[DEAD, DEAD_TOO, DEAD, SILENT, world.internet]]
    connects = note_connects()
    with silent_listener(SILENT, world.port):
        connects.clear()
        with pytest.raises(FetchFailed, match="timed out"), fetch(world.url("good", "dead.films.example")):
            raise AssertionError("it was kept")
    assert connects == [DEAD, DEAD_TOO, SILENT]


def test_both_families_have_their_turn() -> None:
    assert by_turns(["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"])[:3] == [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
    ]
    assert by_turns(["192.0.2.1", "192.0.2.2", "2001:db8::1"]) == ["192.0.2.1", "2001:db8::1", "192.0.2.2"]
    assert by_turns(["192.0.2.1", "192.0.2.2"]) == ["192.0.2.1", "192.0.2.2"]


def test_an_address_of_the_other_family_is_tried_second(world: World, patient: DownloadPolicy) -> None:
    world.names.rounds["mixed.films.example"] = [[DEAD, DEAD_TOO, "::1"]]
    connects = note_connects()
    allowing = replace(patient, also_public=patient.also_public | {"::1"})
    with (
        pytest.raises(FetchFailed),
        Downloader(allowing, Event(), asking(world.names.address)).fetch(world.url("good", "mixed.films.example")),
    ):
        raise AssertionError("it was kept")
    assert connects[:2] == [DEAD, "::1"]


def test_a_name_that_nobody_knows_is_worth_another_try(world: World, fetch: Fetch) -> None:
    world.names.rounds["unknown.films.example"] = [[]]
    with (
        pytest.raises(FetchFailed, match="Name or service not known"),
        fetch(world.url("good", "unknown.films.example")),
    ):
        raise AssertionError("it was kept")


def test_a_name_server_that_says_nothing_is_worth_another_try(world: World, fetch: Fetch) -> None:
    world.names.rounds["unheard.films.example"] = [None]
    with pytest.raises(FetchFailed, match="said nothing in time"), fetch(world.url("good", "unheard.films.example")):
        raise AssertionError("it was kept")


@pytest.mark.parametrize("host", ["unheard-of.films.example", "silent.films.example"])
def test_the_deadline_holds_before_there_is_a_connection(world: World, patient: DownloadPolicy, host: str) -> None:
    world.names.rounds |= {"unheard-of.films.example": [None], "silent.films.example": [[SILENT]]}
    hasty = replace(patient, connect_timeout=20, deadline=0.3)
    started = time.monotonic()
    with (
        silent_listener(SILENT, world.port),
        pytest.raises(FetchFailed, match=r"not done within 0\.3 s"),
        Downloader(hasty, Event(), asking(world.names.address)).fetch(world.url("good", host)),
    ):
        raise AssertionError("it was kept")
    assert time.monotonic() - started < 10


def test_a_stop_interrupts_a_look_up(world: World, patient: DownloadPolicy) -> None:
    stop, started = Event(), time.monotonic()
    world.names.rounds["unheard-too.films.example"] = [None]

    def stop_once_it_is_asked() -> None:
        wait_for(lambda: world.names.lookups("unheard-too.films.example"))
        stop.set()

    Thread(target=stop_once_it_is_asked).start()
    downloader = Downloader(replace(patient, connect_timeout=20), stop, asking(world.names.address))
    with pytest.raises(Interrupted), downloader.fetch(world.url("good", "unheard-too.films.example")):
        raise AssertionError("it was kept")
    assert time.monotonic() - started < 4  # whoever looks up gives up after five


def test_a_name_that_cannot_be_looked_up_is_worth_another_try(world: World, patient: DownloadPolicy) -> None:
    def refuse(host: str) -> list[str]:
        raise UnicodeError(f"not to be encoded: {host}")

    downloader = Downloader(patient, Event(), refuse)
    with pytest.raises(FetchFailed, match="no name that could be looked up"), downloader.fetch(world.url("good")):
        raise AssertionError("it was kept")


def test_a_stop_interrupts_a_connect(world: World, patient: DownloadPolicy) -> None:
    world.names.rounds["stopped.films.example"] = [[SILENT]]
    stop, started = Event(), time.monotonic()
    url = world.url("good", "stopped.films.example")
    downloader = Downloader(replace(patient, connect_timeout=20), stop, asking(world.names.address))
    with silent_listener(SILENT, world.port):
        connects = note_connects()

        def stop_once_it_connects() -> None:
            wait_for(lambda: SILENT in connects)
            stop.set()

        Thread(target=stop_once_it_connects).start()
        with pytest.raises(Interrupted), downloader.fetch(url):
            raise AssertionError("it was kept")
    assert time.monotonic() - started < 10


def test_the_environment_leads_nowhere(
    world: World, fetch: Fetch, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither proxies nor passwords nor trust come from it."""
    home = tmp_path_factory.mktemp("home")
    netrc = home / "netrc"
    netrc.write_text(f"default login me password {SECRET}\n")
    netrc.chmod(0o600)
    canary = f"127.0.0.1:{world.port}"
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{canary}")
        monkeypatch.setenv(name.upper(), f"http://{canary}")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(Path(__file__)))
    world.requests.clear()
    visits, connects = world.trespasses(), note_connects()
    with fetch(world.url("redirect%20once")) as download:
        assert download.file.read() == VIDEO
    assert set(connects) == {world.internet}
    assert world.trespasses() == visits
    assert len(world.requests) == 2
    for head in world.requests:
        names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line}
        assert names == {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}


def test_the_systems_resolver_gives_addresses_and_errors() -> None:
    assert set(look_up("localhost")) <= {"127.0.0.1", "::1"}
    with pytest.raises(OSError, match=r"Name or service not known|No address|Temporary failure"):
        look_up("video.invalid")


def test_what_is_said_to_be_public_is_no_other_address(policy: DownloadPolicy) -> None:
    judge_addresses("a.films.example", ["127.1.0.1"], policy)
    with pytest.raises(FetchFailed):
        judge_addresses("a.films.example", ["127.1.0.1", "127.1.0.2"], policy)
