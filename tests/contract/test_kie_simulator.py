"""The vendor's client against the simulator: round trips over HTTP, in both forms of the API."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from app.adapters.kie import KieVendor
from app.domain.errors import VendorUnreachable
from app.domain.requests import ExtendRequest, GenerateRequest
from app.domain.urls import NO_URLS
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitProgress, Verdict
from app.domain.work import Kind
from app.simulator.client import SimulatorClient
from app.simulator.scenarios import Scenario
from app.simulator.server import Options, Simulator

T = TypeVar("T")

SLOW = Scenario(takes=1e9)
#: A generation takes 0.06 s at this speed, a 4K 0.2 s.
OPTIONS = Options(speed=2000, scenarios={"never-ready": SLOW}, credits=100_000.25, rate_limit=0)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorClient]:
    with Simulator(OPTIONS) as running:
        yield SimulatorClient(running.url)


@pytest.fixture
def kie(simulator: SimulatorClient) -> KieVendor:
    return KieVendor("sim-key", simulator.base_url, timeout=(10.0, 20.0))


@pytest.fixture
def jobs(simulator: SimulatorClient) -> KieVendor:
    return KieVendor("sim-key", simulator.base_url, timeout=(10.0, 20.0), form="jobs")


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


def _created(simulator: SimulatorClient, prompt: str) -> list[str]:
    generations = simulator.books()["generations"]
    return [task_id for task_id, row in generations.items() if row["prompt"] == prompt]


def test_a_generation_and_its_extension_are_created(simulator: SimulatorClient, kie: KieVendor) -> None:
    request = GenerateRequest(prompt="a cat to be extended", aspect_ratio="9:16", resolution="720p", duration=4)
    made = kie.submit(request, None)
    assert (made.progress, made.code) == (SubmitProgress.CREATED, 200)
    assert made.task_id is not None
    verdict = _verdict(kie, made.task_id)
    assert (verdict.progress, verdict.asked) == (Progress.SUCCEEDED, request.asked)
    extended = kie.submit(ExtendRequest(task_id=made.task_id, prompt="and a dog"), None)
    assert extended.progress is SubmitProgress.CREATED
    assert extended.task_id not in (None, made.task_id)


def test_what_the_vendor_will_not_extend_is_refused(kie: KieVendor) -> None:
    answer = kie.submit(ExtendRequest(task_id="nobody", prompt="and a dog"), None)
    assert (answer.progress, answer.code, answer.task_id) == (SubmitProgress.REFUSED, 422, None)


def test_a_busy_vendor_creates_nothing_until_it_does(simulator: SimulatorClient, kie: KieVendor) -> None:
    request = GenerateRequest(prompt="scenario=submit-busy a cat")
    first, second, third = (kie.submit(request, None) for _ in range(3))
    assert (first.progress, first.pause) == (second.progress, second.pause) == (SubmitProgress.BUSY, 10)
    assert _created(simulator, request.prompt) == [third.task_id]


@pytest.mark.parametrize("scenario", ["submit-uncertain", "submit-timeout"])
def test_a_generation_may_have_been_created_without_an_answer(simulator: SimulatorClient, scenario: str) -> None:
    request = GenerateRequest(prompt=f"scenario={scenario} a cat")
    impatient = KieVendor("sim-key", simulator.base_url, timeout=(10.0, 0.5))
    answer = impatient.submit(request, None)
    assert (answer.progress, answer.task_id) == (SubmitProgress.UNCERTAIN, None)
    _until(lambda: _created(simulator, request.prompt), bool)
    assert len(_created(simulator, request.prompt)) == 1


def test_a_submit_with_a_wrong_key_is_refused(simulator: SimulatorClient) -> None:
    answer = KieVendor("wrong", simulator.base_url).submit(GenerateRequest(prompt="a cat"), None)
    assert (answer.progress, answer.code) == (SubmitProgress.REFUSED, 401)


# --- the unified form --------------------------------------------------------------------------------------------------


def _job(jobs: KieVendor, prompt: str) -> str:
    task_id = jobs.submit(GenerateRequest(prompt=prompt, duration=4), None).task_id
    assert task_id is not None
    return task_id


def test_a_job_is_created_extended_and_read(jobs: KieVendor) -> None:
    task_id = _job(jobs, "scenario=portrait a cat")
    verdict = _verdict(jobs, task_id)
    assert (verdict.progress, verdict.main, verdict.asked.seconds) == (Progress.SUCCEEDED, Kind.RESULT, 4)
    assert len(verdict.urls.result) == len(verdict.urls.origin) == 1
    extended = jobs.submit(ExtendRequest(task_id=task_id, prompt="and a dog"), None)
    assert extended.task_id is not None
    assert len(_verdict(jobs, extended.task_id).urls.full) == 1


def test_a_job_that_failed_says_why(jobs: KieVendor) -> None:
    verdict = _verdict(jobs, _job(jobs, "scenario=failed-400 a cat"))
    assert (verdict.progress, verdict.code, verdict.urls) == (Progress.FAILED, 400, NO_URLS)
    assert verdict.msg
    assert jobs.ask_details("nobody").progress is Progress.UNKNOWN


@pytest.mark.parametrize(("kind", "pictures"), [(Kind.HD, 0), (Kind.UHD, 1)])
def test_an_upgrade_is_a_job_with_a_record_of_its_own(jobs: KieVendor, kind: Kind, pictures: int) -> None:
    unready, task_id = _job(jobs, "scenario=never-ready a dog"), _job(jobs, "a cat")
    assert jobs.ask_upgrade(kind, unready, 0, None).progress is OrderProgress.NOT_YET
    assert _verdict(jobs, task_id).progress is Progress.SUCCEEDED
    order = jobs.ask_upgrade(kind, task_id, 0, None)
    assert (order.progress, order.task_id == task_id) == (OrderProgress.ORDERED, False)
    assert order.task_id is not None
    verdict = _verdict(jobs, order.task_id)
    assert (verdict.progress, verdict.main) == (Progress.SUCCEEDED, kind)
    assert (len(verdict.urls.result), len(verdict.urls.image)) == (1, pictures)
