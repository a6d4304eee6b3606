"""The last 24 hours as bars: places and heights for an SVG, so that the template does no arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.overview import Hour

#: units of the drawing: an hour is so wide, a row so high
HOUR_WIDTH, ROW = 20, 44


@dataclass(frozen=True)
class Bar:
    """One hour of one row."""

    x: int
    y: float
    height: float
    value: int


@dataclass(frozen=True)
class Row:
    """What was counted of one thing."""

    name: str
    #: what one of them is called
    one: str
    css: str
    most: int
    total: int
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Chart:
    """The rows, and the names of the hours."""

    rows: Sequence[Row]
    hours: Sequence[str]
    width: int


def draw(hours: Sequence[Hour]) -> Chart:
    """A row each of callbacks, stored files and given-up files."""
    rows = [
        _row("callbacks", "callback", "callbacks", [hour.callbacks for hour in hours]),
        _row("files stored", "file stored", "stored", [hour.stored for hour in hours]),
        _row("files given up", "file given up", "failed", [hour.failed for hour in hours]),
    ]
    names = [f"{datetime.fromtimestamp(hour.at, UTC):%H}:00" for hour in hours]
    return Chart(rows, names, HOUR_WIDTH * len(hours))


def _row(name: str, one: str, css: str, values: Sequence[int]) -> Row:
    most = max(values, default=0)
    heights = [max(2.0, ROW * value / most) if value else 0.0 for value in values]
    bars = [
        Bar(HOUR_WIDTH * place, round(ROW - height, 1), round(height, 1), value)
        for place, (height, value) in enumerate(zip(heights, values, strict=True))
    ]
    return Row(name, one, css, most, sum(values), bars)
