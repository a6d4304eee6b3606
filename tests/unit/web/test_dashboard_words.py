"""How the dashboard says times, spans and what has happened."""

import pytest

from app.domain.news import FORMS, News
from app.domain.overview import Hour
from app.web.dashboard.chart import ROW, draw
from app.web.dashboard.one import lay_out
from app.web.dashboard.words import ago, clock, details_of, headline_of, left, sentence, span, when

NOON = 20_000 * 86400 + 43200.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.04, "40 ms"),
        (1.44, "1.4 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400 * 14, "14 d"),
        (86400 * 14 + 3600, "14 d 1 h"),
    ],
)
def test_spans(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("at", "said"),
    [(NOON, "just now"), (NOON - 45, "45 s ago"), (NOON - 7200, "2 h ago"), (NOON + 300, "in 5 min")],
)
def test_how_long_ago(at: float, said: str) -> None:
    assert ago(at, NOON) == said


def test_how_long_is_left() -> None:
    assert left(NOON + 86400 * 13, NOON) == "13 d"
    assert left(NOON - 5, NOON) == "0 s"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no verdict: say `reelkeep retry <ID>`", "No verdict: say <code>reelkeep retry &lt;ID&gt;</code>"),
        ("an odd ` <b>", "An odd ` &lt;b&gt;"),
        ("", ""),
    ],
)
def test_a_reason_that_stands_by_itself_is_text_with_what_is_to_be_typed_set_apart(text: str, said: str) -> None:
    assert sentence(text) == said


def test_a_time_is_told_in_both_ways_and_to_programs_too() -> None:
    assert clock(NOON, NOON) == "12:00:00"
    assert clock(NOON - 86400, NOON) == "2024-10-03 12:00"
    assert 'datetime="2024-10-04T12:00:00.000Z"' in when(NOON, NOON)
    assert when(None, NOON) == "–"


def test_all_that_can_happen_has_a_name() -> None:
    assert [name for name in FORMS if headline_of(News(0, name)) == name] == []


def test_what_happened_is_said_without_what_says_nothing() -> None:
    stored = News(0, "rendition.stored", {"kind": "4k", "index": 1, "bytes": 2048, "attempt": 2, "seconds": 3.0})
    assert details_of(stored) == "4k 1 · 2.0 KiB · attempt 2 · 3.0 s after it was known"
    assert details_of(News(0, "poll.answered", {"kind": "4k", "index": 0, "answer": "not_yet"})) == "4k · not yet"
    at_risk = News(0, "generation.at_risk", {"until": NOON})
    assert details_of(at_risk) == "lost at 2024-10-04 12:00 UTC unless it comes"
    repeated = News(0, "callback.received", {"trust": "signed", "route": "generation", "duplicate": True}, 3, 9.0)
    assert details_of(repeated) == "a repeat · signed · 3 times"


def test_each_line_tells_how_long_after_the_one_before_it_came() -> None:
    told = [
        News(10.0, "generation.tracked"),
        News(12.5, "attempt.failed", {}, 3, 80.0),
        News(90.0, "generation.complete"),
    ]
    assert [event.wait for event in lay_out(told)] == ["", "+2.5 s", "+10 s"]
    assert lay_out([]) == []


def test_bars_are_as_high_as_there_was_much_and_never_too_low_to_be_seen() -> None:
    hours = [Hour(0.0, {"callbacks": 1000}), Hour(3600.0, {"callbacks": 1}), Hour(7200.0, {"failed:4k": 2})]
    callbacks, stored, failed = draw(hours).rows
    assert [bar.height for bar in callbacks.bars] == [ROW, 2.0, 0.0]
    assert (stored.most, stored.total, failed.total) == (0, 0, 2)
    assert all(bar.y + bar.height == ROW for bar in callbacks.bars)
