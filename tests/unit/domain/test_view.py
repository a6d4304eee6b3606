"""A generation as users see it (design: the JSON of the API and of the manifest)."""

import json

import pytest

from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.view import describe, show_time
from app.domain.work import Kind

#: 2026-08-06T06:57:57Z
START = 1785999477.0


@pytest.fixture
def busy(policy: Policy) -> Generation:
    """One result stored, one that failed once, and a 4K with an id, a token and a signed link of its own."""
    generation = Generation.track("t1", START, policy)
    generation.set_labels({"project": "cats"}, START)
    generation.count_callback("generation succeeded 200", START + 1)
    generation.count_callback("generation succeeded 200", START + 2)
    urls = Urls(result=("https://x/0.mp4?sig=secret", "https://x/1.mp4?sig=secret"))
    generation.hear(Verdict(Progress.SUCCEEDED, 200, "done", urls, credits=60.5), "callback", START + 3)
    first, second = generation.renditions
    generation.claim_mirror(first, START + 4, policy)
    generation.store(
        first, "veo/t1/result-0.mp4", 3009049, "ab" * 32, Media("video/mp4", "mp4", 1280, 720, 8.0), START + 5
    )
    generation.claim_mirror(second, START + 4, policy)
    generation.retry_later(second, "cut short", START + 6, policy, 0.5)
    second.link = "https://x/fresh?sig=secret"
    generation.want_upgrades([Kind.UHD], START + 6)
    claim = generation.claim_upgrade(Kind.UHD, 0, START + 6, policy, "secret-token")
    assert claim is not None
    assert generation.may_send_order(generation.renditions[2], claim.fence, START + 6, policy)
    answer = OrderAnswer(OrderProgress.ORDERED, 200, task_id="secret-alias")
    generation.hear_order(generation.renditions[2], answer, START + 7, policy)
    return generation


def test_a_generation_is_described_with_every_field(busy: Generation) -> None:
    described = describe(busy)
    renditions = described.pop("renditions")
    assert described == {
        "taskId": "t1",
        "state": "mirroring",
        "code": 200,
        "msg": "done",
        "error": None,
        "fallback": False,
        "labels": {"project": "cats"},
        "upgrades": ["4k"],
        "trackedAt": "2026-08-06T06:57:57.000Z",
        "verdictAt": "2026-08-06T06:58:00.000Z",
        "completeAt": None,
        "verdictFrom": "callback",
        "callbacks": {"received": 2, "duplicates": 1},
        "creditsConsumed": 60.5,
    }
    assert renditions[0] == {
        "kind": "result",
        "index": 0,
        "state": "stored",
        "key": "veo/t1/result-0.mp4",
        "bytes": 3009049,
        "sha256": "ab" * 32,
        "width": 1280,
        "height": 720,
        "seconds": 8.0,
        "attempts": 1,
        "storedAt": "2026-08-06T06:58:02.000Z",
        "nextAt": None,
        "error": None,
    }


def test_a_rendition_that_is_under_way_says_when_it_is_next_looked_at_and_why(busy: Generation) -> None:
    second, upgrade = describe(busy)["renditions"][1:]
    assert (second["state"], second["error"], second["nextAt"]) == (
        "mirroring",
        "cut short",
        "2026-08-06T06:58:04.000Z",
    )
    assert (second["key"], second["bytes"], second["sha256"], second["storedAt"]) == (None, None, None, None)
    assert (upgrade["kind"], upgrade["state"], upgrade["nextAt"]) == ("4k", "requested", "2026-08-06T07:08:04.000Z")


def test_neither_urls_nor_tokens_nor_the_vendors_ids_are_shown(busy: Generation) -> None:
    text = json.dumps(describe(busy))
    assert "secret" not in text
    assert "http" not in text


def test_it_is_plain_json(busy: Generation) -> None:
    assert json.loads(json.dumps(describe(busy), allow_nan=False)) == describe(busy)


def test_a_generation_without_a_verdict_is_described_too(waiting: Generation) -> None:
    described = describe(waiting)
    assert (described["state"], described["code"], described["verdictFrom"]) == ("waiting", None, None)
    assert (described["verdictAt"], described["renditions"]) == (None, [])


def test_a_lost_files_reason_is_the_generations(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "link dead everywhere: HTTP 404", 1100.0)
    described = describe(mirroring)
    assert (described["state"], described["error"]) == ("lost", "link dead everywhere: HTTP 404")


def test_why_the_vendor_cannot_be_asked_is_shown(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1300.0, policy, "HTTP 502, not JSON")
    described = describe(waiting)
    assert (described["state"], described["error"]) == ("waiting", "the vendor cannot be asked: HTTP 502, not JSON")


def test_a_generation_that_is_asked_about_anew_shows_nothing_of_its_former_failure(waiting: Generation) -> None:
    waiting.hear(Verdict(Progress.FAILED, 500, "broken"), "poll", 1100.0)
    waiting.retry(1200.0)
    described = describe(waiting)
    assert (described["state"], described["code"], described["msg"]) == ("waiting", None, "")
    assert (described["verdictAt"], described["verdictFrom"]) == (None, None)


def test_a_lost_generation_says_why(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(90_000.0, policy)
    assert describe(waiting)["error"] == "no verdict within 86400 s"


def test_a_rendition_that_ended_has_no_next_time(mirroring: Generation) -> None:
    mirroring.renditions[0].state = RenditionState.FAILED
    assert describe(mirroring)["renditions"][0]["nextAt"] is None


@pytest.mark.parametrize(
    ("at", "shown"), [(None, None), (0.0, "1970-01-01T00:00:00.000Z"), (1.0005, "1970-01-01T00:00:01.000Z")]
)
def test_times_are_utc_with_milliseconds(at: float | None, shown: str | None) -> None:
    assert show_time(at) == shown
