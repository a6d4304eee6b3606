"""One running stack for all the tests that do not break it for good."""

from collections.abc import Iterator

import pytest

from tests.support.fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two of each worker and two beats, as a deployment might have."""
    counts = {"worker": 2, "mirror": 2, "beat": 2, "flower": 1}
    with running_fleet(tmp_path_factory.mktemp("fleet"), counts=counts) as fleet:
        yield fleet
