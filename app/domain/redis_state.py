"""What a Redis server says of itself, and what that means for the ledger in it.

The answer to INFO is enough: managed services often deny CONFIG. INFO tells whether the append-only file is on, but not how often
it is synced (`appendfsync`, which `reelkeep doctor` asks for besides), and of snapshots only those that were taken
(docs/durability.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from app.domain.checkup import Level, Remark, tell_duration, tell_size

#: the scripts read the clock before they write, which older servers refuse
OLDEST = 5
#: of maxmemory: above the first a warning; above the second nothing new is taken in, so that the rest can be finished
HIGH, FULL = 0.80, 0.90
KEEP_ALL = "noeviction"
USE_AOF = "set appendonly yes and appendfsync always"
#: what a machine's end takes of what was answered, by `appendfsync`; `always` costs nothing
COST_OF_SYNC = {"everysec": "what was answered in the last second", "no": "what was answered in the last half a minute"}


@dataclass(frozen=True)
class RedisState:
    """What the server says. None: it does not say."""

    version: str | None = None
    #: made up anew at each start: tells whether two addresses lead to one server
    run_id: str | None = None
    replica: bool = False
    cluster: bool = False
    #: seconds since the start
    uptime: int | None = None
    append_only: bool | None = None
    #: how often the append-only file is synced: `always`, `everysec` or `no`
    sync: str | None = None
    #: the last write to the append-only file failed; the last rewrite of it did; the last snapshot did
    append_failed: bool = False
    rewrite_failed: bool = False
    snapshot_failed: bool = False
    #: a snapshot has been taken since the start
    snapshot_taken: bool = False
    #: seconds since the last snapshot, or since the start
    snapshot_age: float | None = None
    #: writes since then
    unsaved: int = 0
    policy: str | None = None
    #: keys dropped since the start to make room
    evicted: int = 0
    #: bytes that count towards the limit
    used: int | None = None
    #: bytes that what waits will come to need besides
    spoken_for: int = 0
    #: bytes; 0: no limit
    limit: int | None = None


@runtime_checkable
class KeptInRedis(Protocol):
    """A ledger that is kept in a Redis server."""

    def server_state(self) -> RedisState | None:
        """What the server says of itself; None: it may not be asked. :raises LedgerUnavailable:"""
        ...


def read_info(info: Mapping[str, Any], spoken_for: int = 0) -> RedisState:
    """Read the answer to INFO, all of its fields in one mapping. What is missing or odd counts as not said.

    :param spoken_for: see `RedisState.spoken_for`
    """
    now, saved_at = _number(info, "server_time_usec"), _number(info, "rdb_last_save_time")
    last_snapshot, used = _number(info, "rdb_last_bgsave_time_sec"), _number(info, "used_memory")
    append_only = _number(info, "aof_enabled")
    return RedisState(
        version=_text(info, "redis_version"),
        run_id=_text(info, "run_id"),
        replica=_text(info, "role") == "slave",
        cluster=_text(info, "redis_mode") == "cluster",
        uptime=_number(info, "uptime_in_seconds"),
        append_only=None if append_only is None else append_only == 1,
        append_failed=_text(info, "aof_last_write_status") == "err",
        rewrite_failed=_text(info, "aof_last_bgrewrite_status") == "err",
        snapshot_failed=_text(info, "rdb_last_bgsave_status") == "err",
        # How long the last one took: -1 as long as there was none.
        snapshot_taken=last_snapshot is not None and last_snapshot >= 0,
        snapshot_age=None if now is None or saved_at is None else max(0.0, now / 1e6 - saved_at),
        unsaved=_number(info, "rdb_changes_since_last_save") or 0,
        policy=_text(info, "maxmemory_policy"),
        evicted=_number(info, "evicted_keys") or 0,
        # Buffers of replicas and of the append-only file do not count towards the limit.
        used=None if used is None else max(0, used - (_number(info, "mem_not_counted_for_evict") or 0)),
        spoken_for=spoken_for,
        limit=_number(info, "maxmemory"),
    )


def judge(state: RedisState | None) -> list[Remark]:
    """What is to be said of the server: one remark for each part, good ones included.

    A problem means that the ledger cannot be written to, or not for long; a warning, that it may lose something.
    """
    if state is None:
        text = "Redis does not show its state (INFO is refused), so nobody can see what it keeps"
        return [Remark("redis", Level.WARNING, text, "allow INFO, or ask its provider about persistence and eviction")]
    remarks = [_judge_server(state), _judge_persistence(state), _judge_eviction(state), _judge_memory(state)]
    return [remark for remark in remarks if remark is not None]


def _judge_server(state: RedisState) -> Remark:
    about = "redis"
    if state.replica:
        mend = "point REELKEEP_REDIS_URL at the primary"
        return Remark(about, Level.PROBLEM, "a replica answers, which takes no writes", mend)
    name = f"Redis {state.version}" if state.version else "Redis of unknown version"
    major = (state.version or "").partition(".")[0]
    if major.isdecimal() and int(major) < OLDEST:
        return Remark(
            about, Level.PROBLEM, f"{name} is too old for the ledger's scripts", f"use Redis {OLDEST} or newer"
        )
    if state.cluster:
        mend = "use one server, without cluster mode"
        return Remark(
            about, Level.WARNING, f"{name} runs as a cluster, over whose nodes the scripts cannot reach", mend
        )
    return Remark(about, Level.OK, name)


def _judge_persistence(state: RedisState) -> Remark:
    about = "redis persistence"
    if state.append_failed:
        text = "Redis cannot write its append-only file and refuses writes"
        return Remark(about, Level.PROBLEM, text, "make room on its disk; its log says more")
    if state.snapshot_failed:
        text = "the last snapshot of Redis failed; by default it refuses writes from then on"
        return Remark(about, Level.WARNING, text, "make room on its disk and for its fork in memory; its log says more")
    if state.append_only is None:
        mend = "ask its provider what a crash can cost"
        return Remark(about, Level.WARNING, "Redis does not say what it keeps on disk", mend)
    if not state.append_only:
        return _judge_snapshots(state)
    if state.rewrite_failed:
        text = "Redis cannot rewrite its append-only file, which grows until the disk is full"
        return Remark(about, Level.WARNING, text, "make room on its disk and for its fork in memory; its log says more")
    if state.sync in COST_OF_SYNC:
        text = (
            f"append-only file on, appendfsync {state.sync}: losing its machine would cost {COST_OF_SYNC[state.sync]}"
        )
        return Remark(about, Level.WARNING, text, "set appendfsync always")
    synced = "each write is on disk before it is answered" if state.sync else "how often it is synced, it does not say"
    return Remark(about, Level.OK, f"append-only file on; {synced}")


def _judge_snapshots(state: RedisState) -> Remark:
    changes = f"{state.unsaved} {'change' if state.unsaved == 1 else 'changes'}"
    if state.snapshot_taken:
        age = "" if state.snapshot_age is None else f", the last {tell_duration(state.snapshot_age)} ago"
        text = f"Redis keeps snapshots only{age}: ending now it would lose {changes}, answered callbacks and orders among them"
    else:
        since = "its start" if state.uptime is None else f"its start {tell_duration(state.uptime)} ago"
        text = f"Redis keeps nothing on disk: no append-only file, no snapshot since {since}; ending now it would lose {changes}"
    return Remark("redis persistence", Level.WARNING, text, USE_AOF)


def _judge_eviction(state: RedisState) -> Remark:
    about = "redis eviction"
    if state.policy is None:
        text = "Redis does not say what it does when memory is full"
        return Remark(about, Level.WARNING, text, f"make sure that maxmemory-policy is {KEEP_ALL}")
    if state.policy == KEEP_ALL:
        return Remark(about, Level.OK, f"{KEEP_ALL}: no record is dropped when memory is full")
    # What has a lifetime is what is spent today, and the pace of sendings.
    what = "forget the day's budget" if state.policy.startswith("volatile") else "drop records"
    text = f"Redis may {what} when memory is full (maxmemory-policy {state.policy})"
    if state.evicted:
        text += f" and has dropped {state.evicted} keys since its start"
    return Remark(about, Level.WARNING, text, f"set maxmemory-policy {KEEP_ALL}, on a Redis that nothing else uses")


def _judge_memory(state: RedisState) -> Remark | None:
    about = "redis memory"
    if state.used is None or state.limit is None:
        return None
    if not state.limit:
        text = (
            f"Redis uses {tell_size(state.used)}, no limit set: when the machine runs out of memory, Redis may be ended"
        )
        return Remark(about, Level.WARNING, text, "set maxmemory to what the machine can spare")
    share = (state.used + state.spoken_for) / state.limit
    waiting = f", with {tell_size(state.spoken_for)} that what waits will need" if state.spoken_for else ""
    text = f"Redis uses {tell_size(state.used)} of {tell_size(state.limit)} ({100 * share:.0f} % of maxmemory{waiting})"
    if share <= HIGH:
        return Remark(about, Level.OK, text)
    if share <= FULL:
        return Remark(
            about, Level.WARNING, f"{text}; from {100 * FULL:.0f} % on new work is refused", "raise maxmemory"
        )
    return Remark(about, Level.PROBLEM, f"{text}; new work is refused", "raise maxmemory")


def _text(info: Mapping[str, Any], name: str) -> str | None:
    value = info.get(name)
    return None if value is None or value == "" else str(value)


def _number(info: Mapping[str, Any], name: str) -> int | None:
    value = info.get(name)
    return int(value) if isinstance(value, int | float) else None
