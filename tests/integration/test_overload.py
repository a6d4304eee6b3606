"""A Redis whose memory is full: the front door says so, what was taken in is worked off, nothing that was recorded is lost."""

import re
import uuid
from collections.abc import Iterator

import pytest

from tests.support.flood import (
    Flooded,
    find_unknown,
    find_unsettled,
    flood,
    free_memory,
    leave_room,
    make_callback,
    running_flooded,
)
from tests.support.waiting import wait_for

#: of a worker process, by the Procfile
THREADS = 8


@pytest.fixture(scope="module")
def flooded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flooded]:
    with running_flooded(tmp_path_factory.mktemp("flooded"), {}) as running:
        yield running


def test_what_a_user_asks_for_overtakes_a_flood_of_strangers(flooded: Flooded) -> None:
    client, supervisor = flooded.client(), flooded.stack.supervisor
    supervisor.kill("worker", hold=True)
    wait_for(lambda: supervisor["worker"].process.poll() is not None)
    strangers = flood(flooded.port, rate=80, seconds=1, connections=4)
    tracked = uuid.uuid4().hex
    assert flooded.call("PUT", f"/generations/{tracked}", json={}).status_code == 201
    assert flooded.post(*make_callback(tracked)) == 200
    assert flooded.call("POST", "/generations", json={"prompt": "a cat"}).status_code == 202
    supervisor.release("worker")
    wait_for(lambda: not find_unsettled(client, [tracked, *strangers.recorded]))
    log = (flooded.stack.folder / "logs" / "worker.log").read_text()
    done = re.findall(r"(generation\.settled|submission\.answered) (?:task_)?id=(\w+)", log)
    [submitted] = [place for place, (event, _) in enumerate(done) if event == "submission.answered"]
    [settled] = [place for place, (_, task_id) in enumerate(done) if task_id == tracked]
    # Eight threads work side by side, and what comes second of several may be noted first.
    assert max(submitted, settled) < 2 * THREADS
    assert len(done) > len(strangers.recorded)


def test_a_full_redis_is_an_honest_503_and_loses_nothing(flooded: Flooded) -> None:
    client, supervisor = flooded.client(), flooded.stack.supervisor
    # On a quick machine the worker would keep up.
    supervisor.kill("worker", hold=True)
    wait_for(lambda: supervisor["worker"].process.poll() is not None)
    leave_room(client, 2**19)
    floods = [flood(flooded.port, rate=400, seconds=2, connections=16)]
    while not floods[-1].statuses["503"]:  # a slow machine needs more of them to fill it
        floods.append(flood(flooded.port, rate=400, seconds=2, connections=16))
    recorded = [task_id for answers in floods for task_id in answers.recorded]
    assert find_unknown(client, recorded) == []
    assert all(answers.honest for answers in floods), [answers.statuses for answers in floods]
    assert recorded
    # What was taken in is worked off though nothing new can be.
    supervisor.release("worker")
    wait_for(lambda: not find_unsettled(client, recorded))
    free_memory(client)
    again = flood(flooded.port, rate=50, seconds=1, connections=4)
    assert set(again.statuses) == {"200"}
    wait_for(lambda: not find_unsettled(client, again.recorded))
