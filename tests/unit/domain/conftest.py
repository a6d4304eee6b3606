"""A policy and generations in the situations that most tests begin in. The clock stands at 1000."""

import pytest

from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict


@pytest.fixture
def policy() -> Policy:
    """The default numbers."""
    return Policy()


@pytest.fixture
def waiting(policy: Policy) -> Generation:
    """Tracked, without a verdict."""
    return Generation.track("t1", 1000.0, policy)


@pytest.fixture
def mirroring(waiting: Generation) -> Generation:
    """Succeeded with one result, which is not stored yet."""
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",))), "poll", 1000.0)
    return waiting
