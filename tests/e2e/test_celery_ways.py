"""The ways in which Celery on Redis loses or doubles work, each closed: docs/decisions/0004-celery.md has the list.

Workers of the Procfile on a redis-server that can be broken, before a vendor that answers when it is told to. There is no beat:
where a test waits for a sweep, it sends the message that beat would send.
"""

import ast
import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from celery import Celery

from app.adapters import redis_ledger
from app.adapters.redis_ledger import RedisLedger
from app.domain.errors import LedgerUnavailable
from app.domain.policy import Policy
from app.domain.work import SWEEP_QUEUE, SWEEP_TASK, Lane, Step, task_name
from app.embedded.redis_server import redis_server
from app.embedded.service import Service, free_port, start_process, stop_process, wait_until_ready
from app.pipeline.track import track
from tests.support.held import GENERATING, HeldVendor, Way, held_vendor
from tests.support.procfile import Process, Yard, yard
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
QUICK = Lane.QUICK.queue
#: what Redis may hold once the work is done
KNOWN_KEYS = re.compile(r"reelkeep[:.].+|_kombu\.binding.+|.+\.reply\.celery\.pidbox|unacked(_index|_mutex)?")


@dataclass
class Broker:
    """A redis-server, and a database of it that has the ledger and the queues."""

    service: Service
    folder: Path
    port: int
    database: int = 0
    process: Any = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/{self.database}"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)

    @property
    def ledger(self) -> RedisLedger:
        return RedisLedger(self.url)

    @property
    def celery(self) -> Celery:
        app = Celery("test", broker=self.url, set_as_current=False)
        app.conf.task_ignore_result = True
        return app

    def start(self) -> None:
        log = self.folder / "redis.log"
        self.process = start_process(self.service, log)
        wait_until_ready(self.service, self.process, log, 60)

    def track(self, count: int = 1) -> list[str]:
        """Have the vendor asked about so many new generations, at once."""
        ids = [f"way-{next(self.numbers)}" for _ in range(count)]
        for task_id in ids:
            track(task_id, (), {}, self.ledger, Policy(first_poll_after=0))
        return ids

    def unacked(self) -> int:
        """How many messages are with workers, and would be delivered once more."""
        return int(self.client.hlen("unacked"))

    def inspect(self, worker: Process, question: str) -> Any:
        """Ask a running worker about itself."""

        def ask() -> dict[str, Any] | None:
            with self.celery.connection_for_write() as connection:  # a pooled one may have been broken by a test
                inspector = self.celery.control.inspect([worker.node], timeout=5, connection=connection)
                answers: dict[str, Any] | None = getattr(inspector, question)()
                return answers

        return wait_for(ask)[worker.node]  # type: ignore[index]  # it is something by now

    def received(self, worker: Process, step: Step) -> int:
        """How many messages of a step a worker has received."""
        return int(self.inspect(worker, "stats")["total"].get(task_name(step), 0))

    def sweep(self) -> None:
        """What beat does."""
        self.celery.send_task(SWEEP_TASK, queue=SWEEP_QUEUE)


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    port = free_port()
    broker = Broker(redis_server(folder, port, appendfsync="always"), folder, port)
    broker.start()
    try:
        yield broker
    finally:
        stop_process(broker.process)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("redis")) as broker:
        yield broker


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[HeldVendor, str]]:
    with held_vendor() as made:
        yield made


@pytest.fixture
def vendor(server: tuple[HeldVendor, str]) -> Iterator[HeldVendor]:
    """The vendor: open, unless a test closes it."""
    yield server[0]
    server[0].open()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory, broker: Broker, server: tuple[HeldVendor, str]) -> Iterator[Yard]:
    """Where workers are started. Each does one thing at a time, unless a test says otherwise."""
    env = {
        "REELKEEP_REDIS_URL": broker.url,
        "REELKEEP_S3_BUCKET": "none",
        "REELKEEP_KIE_API_KEY": "planted-vendor-key",
        "REELKEEP_KIE_BASE_URL": server[1],
        "REELKEEP_POLL_INTERVAL": "1",
        "REELKEEP_POLL_INTERVAL_MAX": "1",
        "REELKEEP_SWEEP_EVERY": "600",
        "WORKER_CONCURRENCY": "1",
    }
    with yard(tmp_path_factory.mktemp("workers"), env) as made:
        yield made


@pytest.fixture(scope="module")
def worker(workers: Yard) -> Process:
    """The worker of most of the tests: none of them may end it."""
    return workers.start("worker")


@pytest.fixture(scope="module", autouse=True)
def unseen(
    tmp_path_factory: pytest.TempPathFactory, workers: Yard, server: tuple[HeldVendor, str]
) -> Iterator[tuple[Broker, str]]:
    """A worker, all of whose connections to Redis have died without a word, and what it was to do next.

    Begun first and looked at last: it takes the worker half a minute.
    """
    with running_broker(tmp_path_factory.mktemp("unseen")) as broker:
        broker.numbers = itertools.count(1000)
        way = Way(broker.port)
        workers.start("worker", REELKEEP_REDIS_URL=f"redis://127.0.0.1:{way.port}/0", REELKEEP_SWEEP_EVERY="1")
        [before] = broker.track()
        wait_for(lambda: server[0].asked[before])
        assert way.fall_silent()
        [lost] = broker.track()  # Redis gives its message to a connection on which nobody hears
        yield broker, lost
        way.close()


def hold(vendor: HeldVendor, broker: Broker) -> str:
    """Have a worker wait for the vendor's answer about a generation."""
    vendor.close()
    [task_id] = broker.track()
    wait_for(lambda: vendor.asked[task_id])
    return task_id


def restart(broker: Broker, worker: Process, ending: signal.Signals) -> None:
    """End Redis, and start it again when a worker has seen that it is gone."""
    refused = worker.said("Cannot connect to")
    broker.process.send_signal(ending)
    broker.process.wait()
    wait_for(lambda: not worker.lives or worker.said("Cannot connect to") > refused)
    broker.start()


def connections(worker: Process) -> set[str]:
    """The addresses that a worker's connections come from."""
    found = psutil.Process(worker.process.pid).net_connections("tcp4")
    return {f"{connection.laddr.ip}:{connection.laddr.port}" for connection in found}


def test_a_worker_keeps_no_message_back_neither_of_what_it_does_nor_of_what_it_will_do_next(
    broker: Broker, vendor: HeldVendor, worker: Process
) -> None:
    hold(vendor, broker)
    waiting = broker.track(3)
    for _ in range(3):  # whoever answers has been around its loop, and had the time to fetch more
        broker.inspect(worker, "ping")
    assert (broker.client.llen(QUICK), broker.unacked()) == (3, 0)
    vendor.open()
    wait_for(lambda: all(vendor.asked[task_id] for task_id in waiting))


def test_under_a_backlog_one_message_is_a_turn_for_several_items(
    broker: Broker, vendor: HeldVendor, worker: Process
) -> None:
    before = broker.received(worker, Step.SETTLE)
    hold(vendor, broker)
    waiting = broker.track(20)
    vendor.open()
    wait_for(lambda: all(vendor.asked[task_id] for task_id in waiting))
    assert broker.received(worker, Step.SETTLE) - before < 1 + 20
    assert ({vendor.asked[task_id] for task_id in waiting}, broker.client.llen(QUICK)) == ({1}, 0)


def test_a_worker_is_one_process_of_threads(broker: Broker, worker: Process) -> None:
    assert psutil.Process(worker.process.pid).children() == []
    assert broker.inspect(worker, "stats")["pool"]["implementation"].endswith("thread:TaskPool")


def test_waiting_is_done_in_the_ledger_and_never_in_a_worker(
    broker: Broker, vendor: HeldVendor, worker: Process
) -> None:
    vendor.answers["not-yet"] = [GENERATING] * 2
    track("not-yet", (), {}, broker.ledger, Policy(first_poll_after=0))
    wait_for(lambda: broker.client.zscore("reelkeep:due:quick", "settle/not-yet") and vendor.asked["not-yet"])
    assert (broker.inspect(worker, "scheduled"), broker.unacked()) == ([], 0)
    wait_for(lambda: vendor.asked["not-yet"] == 3)


def test_no_code_of_ours_has_celery_wait_repeat_or_rank() -> None:
    held = {"countdown", "eta", "rate_limit", "priority", "autoretry_for", "retry_backoff", "acks_late"}
    found = []
    for path in [*ROOT.glob("workers/*.py"), *ROOT.glob("app/pipeline/*.py"), *ROOT.glob("app/adapters/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            words = {keyword.arg for keyword in node.keywords} & held
            if words or called in ("apply_async", "delay") or ("workers" in path.parts and called == "retry"):
                found.append(f"{path}:{node.lineno}")
    assert found == []


def test_a_lost_connection_has_nothing_delivered_twice(broker: Broker, vendor: HeldVendor, worker: Process) -> None:
    before = broker.received(worker, Step.SETTLE)
    under_way = hold(vendor, broker)
    broker.client.client_kill_filter(_type="normal")
    broker.client.client_kill_filter(_type="pubsub")
    wait_for(lambda: broker.inspect(worker, "ping"))
    vendor.open()
    # Not before its turn is over, or that would go on with what comes now, without its message.
    wait_for(lambda: vendor.asked[under_way] and broker.inspect(worker, "active") == [])
    [after] = broker.track()  # behind whatever was delivered again
    wait_for(lambda: vendor.asked[after])
    assert (vendor.asked[under_way], broker.received(worker, Step.SETTLE)) == (1, before + 2)


def test_sweeps_of_several_beats_are_one(broker: Broker, worker: Process) -> None:
    sweeps = broker.ledger.stats().get("sweeps", 0)
    for _ in range(5):
        broker.sweep()
    wait_for(lambda: broker.inspect(worker, "stats")["total"].get(SWEEP_TASK, 0) >= 5)
    wait_for(lambda: broker.inspect(worker, "active") == [])
    assert broker.ledger.stats()["sweeps"] == sweeps + 1


def test_a_message_that_is_lost_between_the_queue_and_the_worker_is_made_up_for(
    broker: Broker, vendor: HeldVendor, worker: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed has taken a message off the queue by one command, and has not noted it by the next."""
    hold(vendor, broker)
    lost, kept = broker.track(2)
    assert broker.client.rpop(QUICK)
    vendor.open()
    monkeypatch.setattr(redis_ledger, "LOST_AFTER", 0.0)

    def made_up_for() -> bool:
        broker.ledger.tick()
        return bool(vendor.asked[lost] and vendor.asked[kept])

    wait_for(made_up_for)
    assert (vendor.asked[lost], vendor.asked[kept]) == (1, 1)


def test_a_message_whose_work_fails_in_an_unforeseen_way_is_shown_and_comes_back_later_and_later(
    broker: Broker, vendor: HeldVendor, worker: Process
) -> None:
    item, client = "settle/poison", broker.client
    track("poison", (), {}, broker.ledger, Policy())
    client.set("reelkeep:gen:poison", "{")
    client.zadd("reelkeep:due:quick", {item: 0})

    def pause(times: int) -> float:
        wait_for(lambda: client.hget("reelkeep:fault_counts", item) == str(times))
        return float(client.zscore("reelkeep:due:quick", item)) - broker.ledger.now()  # type: ignore[arg-type]

    assert pause(1) < 2 < pause(2)
    assert item in broker.ledger.health().faults
    client.delete("reelkeep:gen:poison")
    client.zrem("reelkeep:due:quick", item)


def test_work_leaves_no_results_and_no_queues_by_priority_behind(broker: Broker, worker: Process) -> None:
    strange = [key for key in broker.client.scan_iter() if not KNOWN_KEYS.fullmatch(key) or "\x06" in key]
    assert strange == []


def test_redis_that_is_full_refuses_what_is_new_and_drops_nothing(
    broker: Broker, vendor: HeldVendor, worker: Process
) -> None:
    hold(vendor, broker)
    waiting = broker.track(5)
    broker.client.config_set("maxmemory", "1mb")  # it holds more already
    try:
        with pytest.raises(LedgerUnavailable):
            broker.track()
        assert broker.client.llen(QUICK) == 5
    finally:
        broker.client.config_set("maxmemory", "0")
    vendor.open()
    wait_for(lambda: all(vendor.asked[task_id] for task_id in waiting))


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_holds_a_message_outlives_a_restart_of_redis(
    broker: Broker, vendor: HeldVendor, worker: Process, ending: signal.Signals
) -> None:
    # One message can be held all the same: somebody sends a task by hand, and for later.
    held = len(broker.inspect(worker, "scheduled"))
    broker.celery.send_task(
        task_name(Step.SETTLE), kwargs={"item": "settle/by-hand"}, queue=QUICK, countdown=3600, ignore_result=True
    )
    wait_for(lambda: len(broker.inspect(worker, "scheduled")) > held)
    assert broker.unacked() == 0  # it was taken for good
    restart(broker, worker, ending)
    [after] = broker.track()
    wait_for(lambda: not worker.lives or vendor.asked[after])
    assert worker.lives


def test_the_queue_outlives_a_killed_redis(broker: Broker, vendor: HeldVendor, worker: Process) -> None:
    under_way = hold(vendor, broker)
    waiting = broker.track(20)
    restart(broker, worker, signal.SIGKILL)
    vendor.open()
    wait_for(lambda: not worker.lives or all(vendor.asked[task_id] for task_id in waiting))
    assert {vendor.asked[task_id] for task_id in [under_way, *waiting]} == {1}


def test_a_worker_outlives_a_redis_that_says_nothing(broker: Broker, vendor: HeldVendor, worker: Process) -> None:

    def published() -> set[str]:
        said = {connection["addr"] for connection in broker.client.client_list() if connection["cmd"] == "publish"}
        return said & connections(worker)

    its = wait_for(published)  # on these it says every two seconds that it is there
    broker.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: not its & connections(worker))  # it has given up waiting for an answer
    finally:
        broker.process.send_signal(signal.SIGCONT)
    [after] = broker.track()
    wait_for(lambda: not worker.lives or vendor.asked[after])
    assert worker.lives


def test_what_a_stopping_and_then_killed_worker_had_is_done_by_another(
    broker: Broker, vendor: HeldVendor, workers: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_ledger, "LOST_AFTER", 1.0)
    broker.database = 1  # where no other worker is
    try:
        here = {"REELKEEP_REDIS_URL": broker.url, "REELKEEP_LEASE": "2", "WORKER_CONCURRENCY": "8"}
        dying = workers.start("worker", **here)
        under_way = hold(vendor, broker)
        dying.terminate()
        wait_for(lambda: dying.said("Warm shutdown"))
        popped = broker.track(5)  # it may well take these, and never do them
        dying.kill()
        vendor.open()
        workers.start("worker", **here)

        def done() -> bool:
            broker.ledger.tick()
            return vendor.asked[under_way] == 2 and all(vendor.asked[task_id] for task_id in popped)

        wait_for(done)
    finally:
        broker.database = 0


def test_a_connection_that_dies_unseen_is_given_up_and_what_was_lost_on_it_is_made_up_for(
    unseen: tuple[Broker, str], vendor: HeldVendor
) -> None:
    broker, lost = unseen

    def swept() -> bool:
        broker.sweep()
        return bool(vendor.asked[lost])

    wait_for(swept, limit=90, every=1)
