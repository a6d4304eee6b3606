"""What INFO says is read and judged: real fields of a redis-server 6.2.14, one changed at a time."""

from typing import Any

import pytest

from app.domain.checkup import Level, Remark, worst
from app.domain.redis_state import RedisState, judge, read_info

MIB = 1024**2
GOOD: dict[str, Any] = {
    "redis_version": "6.2.14",
    "redis_mode": "standalone",
    "run_id": "62918744d28efe4ddebb7e4126e7d5b781fcf6bf",
    "server_time_usec": 1795398245947312,
    "uptime_in_seconds": 10800,
    "used_memory": 50 * MIB,
    "maxmemory": 1000 * MIB,
    "maxmemory_policy": "noeviction",
    "mem_not_counted_for_evict": 0,
    "rdb_changes_since_last_save": 421,
    "rdb_last_save_time": 1795387445,
    "rdb_last_bgsave_status": "ok",
    "rdb_last_bgsave_time_sec": -1,
    "aof_enabled": 1,
    "aof_last_bgrewrite_status": "ok",
    "aof_last_write_status": "ok",
    "evicted_keys": 0,
    "role": "master",
}


def found(**changes: Any) -> dict[str, Remark]:
    """What is said of each part."""
    remarks = judge(read_info(GOOD | changes))
    assert len({remark.about for remark in remarks}) == len(remarks)
    return {remark.about: remark for remark in remarks}


def bad(**changes: Any) -> Remark:
    """The one thing that is not good."""
    [remark] = [remark for remark in found(**changes).values() if remark.level is not Level.OK]
    assert remark.mend
    return remark


def test_a_good_server_has_a_good_word_for_each_part() -> None:
    remarks = found()
    assert set(remarks) == {"redis", "redis persistence", "redis eviction", "redis memory"}
    assert worst(remarks.values()) is Level.OK
    assert remarks["redis"].text == "Redis 6.2.14"
    assert remarks["redis memory"].text == "Redis uses 50.0 MiB of 1000.0 MiB (5 % of maxmemory)"


def test_a_server_that_keeps_nothing_is_a_warning_that_says_what_is_lost() -> None:
    remark = bad(aof_enabled=0)
    assert remark.level is Level.WARNING
    assert remark.sentence == (
        "Redis keeps nothing on disk: no append-only file, no snapshot since its start 3 h ago; "
        "ending now it would lose 421 changes: set appendonly yes and appendfsync always"
    )


@pytest.mark.parametrize("took", [0, 7])
def test_snapshots_alone_are_a_warning_that_says_what_is_lost(took: int) -> None:
    remark = bad(
        aof_enabled=0, rdb_last_bgsave_time_sec=took, rdb_last_save_time=1795398200, rdb_changes_since_last_save=1
    )
    assert remark.level is Level.WARNING
    assert remark.text == (
        "Redis keeps snapshots only, the last 46 s ago: ending now it would lose 1 change, "
        "answered callbacks and orders among them"
    )


def test_without_the_servers_time_nothing_is_said_of_a_snapshots_age() -> None:
    remark = bad(aof_enabled=0, rdb_last_bgsave_time_sec=1, server_time_usec=None)
    assert remark.text.startswith("Redis keeps snapshots only: ending now")


def test_a_clock_that_was_set_back_makes_no_negative_age() -> None:
    assert "the last 0 s ago" in bad(aof_enabled=0, rdb_last_bgsave_time_sec=1, rdb_last_save_time=1795398300).text


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"aof_last_write_status": "err"}, Level.PROBLEM, "cannot write its append-only file"),
        ({"rdb_last_bgsave_status": "err"}, Level.WARNING, "the last snapshot of Redis failed"),
        ({"rdb_last_bgsave_status": "err", "aof_enabled": 0}, Level.WARNING, "the last snapshot of Redis failed"),
        ({"aof_last_bgrewrite_status": "err"}, Level.WARNING, "cannot rewrite its append-only file"),
        ({"aof_enabled": None}, Level.WARNING, "does not say what it keeps on disk"),
    ],
)
def test_trouble_with_the_disk_is_named(changes: dict[str, Any], level: Level, words: str) -> None:
    remark = bad(**changes)
    assert (remark.about, remark.level) == ("redis persistence", level)
    assert words in remark.text


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("allkeys-lru", "drop records"),
        ("allkeys-random", "drop records"),
        ("volatile-ttl", "forget the day's budget"),
        ("something-new", "drop records"),
    ],
)
def test_a_policy_that_drops_keys_is_a_warning(policy: str, words: str) -> None:
    remark = bad(maxmemory_policy=policy)
    assert (remark.about, remark.level) == ("redis eviction", Level.WARNING)
    assert remark.text == f"Redis may {words} when memory is full (maxmemory-policy {policy})"
    assert "noeviction" in remark.mend


def test_keys_that_were_dropped_are_counted() -> None:
    assert bad(maxmemory_policy="allkeys-lru", evicted_keys=12).text.endswith("and has dropped 12 keys since its start")


def test_a_policy_that_is_not_said_is_a_warning() -> None:
    assert "does not say" in bad(maxmemory_policy=None).text


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (0.80, Level.OK),
        (0.801, Level.WARNING),
        (0.90, Level.WARNING),
        (0.901, Level.PROBLEM),
        (1.2, Level.PROBLEM),
    ],
)
def test_memory_near_its_limit(share: float, level: Level) -> None:
    remark = found(used_memory=int(share * 1000 * MIB), maxmemory=1000 * MIB)["redis memory"]
    assert remark.level is level
    assert remark.text.startswith(f"Redis uses {tell(share * 1000)} of 1000.0 MiB ({100 * share:.0f} % of maxmemory)")
    assert ("new work is refused" in remark.text) is (level is not Level.OK)
    assert ("from 90 % on" in remark.text) is (level is Level.WARNING)


def tell(mib: float) -> str:
    return f"{mib:.1f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def test_what_waits_is_reckoned_with_what_it_will_need() -> None:
    [*_, memory] = judge(read_info(GOOD, spoken_for=900 * MIB))
    assert memory.level is Level.PROBLEM
    assert memory.text == (
        "Redis uses 50.0 MiB of 1000.0 MiB (95 % of maxmemory, with 900.0 MiB that what waits will need); new work is refused"
    )


def test_no_limit_is_a_warning_for_the_machine_has_one() -> None:
    memory = bad(maxmemory=0)
    assert (memory.level, memory.mend) == (Level.WARNING, "set maxmemory to what the machine can spare")
    assert memory.text.startswith("Redis uses 50.0 MiB, no limit set")


def test_buffers_that_do_not_count_towards_the_limit_are_not_counted() -> None:
    changes = {"used_memory": 99 * MIB, "maxmemory": 100 * MIB, "mem_not_counted_for_evict": 40 * MIB}
    assert found(**changes)["redis memory"].text == "Redis uses 59.0 MiB of 100.0 MiB (59 % of maxmemory)"


def test_a_replica_is_a_problem() -> None:
    remark = bad(role="slave")
    assert (remark.about, remark.level) == ("redis", Level.PROBLEM)
    assert "a replica answers" in remark.text
    assert "REELKEEP_REDIS_URL" in remark.mend


@pytest.mark.parametrize(("version", "level"), [("4.0.14", Level.PROBLEM), ("5.0.0", Level.OK), ("10.0", Level.OK)])
def test_a_server_must_be_new_enough_for_the_scripts(version: str, level: Level) -> None:
    assert found(redis_version=version)["redis"].level is level


def test_a_cluster_is_a_warning() -> None:
    assert "cluster" in bad(redis_mode="cluster").text


def test_a_server_that_may_not_be_asked_is_a_warning() -> None:
    [remark] = judge(None)
    assert remark.level is Level.WARNING
    assert "INFO is refused" in remark.text


def test_an_answer_without_fields_says_what_is_not_known() -> None:
    assert read_info({}) == RedisState()
    levels = {remark.about: remark.level for remark in judge(RedisState())}
    assert levels == {"redis": Level.OK, "redis persistence": Level.WARNING, "redis eviction": Level.WARNING}


@pytest.mark.parametrize("value", ["", "many", None, [], {"keys": 1}])
def test_odd_values_count_as_not_said(value: Any) -> None:
    odd = read_info(dict.fromkeys(GOOD, value))
    names = ("uptime", "append_only", "snapshot_age", "used", "limit")
    assert {name: getattr(odd, name) for name in names} == dict.fromkeys(names)
    assert judge(odd)


def test_two_servers_can_be_told_apart() -> None:
    assert read_info(GOOD).run_id == GOOD["run_id"]
