"""What was answered is there after Redis has died, whole and in all the places where it must be."""

import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from app.adapters.redis_ledger import RedisLedger
from app.embedded import Service, free_port, redis_server, running
from tests.integration.looks import queued
from tests.support.crash import Mains, Writers, build_shim, can_play, die, with_syncs_of
from tests.support.waiting import wait_for

ROUNDS, THREADS = 12, 6
#: each round kills after so many answers
SOONEST, LATEST = 1, 500
played = pytest.mark.skipif(not can_play(), reason="slow disks and power cuts can only be played with a C compiler")


def recorded(client: redis.Redis) -> set[str]:
    """The ids in the ledger, each of which is in all three places or in none: the script is one write for the file too."""
    inboxes = {str(key).removeprefix("reelkeep:inbox:") for key in client.scan_iter("reelkeep:inbox:*", count=5000)}
    enqueued = {item.removeprefix("settle/") for item in queued(client)}
    sent = {str(item).removeprefix("settle/") for item in client.zrange("reelkeep:sent:quick", 0, -1)}  # type: ignore[union-attr]
    assert inboxes == enqueued == sent
    return inboxes


def write_until(
    end: Callable[[subprocess.Popen[bytes]], object], service: Service, port: int, log: Path, name: str, answers: int
) -> set[str]:
    """Write from several threads until so many were answered, then end the server. Gives the ids that were answered."""
    # A child that rewrites the file outlives the server for five seconds, and holds the connections open for so long.
    ledger = RedisLedger(f"redis://127.0.0.1:{port}/0", timeout=2.0)
    writers = Writers(ledger, name)
    with running(service, log) as process, writers.running(THREADS):
        wait_for(lambda: len(writers.answered) >= answers, every=0.0005)
        end(process)
    return {task_id for task_id, _ in writers.answered}


def look(service: Service, port: int, log: Path) -> set[str]:
    """Start the server again and see what it has."""
    with running(service, log), redis.Redis(port=port, decode_responses=True) as client:
        return recorded(client)


def keep_killing(service: Service, port: int, log: Path) -> None:
    """Kill the server again and again on one folder, and see each time that nothing is missing."""
    seed = random.randrange(2**32)
    chance, answered = random.Random(seed), set[str]()

    def kill_while_it_rewrites(process: subprocess.Popen[bytes]) -> None:
        with redis.Redis(port=port) as client:
            client.bgrewriteaof()
        die(process)

    for number in range(ROUNDS):
        answers, kill = chance.randint(SOONEST, LATEST), kill_while_it_rewrites if number % 5 == 4 else die
        answered |= write_until(kill, service, port, log, f"round-{number}", answers)
        there = look(service, port, log)
        assert answered <= there, f"seed {seed}, round {number}: lost {len(answered - there)}"
    # One that was not answered may be there: the vendor brings it again. Each thread leaves at most one in a round.
    assert len(there - answered) <= ROUNDS * THREADS


def assert_no_hole(there: set[str], name: str, answered: set[str]) -> None:
    """What is missing of each thread's records is their end."""
    for thread in range(THREADS):
        kept = [f"{name}-{thread}-{count}" in there for count in range(len(answered))]
        assert kept == sorted(kept, reverse=True)


def test_under_always_nothing_that_was_answered_is_lost_when_redis_is_killed(tmp_path: Path) -> None:
    port = free_port()
    keep_killing(redis_server(tmp_path / "redis", port, appendfsync="always"), port, tmp_path / "log")


@played
def test_under_everysec_redis_answers_before_it_writes_while_a_sync_is_under_way(tmp_path: Path) -> None:
    """So there a mere kill can cost something too: with a slow disk up to two seconds. `always` is the one that keeps all."""
    port, log = free_port(), tmp_path / "log"
    usual = redis_server(tmp_path / "redis", port, appendfsync="everysec")
    service = with_syncs_of(60, usual, build_shim(tmp_path))

    def kill_while_it_syncs(process: subprocess.Popen[bytes]) -> None:
        with redis.Redis(port=port) as client:
            wait_for(lambda: client.info("persistence")["aof_pending_bio_fsync"])  # type: ignore[index]
            done = int(client.info("stats")["total_commands_processed"])  # type: ignore[index]
            wait_for(lambda: int(client.info("stats")["total_commands_processed"]) > done + 200)  # type: ignore[index]
        die(process)

    answered = write_until(kill_while_it_syncs, service, port, log, "slow", 1)
    there = look(usual, port, log)
    assert answered - there
    assert_no_hole(there, "slow", answered)


def test_the_look_notices_what_is_lost(tmp_path: Path) -> None:
    """Without an append-only file it is all gone: the test above would see it."""
    port, log = free_port(), tmp_path / "log"
    usual = redis_server(tmp_path / "redis", port)
    service = replace(usual, argv=(*usual.argv, "--appendonly", "no"))
    answered = write_until(die, service, port, log, "gone", 100)
    assert len(answered) >= 100
    assert look(service, port, log) == set()


@played
def test_a_power_cut_under_always_costs_nothing_that_was_answered(tmp_path: Path) -> None:
    shim, chance, log = build_shim(tmp_path), random.Random(1), tmp_path / "log"
    for number in range(ROUNDS):
        port, folder = free_port(), tmp_path / f"redis-{number}"
        mains = Mains(folder, shim)
        service = mains.plug_in(redis_server(folder, port, appendfsync="always"))
        answers = chance.randint(SOONEST, LATEST)
        answered = write_until(mains.cut, service, port, log, "cut", answers)
        assert answered <= look(service, port, log)


@played
def test_a_power_cut_under_everysec_costs_the_last_moment(tmp_path: Path) -> None:
    """What is lost is the end of what was answered, never something before it: there is no hole."""
    shim, log, lost = build_shim(tmp_path), tmp_path / "log", 0
    for number in range(3):  # one cut alone might fall together with a sync
        port, folder = free_port(), tmp_path / f"redis-{number}"
        mains = Mains(folder, shim)
        service = mains.plug_in(redis_server(folder, port, appendfsync="everysec"))
        answered = write_until(mains.cut, service, port, log, "cut", 1000)
        there = look(service, port, log)
        lost += len(answered - there)
        assert_no_hole(there, "cut", answered)
    assert lost > 0
