"""A download too large for memory, and its disk: room is looked for before and while it is filled, and nothing is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import LOOK_BYTES, Downloader
from app.domain.errors import FetchFailed
from tests.integration.hostile import policy as base
from tests.integration.hostile import world
from tests.support.hostile_answers import LENGTH, OPEN, VIDEO, forever, full, says
from tests.support.hostile_world import SILENCE, World
from tests.support.names import asking
from tests.support.waiting import wait_for

__all__ = ["base", "world"]

Fill = Callable[[DownloadPolicy, str], None]


@pytest.fixture
def policy(base: DownloadPolicy) -> DownloadPolicy:
    """The rules, under which nothing stays in memory."""
    return replace(base, in_memory=0)


@pytest.fixture
def fill(world: World) -> Fill:
    """Fetches what may not be kept."""

    def fetch(policy: DownloadPolicy, trap: str) -> None:
        with Downloader(policy, Event(), asking(world.names.address)).fetch(world.url(trap)):
            raise AssertionError("it was kept")

    return fetch


def free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def test_without_room_a_file_is_not_begun(world: World, policy: DownloadPolicy, fill: Fill) -> None:
    world.requests.clear()
    room = rf"no room for a download: {len(VIDEO)} bytes are needed and {10**18} stay free, and \d+ are left"
    with pytest.raises(FetchFailed, match=room):
        fill(replace(policy, spare_disk=10**18), "good")
    assert len(world.requests) == 1


def test_a_file_that_says_that_it_needs_more_is_not_begun(
    world: World, policy: DownloadPolicy, fill: Fill, tmp_path: Path
) -> None:
    size = free(tmp_path)
    world.answer("large", says(full(VIDEO, f"Content-Length: {size}", length=False)))
    with pytest.raises(FetchFailed, match=rf"no room for a download: {size} bytes are needed and \d+ stay free"):
        fill(replace(policy, max_bytes=2 * size), "large")


def test_a_file_without_a_length_stops_where_the_spare_room_begins(
    world: World, policy: DownloadPolicy, fill: Fill, tmp_path: Path
) -> None:
    world.answer("filling", forever(OPEN, bytes(2**18)))
    room = 2 * LOOK_BYTES
    # Others write to the same disk: what they take meanwhile is room that this download does not find.
    spare = free(tmp_path) - room
    with pytest.raises(FetchFailed, match=r"no room for a download: \d+ stay free"):
        fill(replace(policy, spare_disk=spare, max_bytes=10**18), "filling")


KILLED = """
import sys, threading
from app.adapters.download_policy import DownloadPolicy
from app.adapters.downloader import Downloader
url, port, ca, names, folder = sys.argv[1:]
from tests.support.names import asking
policy = DownloadPolicy(hosts=("*.films.example",), insecure=False, max_bytes=10**6, deadline=60, min_rate=0, port=int(port),
                        also_public=frozenset({"127.1.0.1"}), ca_file=ca, temp_dir=folder, in_memory=0)
with Downloader(policy, threading.Event(), asking(("127.0.0.1", int(names)))).fetch(url):
    pass
"""


def test_a_killed_process_leaves_no_file_and_no_full_disk(world: World, policy: DownloadPolicy, tmp_path: Path) -> None:
    world.answer("stuck", says(LENGTH + VIDEO[:50_000], SILENCE))
    arguments = [world.url("stuck"), str(world.port), policy.ca_file, str(world.names.address[1]), str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)])
    try:
        wait_for(lambda: nameless_bytes(process.pid, tmp_path) > 0)
        assert os.listdir(tmp_path) == []  # also while it is written to
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert os.listdir(tmp_path) == []


def nameless_bytes(pid: int, folder: Path) -> int:
    """Bytes in files of a process that belong to a folder and have no name there."""
    size = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                size += entry.stat().st_size
        except FileNotFoundError:  # closed meanwhile
            pass
    return size
