"""The account's rate limit, kept by four real worker processes together. The full measure is `make bench`."""

from pathlib import Path

from tests.bench.pace import LIMIT, measure_pace


def test_four_workers_keep_to_the_vendors_limit_and_use_it(tmp_path: Path) -> None:
    pace = measure_pace(tmp_path, generations=60)
    assert (pace.worst <= LIMIT, pace.refused) == (True, 0), str(pace)
    # A ratio, measured in this run against what the limit itself allows.
    assert pace.ratio <= 1.15, str(pace)
