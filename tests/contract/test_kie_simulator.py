"""The vendor's client against the simulator: round trips over HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from app.adapters.kie import KieVendor
from app.domain.errors import VendorUnreachable
from app.domain.urls import NO_URLS
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Kind
from app.simulator.client import SimulatorClient
from app.simulator.scenarios import Scenario
from app.simulator.server import Options, Simulator

T = TypeVar("T")

SLOW = Scenario(takes=1e9)
#: A generation takes 0.06 s at this speed, a 4K 0.2 s.
OPTIONS = Options(speed=2000, scenarios={"never-ready": SLOW}, credits=100_000.25)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with Simulator(OPTIONS) as running:
        yield SimulatorClient(running.url)


@pytest.fixture
def kie(simulator: SimulatorClient) -> KieVendor:
    return KieVendor("sim-key", simulator.base_url, timeout=(1.0, 5.0))


def _until(question: Callable[[], T], enough: Callable[[T], bool]) -> T:
    """Ask until the answer is there."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    while not enough(answer := question()):
        assert time.monotonic() < deadline, f"waited in vain; last: {answer}"
        pause.wait(0.01)
    return answer


def _verdict(kie: KieVendor, task_id: str) -> Verdict:
    return _until(lambda: kie.ask_details(task_id), lambda verdict: verdict.progress is not Progress.GENERATING)


def _order(kie: KieVendor, kind: Kind, task_id: str) -> OrderAnswer:
    return _until(
        lambda: kie.ask_upgrade(kind, task_id, 0, None), lambda answer: answer.progress is not OrderProgress.ORDERED
    )


def _made(simulator: SimulatorClient, kie: KieVendor, scenario: str = "plain") -> str:
    """A generation that has succeeded."""
    task_id = simulator.generate(f"scenario={scenario} a cat called {scenario}")
    assert _verdict(kie, task_id).progress is Progress.SUCCEEDED
    return task_id


def test_a_generation_that_runs_is_generating(simulator: SimulatorClient, kie: KieVendor) -> None:
    task_id = simulator.generate("scenario=never-ready a cat")
    assert kie.ask_details(task_id).progress is Progress.GENERATING


def test_a_generation_that_is_done_has_its_urls(simulator: SimulatorClient, kie: KieVendor) -> None:
    verdict = _verdict(kie, simulator.generate("scenario=several-results a cat"))
    assert (verdict.progress, len(verdict.urls.result), verdict.main) == (Progress.SUCCEEDED, 3, Kind.RESULT)


def test_a_portrait_has_its_original_too(simulator: SimulatorClient, kie: KieVendor) -> None:
    assert len(_verdict(kie, simulator.generate("scenario=portrait a cat")).urls.origin) == 1


def test_an_extension_has_the_whole_video_too(simulator: SimulatorClient, kie: KieVendor) -> None:
    extension = simulator.extend(_made(simulator, kie), "and a dog")
    assert len(_verdict(kie, extension).urls.full) == 1


@pytest.mark.parametrize(("scenario", "code"), [("failed-400", 400), ("failed-501", 501), ("failed-upstream", 500)])
def test_a_generation_that_failed_says_why(
    simulator: SimulatorClient, kie: KieVendor, scenario: str, code: int
) -> None:
    verdict = _verdict(kie, simulator.generate(f"scenario={scenario} a cat"))
    assert (verdict.progress, verdict.code, verdict.urls) == (Progress.FAILED, code, NO_URLS)
    assert verdict.msg


def test_an_unknown_generation_is_unknown(kie: KieVendor) -> None:
    assert kie.ask_details("nobody").progress is Progress.UNKNOWN


def test_a_wrong_key_is_no_answer(simulator: SimulatorClient) -> None:
    with pytest.raises(VendorUnreachable, match="401"):
        KieVendor("wrong", simulator.base_url).ask_details("t1")


def test_a_1080p_is_ordered_and_then_ready(simulator: SimulatorClient, kie: KieVendor) -> None:
    task_id = _made(simulator, kie)
    assert kie.ask_upgrade(Kind.HD, task_id, 0, None).progress is OrderProgress.ORDERED
    answer = _order(kie, Kind.HD, task_id)
    assert (answer.progress, len(answer.urls.result)) == (OrderProgress.READY, 1)


def test_a_4k_is_ordered_under_an_id_of_its_own_and_then_ready(simulator: SimulatorClient, kie: KieVendor) -> None:
    task_id = _made(simulator, kie)
    ordered = kie.ask_upgrade(Kind.UHD, task_id, 0, None)
    assert ordered.progress is OrderProgress.ORDERED
    assert ordered.task_id not in (None, task_id)
    answer = _order(kie, Kind.UHD, task_id)
    assert (answer.progress, len(answer.urls.result), len(answer.urls.image)) == (OrderProgress.READY, 1, 1)


def test_a_4ks_own_record_is_known_for_one(simulator: SimulatorClient, kie: KieVendor) -> None:
    own_id = kie.ask_upgrade(Kind.UHD, _made(simulator, kie), 0, None).task_id
    assert own_id is not None
    verdict = _verdict(kie, own_id)
    assert (verdict.progress, verdict.main, len(verdict.urls.image)) == (Progress.SUCCEEDED, Kind.UHD, 1)


@pytest.mark.parametrize(
    ("scenario", "progress"),
    [
        ("4k-already-made", OrderProgress.READY),
        ("4k-too-old", OrderProgress.UNAVAILABLE),
        ("fallback", OrderProgress.UNAVAILABLE),
        ("4k-uncertain", OrderProgress.UNCERTAIN),
        ("4k-busy", OrderProgress.NOT_YET),
    ],
)
def test_each_course_of_a_4k_is_told_apart(
    simulator: SimulatorClient, kie: KieVendor, scenario: str, progress: OrderProgress
) -> None:
    assert kie.ask_upgrade(Kind.UHD, _made(simulator, kie, scenario), 0, None).progress is progress


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD])
def test_an_upgrade_of_what_is_not_done_can_be_ordered_later(
    simulator: SimulatorClient, kie: KieVendor, kind: Kind
) -> None:
    task_id = simulator.generate("scenario=never-ready a dog")
    assert kie.ask_upgrade(kind, task_id, 0, None).progress is OrderProgress.NOT_YET
    assert kie.ask_upgrade(kind, "nobody", 0, None).progress is OrderProgress.NOT_YET


def test_a_dead_link_is_renewed(simulator: SimulatorClient, kie: KieVendor) -> None:
    url = kie.ask_details(_made(simulator, kie, "renewable-link")).urls.result[0]
    fresh = kie.renew_link(url)
    assert fresh not in (None, url)


def test_there_is_no_fresh_link_to_a_foreign_file(kie: KieVendor) -> None:
    assert kie.renew_link("https://example.com/x.mp4") is None


def test_the_balance_goes_down_by_what_is_bought(simulator: SimulatorClient, kie: KieVendor) -> None:
    task_id = _made(simulator, kie)
    before = kie.read_credit()
    kie.ask_upgrade(Kind.UHD, task_id, 0, None)
    kie.ask_upgrade(Kind.UHD, task_id, 0, None)
    assert before - kie.read_credit() == 120
