"""What the simulator's books tell, and what it says that things cost, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from app.simulator.client import SimulatorClient
from app.simulator.command import simulator as command
from app.simulator.server import Options, Simulator
from tests.contract.test_simulator import SPEED, Bench


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator(Options(speed=SPEED, rate_limit=0)) as running:
        yield running


@pytest.fixture
def bench(running: Simulator) -> Iterator[Bench]:
    bench = Bench(SimulatorClient(running.url))
    yield bench
    bench.receiver.close()


def purchase(bench: Bench, base: str) -> dict[str, Any]:
    [row] = [row for row in bench.client.books()["purchases"] if row["taskId"] == base]
    found: dict[str, Any] = row
    return found


def order_4k(bench: Bench, base: str, callback_url: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = bench.post(
        "/api/v1/veo/get-4k-video", {"taskId": base, "index": 0, "callBackUrl": callback_url}
    )["data"]
    return answer


# ---------------------------------------------------------------------- the books


def test_the_books_say_whether_there_is_a_callback_url_and_not_which(bench: Bench) -> None:
    told, silent = bench.generated(callback_url=bench.receiver.url), bench.generated()
    known = bench.client.books()["generations"]
    assert [known[told]["hasCallback"], known[silent]["hasCallback"]] == [True, False]
    without_deliveries = {**known[told], "deliveries": []}
    assert bench.receiver.url not in str(without_deliveries)


def test_a_purchase_tells_every_question_about_it(bench: Bench) -> None:
    base = bench.generated()
    before = time.time()
    own = order_4k(bench, base)["taskId"]
    for _ in range(2):
        order_4k(bench, base)
    bench.details(own)
    row = purchase(bench, base)
    assert (row["asks"], len(row["askedAt"])) == (4, 4)
    assert sorted(row["askedAt"]) == row["askedAt"]
    assert before <= row["askedAt"][0] == row["at"]
    assert row["askedAt"][-1] <= time.time()


def test_a_question_about_a_1080p_is_counted(bench: Bench) -> None:
    base = bench.generated()
    for _ in range(3):
        bench.get("/api/v1/veo/get-1080p-video", params={"taskId": base, "index": 0})
    assert purchase(bench, base)["asks"] == 3


def test_the_unified_form_asks_by_record_info(bench: Bench) -> None:
    base = bench.generated()
    own = bench.client.create_task("veo/get-1080p-video", {"taskId": base}, bench.receiver.url)
    bench.client.record_info(own)
    row = purchase(bench, base)
    assert (row["asks"], row["hasCallback"], row["form"]) == (2, True, "unified")


def test_the_books_date_everything_new_and_nothing_else(bench: Bench) -> None:
    start = len(bench.client.books()["creations"])
    before = time.time()
    base = bench.generated()
    extension = bench.client.extend(base, "on")
    order_4k(bench, base)
    order_4k(bench, base)
    bench.client.create_task("veo/get-4k-video", {"taskId": base})
    bench.post("/api/v1/veo/generate", {"prompt": "scenario=submit-refused"})
    bench.post("/api/v1/veo/generate", {"prompt": "scenario=submit-uncertain dated"})
    free = bench.generated("4k-already-made")
    order_4k(bench, free)
    books = bench.client.books()
    new = books["creations"][start:]
    assert len(new) == 6
    assert sorted(new) == new
    assert before <= new[0] <= new[-1] <= time.time()
    made = [books["generations"][task_id]["createdAt"] for task_id in (base, extension, free)]
    bought = [row["at"] for row in books["purchases"] if row["taskId"] == base]
    assert {*made, *bought} <= set(new)
    assert all(isinstance(moment, float) for moment in new)


# ---------------------------------------------------------------------- credits


def test_charged_more_is_taken_and_told_for_upgrades_too(bench: Bench) -> None:
    before = bench.client.books()["creditsLeft"]
    made = bench.generated("charged-more", callback_url=bench.receiver.url)
    own = order_4k(bench, made, bench.receiver.url + "&4k")["taskId"]
    told = {bench.receiver.next().body["data"]["creditsConsumed"] for _ in range(2)}
    assert told == {90, 180}
    assert [bench.details(task_id)["creditsConsumed"] for task_id in (made, own)] == [90, 180]
    books = bench.client.books()
    row = books["generations"][made]
    assert (row["credits"], row["creditsConsumed"]) == (60, 90)
    assert purchase(bench, made)["creditsConsumed"] == 180
    assert before - books["creditsLeft"] == 270


def test_a_failure_can_be_charged_and_say_so(bench: Bench) -> None:
    made = bench.generated("charged-but-failed", callback_url=bench.receiver.url, model="veo3")
    body, details = bench.receiver.next().body, bench.details(made)
    assert (body["code"], body["data"]["creditsConsumed"]) == (501, 250)
    assert (details["successFlag"], details["errorCode"], details["creditsConsumed"]) == (2, 501, 250)
    assert bench.client.books()["generations"][made]["creditsConsumed"] == 250


def test_the_unified_form_says_what_was_charged(bench: Bench) -> None:
    bench.client.create_task("veo-3-1", {"prompt": "scenario=charged-more a cat"}, bench.receiver.url)
    assert bench.receiver.next().body["data"]["creditsConsumed"] == 90
    made = bench.client.create_task("veo-3-1", {"prompt": "scenario=charged-but-failed a cat"}, bench.receiver.url)
    assert bench.receiver.next().body["data"]["creditsConsumed"] == 60
    assert bench.client.record_info(made)["creditsConsumed"] == 60


def test_other_details_do_not_tell_the_price(bench: Bench) -> None:
    made = bench.generated("odd-body-prompt-object", callback_url=bench.receiver.url)
    assert bench.receiver.next().body["data"]["creditsConsumed"] == 60
    assert "creditsConsumed" not in bench.details(made)


def test_nothing_is_told_before_it_is_charged_for_good() -> None:
    with Simulator(Options()) as running:
        client = SimulatorClient(running.url)
        unified = client.create_task("veo-3-1", {"prompt": "a cat"})
        dedicated = client.generate("scenario=charged-more a cat")
        params = {"taskId": dedicated}
        details = client.call("GET", "/api/v1/veo/record-info", params=params).json()["data"]
        assert [client.record_info(unified)["creditsConsumed"], details["creditsConsumed"]] == [None, None]


# ---------------------------------------------------------------------- the command


def test_the_help_names_the_option_for_retry_after() -> None:
    assert "--retry-after" in CliRunner().invoke(command, ["--help"]).output
