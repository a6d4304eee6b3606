"""The words of checks."""

import pytest

from app.domain.checkup import Level, Remark, tell_duration, tell_size, worst


def test_the_worst_level_counts() -> None:
    remarks = [Remark("a", level, "text") for level in (Level.WARNING, Level.PROBLEM, Level.OK)]
    assert worst(remarks) is Level.PROBLEM
    assert worst(remarks[::2]) is Level.WARNING
    assert worst([]) is Level.OK


def test_a_sentence_has_what_to_do_where_there_is_something() -> None:
    assert Remark("a", Level.OK, "it is so").sentence == "it is so"
    assert Remark("a", Level.OK, "it is so", "mend it").sentence == "it is so: mend it"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172799, "48 h"), (172800, "2 d")],
)
def test_durations(seconds: float, told: str) -> None:
    assert tell_duration(seconds) == told


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1.5 * 1024**3, "1.5 GiB")]
)
def test_sizes(size: float, told: str) -> None:
    assert tell_size(size) == told
