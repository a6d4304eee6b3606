"""The outside in memory, and generations in the situations that most tests begin in. The clock stands at 1000."""

import pytest

from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger, ScriptedFetcher, ScriptedVendor


@pytest.fixture
def policy() -> Policy:
    """The default numbers."""
    return Policy()


@pytest.fixture
def ledger(policy: Policy) -> MemoryLedger:
    """A ledger with a generation `t1` that waits for its verdict."""
    return MemoryLedger(generation=Generation.track("t1", 1000.0, policy))


@pytest.fixture
def succeeded(ledger: MemoryLedger) -> MemoryLedger:
    """The same ledger; `t1` has succeeded with one result, which is to be mirrored."""
    assert ledger.generation is not None
    verdict = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4",)))
    ledger.generation.hear(verdict, "poll", 1000.0)
    return ledger


@pytest.fixture
def vendor() -> ScriptedVendor:
    return ScriptedVendor()


@pytest.fixture
def fetcher() -> ScriptedFetcher:
    return ScriptedFetcher()


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()
