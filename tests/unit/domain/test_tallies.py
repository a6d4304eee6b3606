"""What is counted of news, and what latencies are estimated from the counts."""

import pytest

from app.domain.news import FORMS, News
from app.domain.tallies import BUCKETS, LATENCIES, quantile, tally


@pytest.mark.parametrize(
    ("name", "facts", "counted"),
    [
        ("generation.tracked", {}, {"tracked": 1}),
        ("generation.rebuilt", {}, {}),
        ("callback.received", {"trust": "signed"}, {"settled:new": 1}),
        ("callback.received", {"duplicate": True, "late": False}, {"settled:duplicate": 1}),
        ("callback.received", {"late": True}, {"settled:new": 1, "callbacks_late": 1}),
        ("poll.answered", {"answer": "generating"}, {"polls": 1}),
        ("verdict", {"outcome": "succeeded", "source": "callback"}, {"verdicts:succeeded:callback": 1}),
        (
            "verdict",
            {"outcome": "failed", "source": "poll", "missing": True},
            {"verdicts:failed:poll": 1, "callbacks_missing": 1},
        ),
        (
            "rendition.stored",
            {"kind": "4k", "bytes": 500, "seconds": 2.5},
            {"stored:4k": 1, "stored_bytes:4k": 500, "latency:5": 1, "latency_sum": 2.5, "latency_count": 1},
        ),
        ("rendition.stored", {"kind": "4k", "bytes": 500}, {"stored:4k": 1, "stored_bytes:4k": 500}),
        ("rendition.failed", {"kind": "result"}, {"failed:result": 1}),
        ("rendition.unavailable", {"kind": "1080p"}, {"unavailable:1080p": 1}),
        ("attempt.failed", {"kind": "result"}, {"attempts_failed:result": 1}),
        ("link.renewed", {"kind": "result"}, {"links_renewed:result": 1}),
        ("manifest.failed", {}, {"manifests_failed": 1}),
        ("manifest.written", {}, {}),
        ("purchase.intended", {"kind": "4k", "credits": 120.0}, {"purchases:4k:intended": 1}),
        ("purchase.accepted", {"kind": "4k", "credits": 120.0}, {"purchases:4k:accepted": 1, "credits:4k": 120}),
        ("purchase.refused", {"kind": "extension"}, {"purchases:extension:refused": 1}),
        ("purchase.uncertain", {"kind": "generation"}, {"purchases:generation:uncertain": 1}),
        ("purchase.billed", {"kind": "4k", "credits": 118.5, "more": -1.5}, {"credits:4k": -1.5}),
        ("generation.complete", {}, {"ended:complete": 1}),
        ("generation.failed", {}, {"ended:failed": 1}),
        ("generation.lost", {}, {"ended:lost": 1}),
        ("generation.at_risk", {}, {"at_risk": 1}),
        ("retry.asked", {}, {"retries": 1}),
    ],
)
def test_each_sort_of_news_is_counted(name: str, facts: dict[str, object], counted: dict[str, float]) -> None:
    assert tally([News(1.0, name, facts)]) == counted  # type: ignore[arg-type]
    assert name in FORMS


def test_news_of_one_change_add_up() -> None:
    news = [News(1.0, "rendition.stored", {"kind": "result", "bytes": 5, "seconds": at}) for at in (0.5, 0.25, 4000)]
    counted = {"latency:1": 2, "latency:+Inf": 1, "latency_sum": 4000.75, "latency_count": 3}
    assert tally(news) == {"stored:result": 3, "stored_bytes:result": 15, **counted}


@pytest.mark.parametrize("bound", BUCKETS)
def test_a_bucket_holds_its_bound(bound: int) -> None:
    [name] = [name for name in tally([News(1.0, "rendition.stored", {"seconds": bound})]) if name in LATENCIES]
    assert name == f"latency:{bound}"


@pytest.mark.parametrize(
    ("tallies", "share", "estimate"),
    [
        ({}, 0.5, None),
        ({"latency:1": 0}, 0.5, None),
        ({"latency:1": 10}, 0.5, 0.5),
        ({"latency:5": 10}, 0.5, 3.5),
        ({"latency:1": 90, "latency:30": 10}, 0.5, 5 / 9),
        ({"latency:1": 90, "latency:30": 10}, 0.95, 20.0),
        ({"latency:1": 90, "latency:30": 10}, 1.0, 30.0),
        ({"latency:1": 1, "latency:+Inf": 9}, 0.95, 3600.0),
    ],
)
def test_a_latency_is_estimated_within_its_bucket(
    tallies: dict[str, float], share: float, estimate: float | None
) -> None:
    assert quantile(tallies, share) == (pytest.approx(estimate) if estimate is not None else None)
