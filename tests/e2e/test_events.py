"""Events through the live stack, to a receiver whose library verifies them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.support.fleet import Fleet, running_fleet
from tests.support.receiver import SECRET, Arrival, Receiver, receiving
from tests.support.waiting import wait_for

#: the processes that send
SENDERS = ("worker", "mirror")


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Receiver]]:
    """A stack and the receiver that it tells."""
    folder: Path = tmp_path_factory.mktemp("telling")
    with receiving() as receiver:
        env = {"EVENTS_URL": receiver.url, "EVENTS_SECRET": SECRET, "EVENTS_INSECURE": "1"}
        with running_fleet(folder, **{f"REELKEEP_{name}": value for name, value in env.items()}) as fleet:
            yield fleet, receiver


def read(arrival: Arrival) -> tuple[str, str | None, str]:
    """Type, kind and state, of an event whose signature is good."""
    event = Webhook(SECRET).verify(arrival.body, arrival.headers)
    return event["type"], event["data"]["kind"], event["data"]["state"]


def test_what_is_stored_and_what_has_failed_is_told(ends: tuple[Fleet, Receiver]) -> None:
    fleet, receiver = ends
    stored, failed = fleet.generate(upgrades=("4k",)), fleet.generate("failed-422")
    shown = fleet.await_state(stored)
    fleet.await_state(failed, "failed")
    wait_for(lambda: len(receiver.of(stored)) >= len(shown["renditions"]) and receiver.of(failed))
    told = sorted(str(read(arrival)[1]) for arrival in receiver.of(stored))
    assert told == sorted(rendition["kind"] for rendition in shown["renditions"])
    assert {read(arrival)[::2] for arrival in receiver.of(stored)} == {("video.stored", "stored")}
    assert [read(arrival) for arrival in receiver.of(failed)] == [("video.failed", None, "failed")]
    for rendition in shown["renditions"]:
        [data] = [one.data for one in receiver.of(stored) if one.data["kind"] == rendition["kind"]]
        assert {name: rendition[name] for name in data.keys() & rendition.keys()} == {
            name: data[name] for name in data.keys() & rendition.keys()
        }


def test_a_receiver_that_says_nothing_holds_up_nothing(ends: tuple[Fleet, Receiver]) -> None:
    """More events than there are threads that send them, and none is answered."""
    fleet, receiver = ends
    receiver.open.clear()
    try:
        tasks = [fleet.generate() for _ in range(12)]
        for task_id in tasks:
            fleet.await_state(task_id)
    finally:
        receiver.open.set()
    wait_for(lambda: all(receiver.of(task_id) for task_id in tasks))


def test_what_a_killed_worker_had_sent_and_not_noted_comes_again_under_the_same_id(
    ends: tuple[Fleet, Receiver],
) -> None:
    fleet, receiver = ends
    receiver.open.clear()
    task_id = fleet.generate()
    wait_for(lambda: receiver.of(task_id))
    try:
        for name in SENDERS:
            fleet.stack.supervisor.kill(name, hold=True)
    finally:
        receiver.open.set()
        for name in SENDERS:
            fleet.stack.supervisor.release(name)
    wait_for(lambda: len(receiver.of(task_id)) >= 2)
    first, *again = receiver.of(task_id)
    assert {(one.id, one.body) for one in again} == {(first.id, first.body)}
    for arrival in receiver.of(task_id):
        assert read(arrival) == ("video.stored", "result", "stored")


def test_no_secret_is_in_a_log_or_an_event(ends: tuple[Fleet, Receiver]) -> None:
    fleet, receiver = ends
    logs = "".join(fleet.log(name) for name in ("web", *SENDERS))
    assert "event.delivered" in logs
    for secret in (SECRET, SECRET.removeprefix("whsec_"), "token=planted"):
        assert secret not in logs
    assert not any(b"://" in arrival.body for arrival in receiver.got)
    assert all(json.loads(arrival.body)["data"]["taskId"] for arrival in receiver.got)
