"""How the simulator refuses what would create something, and how it leaves a client in doubt (veo-api §1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.contract.test_simulator import SPEED, Bench

GENERATE, CREATE = "/api/v1/veo/generate", "/api/v1/jobs/createTask"


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(Options(speed=SPEED, rate_limit=0)) as running:
        yield running


@pytest.fixture
def bench(running: Simulator) -> Iterator[Bench]:
    bench = Bench(SimulatorClient(running.url))
    yield bench
    bench.receiver.close()


def created(bench: Bench, prompt: str) -> dict[str, dict[str, Any]]:
    """The generations of this prompt in the books, by their ids."""
    known = bench.client.books()["generations"]
    return {task_id: row for task_id, row in known.items() if row["prompt"] == prompt}


def submit(bench: Bench, path: str, prompt: str) -> requests.Response:
    given = {"prompt": prompt, "callBackUrl": bench.receiver.url}
    body = given if path == GENERATE else {"model": "veo-3-1", "input": given, "callBackUrl": bench.receiver.url}
    return bench.client.call("POST", path, json=body)


@pytest.fixture(params=[GENERATE, CREATE], ids=["dedicated", "unified"])
def path(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.mark.parametrize(
    ("scenario", "answers", "made"),
    [
        ("submit-refused", [422] * 3, 0),
        ("submit-no-credits", [402] * 3, 0),
        ("submit-maintenance", [455, 455, 200], 1),
        ("submit-failed-null", [500] * 3, 0),
        ("submit-busy", [429, 429, 200], 1),
    ],
)
def test_a_refused_submit_creates_nothing_and_costs_nothing(
    bench: Bench, path: str, scenario: str, answers: list[int], made: int
) -> None:
    prompt = f"scenario={scenario} by {path}"
    before = bench.client.books()["creditsLeft"]
    responses = [submit(bench, path, prompt) for _ in answers]
    assert answers == [response.json()["code"] for response in responses]
    refused = [response.json() for response in responses if response.json()["code"] != 200]
    assert [body["data"] for body in refused] == [None] * len(refused)
    assert {response.status_code for response in responses} <= {200, 429}
    assert made == len(created(bench, prompt))
    assert before - bench.client.books()["creditsLeft"] == 60 * made


def test_refusals_follow_the_429s(bench: Bench) -> None:
    faults = {"refuse_429": 1, "refuse_code": 433, "refuse_first": 1}
    bench.post("/_simulator/scenarios", {"name": "both", "submit": faults})
    assert [submit(bench, GENERATE, "scenario=both cat").json()["code"] for _ in range(3)] == [429, 433, 200]


def test_a_dropped_submit_was_created_and_is_not_answered(bench: Bench, path: str) -> None:
    prompt = f"scenario=submit-dropped by {path}"
    with pytest.raises(requests.ConnectionError, match="without response"):
        submit(bench, path, prompt)
    assert len(created(bench, prompt)) == 1
    assert submit(bench, path, prompt).json()["code"] == 200
    assert len(created(bench, prompt)) == 2


def test_an_uncertain_submit_is_called_back_as_created(bench: Bench, path: str) -> None:
    prompt = f"scenario=submit-uncertain by {path}"
    assert submit(bench, path, prompt).status_code == 500
    assert list(created(bench, prompt)) == [bench.receiver.next().body["data"]["taskId"]]


def test_an_uncertain_submit_can_fail_with_data_null(bench: Bench, path: str) -> None:
    prompt = f"scenario=submit-uncertain-failed by {path}"
    response = submit(bench, path, prompt)
    assert (500, {"code", "msg"}) == (response.status_code, set(response.json()))
    assert bench.receiver.next().body["data"] is None
    assert [row["outcome"] for row in created(bench, prompt).values()] == ["failed"]


def test_an_uncertain_submit_can_keep_silent(bench: Bench, path: str) -> None:
    prompt = f"scenario=submit-uncertain-silent by {path}"
    assert submit(bench, path, prompt).status_code == 500
    bench.until(lambda: [row["outcome"] for row in created(bench, prompt).values()] == ["success"])
    after = bench.client.generate("a cat", bench.receiver.url)
    assert after == bench.receiver.next().body["data"]["taskId"]


@pytest.mark.parametrize(("seconds", "expected"), [(7, "7"), (None, None)])
def test_an_answer_of_429_says_when_to_come_back_if_it_is_told_to(seconds: int | None, expected: str | None) -> None:
    with Simulator(Options(retry_after=seconds)) as running:
        client = SimulatorClient(running.url)
        busy, other = (client.call("POST", GENERATE, json={"prompt": "scenario=submit-busy"}) for _ in range(2))
        done = client.call("POST", GENERATE, json={"prompt": "a cat"})
    assert [busy.status_code, other.status_code, done.status_code] == [429, 429, 200]
    assert [expected, None] == [busy.headers.get("Retry-After"), done.headers.get("Retry-After")]
