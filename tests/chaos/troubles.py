"""Breaks things, by plan."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

import redis

from app.domain.work import Item, Lane
from tests.chaos.ground import COUNTS, Ground
from tests.chaos.plan import Trouble
from tests.chaos.scale import Scale
from tests.chaos.watch import Watch
from tests.support.waiting import wait_for

WORKERS = ("worker", "worker-2", "mirror", "mirror-2")
#: so many messages shall be in the broker when it is emptied, if so many come within some seconds
MESSAGES, GATHERING = 10, 6.0
#: what goes on until all is at rest: nothing may come right only because the trouble is over
LASTING_S3_FAULTS = {"errors": 0.1, "resets": 0.02, "garbled": 0.01, "lost": 0.01}
LASTING_WEATHER = {"errors": 0.1, "refusals": 0.02, "drops": 0.02, "fog": 0.1, "latency": 3}


class Troublemaker:
    """Two threads: one kills, the other makes the greater troubles, one after the other."""

    def __init__(self, ground: Ground, watch: Watch) -> None:
        #: what was done
        self.done: Counter[str] = Counter()
        self._ground = ground
        self._watch = watch
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._faults: list[BaseException] = []

    def start(self, *series: Sequence[Trouble]) -> None:
        """Begin; the troubles' times count from now."""
        began = time.monotonic()
        for troubles in series:
            thread = threading.Thread(target=self._run, args=(began, troubles), name="trouble", daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self) -> None:
        """Wait until all of them are over."""
        for thread in self._threads:
            thread.join()
        if self._faults:
            raise self._faults[0]

    def stop(self) -> None:
        """Leave out what has not begun."""
        self._stop.set()

    def _run(self, began: float, troubles: Sequence[Trouble]) -> None:
        makers = {
            "deploy": self._deploy,
            "kill redis": self._kill_redis,
            "pause redis": self._pause_redis,
            "empty broker": self._empty_broker,
            "s3 outage": self._cut_s3,
        }
        try:
            for trouble in troubles:
                if self._stop.wait(max(0.0, began + trouble.at - time.monotonic())):
                    return
                if trouble.victim:
                    self._kill(trouble.victim)
                else:
                    makers[trouble.name]()
                    self.done[trouble.name] += 1
        except BaseException as error:
            self._faults.append(error)

    def _kill(self, name: str) -> None:
        """SIGKILL to a process and its children: nothing of it lives on."""
        child = self._ground.stack.supervisor[name]
        if child.process.poll() is not None:
            return  # not up again since it was last killed
        self._fell(name)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if name in WORKERS:
            self._watch.note_kill()
        self.done[f"{name.partition('-')[0]} killed"] += 1

    def _deploy(self) -> None:
        """SIGTERM to all processes at once, SIGKILL to those that are still there when their time is over, as platforms do it."""
        supervisor = self._ground.stack.supervisor
        began = time.time()
        before = {name: supervisor[name].pid for name in supervisor if name.partition("-")[0] in COUNTS}
        for name in before:
            self._fell(name)
            supervisor.kill(name, signal.SIGTERM)

        def staying(*kinds: str) -> list[str]:
            names = [name for name, pid in before.items() if supervisor[name].pid == pid]
            return [name for name in names if name.partition("-")[0] in kinds]

        def await_change(*kinds: str) -> None:
            with suppress(AssertionError):
                wait_for(lambda: not staying(*kinds), began + self._ground.scale.grace - time.time())
            for name in staying(*kinds):
                self._kill(name)
                self.done[f"{name.partition('-')[0]} killed at the end of its grace"] += 1
            wait_for(lambda: not staying(*kinds), 30)

        await_change("worker", "mirror")
        self._watch.note_deployment(began)
        await_change(*COUNTS)

    def _kill_redis(self) -> None:
        self._fell("redis")
        self._ground.stack.supervisor.kill("redis")
        self._await_redis()

    def _pause_redis(self) -> None:
        """It accepts connections, and says nothing."""
        supervisor = self._ground.stack.supervisor
        supervisor.kill("redis", signal.SIGSTOP)
        self._stop.wait(self._ground.scale.redis_pause)
        supervisor.kill("redis", signal.SIGCONT)
        self._await_redis()

    def _empty_broker(self) -> None:
        """With messages in it, for which the workers have to stand still a moment."""
        self._await_redis()
        supervisor, broker = self._ground.stack.supervisor, self._ground.broker()
        queues = [lane.queue for lane in Lane]
        for name in WORKERS:
            supervisor.kill(name, signal.SIGSTOP)
        try:
            with suppress(AssertionError):
                wait_for(lambda: sum(map(broker.llen, queues)) >= MESSAGES, GATHERING)  # type: ignore[arg-type]
            pipeline = broker.pipeline(transaction=True)
            for queue in queues:
                pipeline.lrange(queue, 0, -1)
            *found, _ = pipeline.flushdb().execute()
            self._watch.note_emptied(_read_items(message for messages in found for message in messages))
        finally:
            for name in WORKERS:
                supervisor.kill(name, signal.SIGCONT)

    def _cut_s3(self) -> None:
        """The way to the bucket is cut. Who restores it does so in a thread, for other troubles may come meanwhile."""
        ground = self._ground
        ground.set_s3_faults(**s3_faults(ground.scale), outage=True)

        def restore() -> None:
            self._stop.wait(ground.scale.s3_outage)
            ground.set_s3_faults(**s3_faults(ground.scale))

        thread = threading.Thread(target=restore, name="s3 outage", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _fell(self, name: str) -> None:
        """It ends through us: that is no crash, and no reason for the supervisor to wait longer each time."""
        child = self._ground.stack.supervisor[name]
        self._ground.fallen.felled.add(child.pid)
        child.restarts = 0

    def _await_redis(self) -> None:
        client = redis.Redis.from_url(self._ground.stack.redis_url, socket_timeout=1, socket_connect_timeout=1)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        wait_for(answers, 60)


def s3_faults(scale: Scale) -> dict[str, float]:
    """What goes wrong on the way to the bucket."""
    return {**LASTING_S3_FAULTS, "stalls": 0.005, "stall": scale.s3_stall}


def weather(scale: Scale) -> dict[str, float]:
    """What goes wrong at the vendor's."""
    return {**LASTING_WEATHER, "holds": scale.holds, "hold": scale.hold, "bursts": scale.bursts, "burst": 2}


def _read_items(messages: Iterable[bytes]) -> list[Item]:
    """Of Celery's messages; a sweep's names none."""
    bodies = (json.loads(json.loads(message)["body"]) for message in messages)
    return [Item.parse(kwargs["item"]) for _, kwargs, _ in bodies if "item" in kwargs]
