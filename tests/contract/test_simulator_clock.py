"""What depends on time in the simulator's unified form and its rate limit, by a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.simulator.answers import Answer
from app.simulator.books import write_books
from app.simulator.jobs import Jobs
from tests.contract.test_simulator_rules import Desk, task_id

UHD = "veo/get-4k-video"


class JobDesk(Desk):
    """A desk that takes requests of the unified form too."""

    def create(self, model: str, **given: Any) -> Answer:
        return Jobs(self.vendor, self.upgrades).create_task({"model": model, "input": given})

    def state(self, task: str) -> Any:
        """By recordInfo; None: it does not know the task."""
        answer = Jobs(self.vendor, self.upgrades).record_info(task)
        return answer.data["state"] if answer.code == 200 else None


def test_a_task_waits_stands_in_the_queue_and_is_generated() -> None:
    desk = JobDesk()
    made = task_id(desk.create("veo-3-1", prompt="a cat"))
    seen = []
    for pause in (0, 11, 2, 10, 2, 94, 1):
        desk.now += pause
        seen.append(desk.state(made))
    assert seen == ["waiting", "waiting", "queuing", "queuing", "generating", "generating", "success"]


def test_what_a_record_tells_only_in_the_end() -> None:
    desk = JobDesk()
    made = task_id(desk.create("veo-3-1", prompt="a cat"))
    desk.now += 119
    running = Jobs(desk.vendor, desk.upgrades).record_info(made).data
    assert [running[name] for name in ("resultJson", "costTime", "completeTime")] == ["", None, None]
    desk.now += 1
    ended = Jobs(desk.vendor, desk.upgrades).record_info(made).data
    assert (ended["costTime"], ended["completeTime"] - ended["createTime"]) == (120_000, 120_000)


def test_a_fresh_task_is_unknown_for_a_while_and_so_is_its_upgrade() -> None:
    desk = JobDesk()
    base = task_id(desk.create("veo-3-1", prompt="scenario=slow-to-appear a cat"))
    desk.now += 59
    assert desk.state(base) is None
    desk.now += 1
    assert desk.state(base) == "generating"
    desk.now += 60
    upgrade = task_id(desk.create(UHD, taskId=base))
    desk.now += 59
    assert desk.state(upgrade) is None
    desk.now += 1
    assert desk.state(upgrade) == "queuing"


# ---------------------------------------------------------------------- the rate limit


REQUESTS: dict[str, Callable[[JobDesk, str], Answer]] = {
    "generate": lambda desk, base: desk.vendor.generate({"prompt": "a cat"}),
    "extend": lambda desk, base: desk.vendor.extend({"taskId": base, "prompt": "on"}),
    "get-1080p": lambda desk, base: desk.upgrades.get_1080p(base, 0),
    "get-4k": lambda desk, base: desk.order_4k(base),
    "veo-3-1": lambda desk, base: desk.create("veo-3-1", prompt="a cat"),
    "veo/extend": lambda desk, base: desk.create("veo/extend", taskId=base, prompt="on"),
    "veo/get-1080p-video": lambda desk, base: desk.create("veo/get-1080p-video", taskId=base),
    "veo/get-4k-video": lambda desk, base: desk.create(UHD, taskId=base),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_rate_limit_counts_and_holds_for_whatever_makes_something_new(name: str) -> None:
    desk = JobDesk(rate_limit=1)
    base = desk.generated()
    assert REQUESTS[name](desk, base).code in (200, 400)
    assert desk.vendor.generate({"prompt": "a cat"}).status == 429

    desk = JobDesk(rate_limit=1)
    base = desk.generated()
    desk.vendor.generate({"prompt": "a cat"})
    assert REQUESTS[name](desk, base).status == 429
    books = write_books(desk.vendor, {})
    assert (len(books["creations"]), books["rateLimited"], books["purchases"]) == (2, 1, [])
    desk.now += 10
    assert REQUESTS[name](desk, base).status == 200


@pytest.mark.parametrize("name", ["get-1080p", "get-4k"])
def test_a_repeat_that_only_asks_is_neither_counted_nor_refused(name: str) -> None:
    desk = JobDesk(rate_limit=2)
    base = desk.generated()
    codes = {REQUESTS[name](desk, base).status for _ in range(5)}
    assert codes == {200}
    assert [desk.vendor.generate({"prompt": "a cat"}).status for _ in range(2)] == [200, 429]
    assert REQUESTS[name](desk, base).status == 200


def test_a_refused_request_does_not_count() -> None:
    desk = JobDesk(rate_limit=1)
    for prompt in ("scenario=submit-refused a cat", "", "scenario=submit-busy a cat"):
        assert desk.vendor.generate({"prompt": prompt}).code != 200
    assert [desk.vendor.generate({"prompt": "a cat"}).status for _ in range(2)] == [200, 429]


def test_a_4k_that_was_made_before_is_no_new_request() -> None:
    desk = JobDesk(rate_limit=1)
    base = desk.generated("4k-already-made")
    desk.vendor.generate({"prompt": "a cat"})
    assert desk.order_4k(base).msg == "The video has been generated successfully"


def test_the_forms_keep_their_orders_apart() -> None:
    desk = JobDesk()
    base = desk.generated()
    assert [desk.create(UHD, taskId=base).code, desk.order_4k(base).code] == [200, 200]
    assert [order.form for order in desk.vendor.orders] == ["unified", "dedicated"]


@pytest.mark.parametrize("name", ["extend", "veo/extend"])
def test_a_4k_does_not_forbid_to_extend(name: str) -> None:
    desk = JobDesk()
    base = desk.generated()
    desk.order_4k(base)
    desk.create(UHD, taskId=base)
    assert REQUESTS[name](desk, base).code == 200


def test_a_4k_that_fails_can_say_that_it_was_charged() -> None:
    desk = JobDesk()
    desk.add("charged-4k", upgrade_4k="unavailable", tells_credits=True)
    desk.order_4k(desk.generated("charged-4k"))
    assert desk.sent[-1].body["data"]["creditsConsumed"] == 120


def test_what_is_charged_is_what_the_account_must_hold() -> None:
    desk = JobDesk(credits=80)
    assert desk.vendor.generate({"prompt": "scenario=charged-more a cat"}).code == 402
    assert desk.vendor.generate({"prompt": "a cat"}).code == 200
    assert desk.vendor.credit().data == 20.0


def test_an_upgrade_that_cannot_be_paid_is_refused() -> None:
    desk = JobDesk(credits=64)
    base = desk.generated()
    assert [desk.create(UHD, taskId=base).code, desk.order_4k(base).code] == [402, 402]
    assert desk.upgrades.get_1080p(base, 0).code == 402
    assert desk.vendor.orders == []
