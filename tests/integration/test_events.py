"""Events on their way: a real redis-server, a real receiver on loopback, signatures checked by the scheme's own library."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from standardwebhooks import Webhook, WebhookVerificationError

from app.adapters.notifier import HttpNotifier
from app.adapters.packing import unpack
from app.adapters.redis_ledger import LOST_AFTER, RedisLedger
from app.assembly import open_ledger, open_notifier
from app.domain.checkup import Level
from app.domain.errors import NotDelivered, ReceiverGone
from app.domain.events import FAILED, STORED
from app.domain.generation import Generation
from app.domain.health import PATIENCE
from app.domain.ledger import Draft
from app.domain.outbox import Event
from app.domain.policy import Policy
from app.domain.vendor import Progress
from app.domain.work import Item, Step
from app.embedded import free_port, redis_server, running
from app.pipeline.notify import notify
from app.pipeline.track import track
from app.settings import Settings
from app.web.dashboard.findings import find_what_is_wrong, look_at_parts
from tests.integration.desk import front_door
from tests.support import course
from tests.support.crash import die
from tests.support.metrics import read, scrape
from tests.support.receiver import OLD_SECRET, SECRET, Receiver, receiving
from tests.support.waiting import wait_for

TASK = "0819326cc7fddfd620baf6e1f0db7e2b"
POLICY = Policy(retry_base=0.01, retry_max=0.02, lease=5)
EVENT = Event(id="evt_1", type=STORED, at=1000.0, body='{"type":"video.stored","data":{"label":"é"}}')


@pytest.fixture
def ledger(redis_url: str) -> RedisLedger:
    return RedisLedger(redis_url, events=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def notifier_to(receiver: Receiver, *secrets: str, timeout: float = 10.0) -> HttpNotifier:
    return HttpNotifier(receiver.url, secrets or (SECRET,), insecure=True, timeout=timeout)


@pytest.fixture
def work(ledger: RedisLedger, receiver: Receiver) -> Callable[[], None]:
    """Delivers all that there is to be delivered, retries too, as one postman does."""

    def run() -> None:
        while True:
            item, pause = ledger.next_event()
            if item:
                notify(Item.parse(item), ledger, notifier_to(receiver), POLICY)
            elif pause > 1:
                return
            else:
                time.sleep(pause)

    return run


def stored(ledger: RedisLedger, task_id: str = TASK, labels: dict[str, str] | None = None) -> None:
    track(task_id, [], labels or {}, ledger, course.POLICY)
    course.settle_now(ledger, task_id)
    course.store(ledger, task_id)


def generation(ledger: RedisLedger, task_id: str = TASK) -> Generation:
    found = ledger.read(task_id).generation
    assert found is not None
    return found


def told(ledger: RedisLedger, task_id: str = TASK) -> list[tuple[str, object]]:
    return [(news.name, news.facts.get("reason")) for news in ledger.timeline(task_id) if "event" in news.name]


# --- one delivery ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_a_receiver_with_either_secret_of_a_rotation_can_verify_it(receiver: Receiver, secret: str) -> None:
    notifier_to(receiver, SECRET, OLD_SECRET).deliver(EVENT)
    [arrival] = receiver.got
    assert Webhook(secret).verify(arrival.body, arrival.headers) == json.loads(EVENT.body)
    assert arrival.id == EVENT.id
    assert arrival.headers["content-type"] == "application/json"


def test_what_was_changed_or_signed_otherwise_is_not_verified(receiver: Receiver) -> None:
    notifier_to(receiver).deliver(EVENT)
    [arrival] = receiver.got
    for body, headers, secret in [
        (arrival.body + b" ", arrival.headers, SECRET),
        (arrival.body, arrival.headers | {"webhook-id": "evt_2"}, SECRET),
        (arrival.body, arrival.headers, OLD_SECRET),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_any_2xx_is_taken_for_a_yes(receiver: Receiver) -> None:
    receiver.statuses = [200, 201, 202, 204, 299]
    for _ in range(5):
        notifier_to(receiver).deliver(EVENT)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_worth_another_try_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    with pytest.raises(NotDelivered, match=f"^the receiver answered HTTP {status}$"):
        notifier_to(receiver).deliver(EVENT)
    assert [arrival.path for arrival in receiver.got] == ["/hook?token=planted"]


def test_a_receiver_may_say_that_it_wants_no_more(receiver: Receiver) -> None:
    receiver.statuses = [410]
    with pytest.raises(ReceiverGone):
        notifier_to(receiver).deliver(EVENT)


def test_a_receiver_that_says_nothing_is_given_up(receiver: Receiver) -> None:
    receiver.open.clear()
    with pytest.raises(NotDelivered, match=r"^no answer within 0\.3 s$"):
        notifier_to(receiver, timeout=0.3).deliver(EVENT)


def test_a_receiver_that_says_a_byte_now_and_then_is_given_up_too() -> None:
    """Each byte resets a library's own time-out."""
    ended = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                for byte in itertools.chain(b"HTTP/1.1 204 No Content\r\nX-Long: ", itertools.repeat(97)):
                    connection.sendall(bytes([byte]))
                    if ended.wait(0.05):
                        return
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(NotDelivered, match=r"^no answer within 0\.5 s$"):
                HttpNotifier(url, [SECRET], insecure=True, timeout=0.5).deliver(EVENT)
        finally:
            ended.set()
            thread.join()


def test_nobody_there_is_worth_another_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotDelivered, match=r"^no answer: Connection refused$"):
        HttpNotifier(f"http://127.0.0.1:{port}/", [SECRET], insecure=True).deliver(EVENT)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_a_name_that_has_come_to_lead_inside_reaches_nobody(address: str) -> None:
    notifier = HttpNotifier("https://hooks.example.com/", [SECRET], insecure=False, look_up=lambda host: [address])
    with pytest.raises(NotDelivered, match="not public"):
        notifier.deliver(EVENT)


# --- from the ledger -------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_told(ledger: RedisLedger, receiver: Receiver, work: Callable[[], None]) -> None:
    stored(ledger, labels={"shop": "a"})
    work()
    [arrival] = receiver.got
    body = Webhook(SECRET).verify(arrival.body, arrival.headers)
    assert body["type"] == STORED
    assert (arrival.data["taskId"], arrival.data["labels"]) == (TASK, {"shop": "a"})
    assert (arrival.data["kind"], arrival.data["key"]) == ("result", f"veo/{TASK}/result-0.mp4")
    assert ledger.stats()["events:delivered"] == 1
    assert told(ledger) == []


def test_without_a_receiver_nothing_is_written(redis_url: str, client: redis.Redis) -> None:
    ledger = RedisLedger(redis_url)
    stored(ledger)
    assert not generation(ledger).outbox.events
    assert not client.exists("reelkeep:due:events")
    raw = client.get(f"reelkeep:gen:{TASK}")
    assert isinstance(raw, str)
    assert "outbox" not in unpack(raw)


def test_what_was_delivered_leaves_nothing_behind(
    ledger: RedisLedger, client: redis.Redis, work: Callable[[], None]
) -> None:
    stored(ledger)
    course.finish(ledger, TASK)
    work()
    assert not client.exists("reelkeep:due:events")
    raw = client.get(f"reelkeep:gen:{TASK}")
    assert isinstance(raw, str)
    assert "outbox" not in unpack(raw)


def test_faults_are_tried_again_under_the_same_id(
    ledger: RedisLedger, client: redis.Redis, receiver: Receiver, work: Callable[[], None]
) -> None:
    receiver.statuses = [500, 503, 302, 404]
    stored(ledger)
    work()
    assert len(receiver.got) == 5
    assert len({(arrival.id, arrival.body) for arrival in receiver.got}) == 1
    for arrival in receiver.got:
        Webhook(SECRET).verify(arrival.body, arrival.headers)
    assert (ledger.stats()["events:postponed"], ledger.stats()["events:delivered"]) == (4, 1)
    assert len(ledger.timeline(TASK)) == client.llen(f"reelkeep:timeline:{TASK}")
    assert told(ledger) == []


def test_a_receiver_that_wants_no_more_is_left_alone_and_that_is_said(
    ledger: RedisLedger, receiver: Receiver, work: Callable[[], None]
) -> None:
    receiver.statuses = [410]
    stored(ledger)
    work()
    assert len(receiver.got) == 1
    assert told(ledger) == [("event.dropped", "the receiver answered HTTP 410: it wants no more")]
    assert ledger.stats()["events:dropped"] == 1


def test_an_event_of_which_a_day_has_passed_is_dropped_visibly(
    ledger: RedisLedger, receiver: Receiver, work: Callable[[], None]
) -> None:
    stored(ledger)

    def age(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.outbox.events[0].at -= 86400

    ledger.change(TASK, age)
    receiver.statuses = [500]
    work()
    assert len(receiver.got) == 1
    assert told(ledger) == [("event.dropped", "given up after 24 h: the receiver answered HTTP 500")]


def test_events_of_one_generation_arrive_in_order_whatever_fails_and_whoever_delivers(
    ledger: RedisLedger, redis_url: str, receiver: Receiver
) -> None:
    """Four postmen, three generations, each of which fails twice before it comes, and a receiver that fails every third time."""
    tasks, numbers = [f"{TASK[:-1]}{n}" for n in range(3)], itertools.count()
    receiver.answer = lambda arrival: 500 if next(numbers) % 3 == 0 else 204

    def tell(task_id: str) -> None:
        track(task_id, [], {}, ledger, course.POLICY)
        for _ in range(2):
            course.settle_now(ledger, task_id, Progress.FAILED)
            ledger.change(task_id, lambda draft: draft.generation and draft.generation.retry(draft.now))
        course.settle_now(ledger, task_id)
        course.store(ledger, task_id)

    def deliver() -> None:
        own = RedisLedger(redis_url, events=True)
        while not all_told.is_set() or any(generation(own, task_id).outbox.events for task_id in tasks):
            item, pause = own.next_event()
            if item:
                notify(Item.parse(item), own, notifier_to(receiver), POLICY)
            else:
                time.sleep(min(pause, 0.01))

    all_told = threading.Event()
    postmen = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in postmen:
        thread.start()
    for task_id in tasks:
        tell(task_id)
    all_told.set()
    for thread in postmen:
        thread.join(60)
    for task_id in tasks:
        once = {arrival.id: json.loads(arrival.body) for arrival in receiver.of(task_id)}
        assert [body["type"] for body in once.values()] == [FAILED, FAILED, STORED]
        ids = [arrival.id for arrival in receiver.of(task_id)]
        assert [key for key, _ in itertools.groupby(ids)] == list(once)  # none came between two tries of another


def test_one_generations_receiver_holds_up_no_other(ledger: RedisLedger, receiver: Receiver) -> None:
    stored(ledger)
    stored(ledger, other := f"{TASK[:-1]}0")
    receiver.answer = lambda arrival: 500 if arrival.data["taskId"] == TASK else 204
    slow = Policy(retry_base=600, retry_max=600)
    while (item := ledger.next_event()[0]) != "":
        notify(Item.parse(item), ledger, notifier_to(receiver), slow)
    assert len(receiver.of(other)) == 1
    assert not generation(ledger, other).outbox.events
    assert generation(ledger).outbox.attempts > 0


def test_a_receiver_that_is_away_is_noticed(redis_url: str, ledger: RedisLedger, work: Callable[[], None]) -> None:
    app = front_door(redis_url)

    def shown() -> tuple[float, float]:
        families = scrape(app)
        return read(families, "reelkeep_events_waiting"), read(families, "reelkeep_events_oldest_seconds")

    def warnings() -> list[str]:
        found: list[str] = app.test_client().get("/readyz").get_json()["warnings"]
        return [text for text in found if "receiver" in text]

    assert shown() == (0, 0)
    stored(ledger)
    stored(ledger, other := f"{TASK[:-1]}0")
    waiting, oldest = shown()
    assert waiting == 2
    assert 0 <= oldest < PATIENCE
    assert warnings() == []

    def age(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.outbox.events[0].at -= 3 * 3600 + 60

    ledger.change(other, age)
    text = "your receiver has not taken the oldest event for 3 h; generations whose events wait: 2"
    assert 3 * 3600 <= shown()[1] < 4 * 3600
    assert warnings() == [text]
    assert ledger.overview().health.warn_of_receiver == ledger.figures().health.warn_of_receiver == text
    parts = {part.name: part for part in look_at_parts(ledger.overview(), [], Settings(redis_url=redis_url))}
    assert (parts["Events"].level, parts["Events"].text) == (Level.WARNING, text)
    assert find_what_is_wrong(ledger.overview(), [parts["Events"]], Policy())[-1].sentence == f"Events: {text}"
    work()
    assert shown() == (0, 0)
    assert warnings() == []


def test_what_a_killed_worker_had_goes_out_again_under_the_same_id(
    ledger: RedisLedger, receiver: Receiver, work: Callable[[], None]
) -> None:
    """It was posted, and never noted."""
    stored(ledger)
    item = Item(Step.NOTIFY, TASK)
    brief = Policy(lease=0.05)

    class Killed(BaseException):
        pass

    class Deadly:
        def deliver(self, event: Event) -> None:
            notifier_to(receiver).deliver(event)
            raise Killed

    with pytest.raises(Killed):
        notify(item, ledger, Deadly(), brief)
    work()
    one, other = receiver.got
    assert (one.id, one.body) == (other.id, other.body)
    assert not generation(ledger).outbox.events


def test_a_generation_is_given_to_one_postman_at_a_time(ledger: RedisLedger) -> None:
    """And to another one after a moment: the first may have died before it has claimed it."""
    stored(ledger)
    assert ledger.next_event() == (f"notify/{TASK}", 0.0)
    item, pause = ledger.next_event()
    assert item == ""
    assert 0 < pause <= LOST_AFTER


def test_the_loss_of_the_queue_loses_no_event(
    ledger: RedisLedger, client: redis.Redis, receiver: Receiver, work: Callable[[], None]
) -> None:
    stored(ledger)
    for key in client.scan_iter("reelkeep.*"):
        client.delete(key)
    work()
    assert len(receiver.got) == 1


def test_a_slow_receiver_is_sent_nothing_twice_while_it_thinks(ledger: RedisLedger, receiver: Receiver) -> None:
    """Longer than the lease: whoever waits for it says that it is still there."""
    stored(ledger)
    receiver.open.clear()
    item, brief = Item(Step.NOTIFY, TASK), Policy(lease=0.3)
    waiting = threading.Thread(target=notify, args=(item, ledger, notifier_to(receiver), brief))
    waiting.start()
    receiver.await_count(1)
    late = ledger.now() + 4 * brief.lease

    def pass_by() -> bool:
        notify(item, ledger, notifier_to(receiver, timeout=0.1), brief)
        return ledger.now() > late

    wait_for(pass_by)
    receiver.open.set()
    waiting.join()
    assert len(receiver.got) == 1
    assert not generation(ledger).outbox.events


def test_an_event_outlives_a_killed_redis(tmp_path: Path, receiver: Receiver) -> None:
    port = free_port()
    service = redis_server(tmp_path, port, appendfsync="always")
    ledger = RedisLedger(f"redis://127.0.0.1:{port}/0", events=True)
    with running(service, tmp_path / "log") as process:
        stored(ledger)
        told = generation(ledger).outbox.events[0]
        die(process)
    with running(service, tmp_path / "log"):
        notify(Item.parse(ledger.next_event()[0]), ledger, notifier_to(receiver), POLICY)
    assert [arrival.id for arrival in receiver.got] == [told.id]


def test_a_commit_that_arrives_twice_tells_once(
    ledger: RedisLedger, receiver: Receiver, work: Callable[[], None]
) -> None:
    stored(ledger)
    ledger.change(TASK, lambda draft: None)
    ledger.change(TASK, course.put)
    work()
    assert len(receiver.got) == 1


def test_lists_that_are_made_anew_tell_nothing(
    ledger: RedisLedger, client: redis.Redis, work: Callable[[], None]
) -> None:
    track(TASK, [], {}, ledger, course.POLICY)
    course.settle_now(ledger, TASK, Progress.FAILED)
    course.finish(ledger, TASK)
    work()
    older = client.get(f"reelkeep:gen:{TASK}")  # a version that packed nothing has written it
    assert isinstance(older, str)
    client.set(f"reelkeep:gen:{TASK}", unpack(older))
    before = ledger.stats()
    assert ledger.refresh_lists() == 1
    assert client.get(f"reelkeep:gen:{TASK}") == older
    assert not generation(ledger).outbox.events
    assert ledger.stats() == before


def test_nobody_waits_for_what_goes_out_in_the_health_check(ledger: RedisLedger, client: redis.Redis) -> None:
    """A receiver that is away is no fault of ours: no platform should start our processes anew because of it."""
    stored(ledger)
    client.zadd("reelkeep:due:events", {f"notify/{TASK}": 1.0})
    client.delete("reelkeep:due:mirror", "reelkeep:due:manifest", "reelkeep:due:quick")
    assert ledger.health().overdue == 0
    assert ledger.overview().health.overdue == 0


def test_outboxes_are_filled_where_the_settings_name_a_receiver(redis_url: str) -> None:
    listened = Settings(redis_url=redis_url, events_url="https://x.example.com/", events_secret=(SECRET,))
    stored(open_ledger(listened))
    assert len(generation(open_ledger(listened)).outbox.events) == 1
    assert open_notifier(listened) is not None
    assert open_notifier(Settings(redis_url=redis_url)) is None
