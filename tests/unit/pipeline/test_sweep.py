"""The periodic jobs: each takes its turn, and notes what it found."""

from app.domain.errors import StoreUnavailable
from app.domain.ledger import Tick
from app.pipeline.sweep import check_bucket, sweep
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger


def test_a_sweep_notes_that_it_was() -> None:
    ledger = MemoryLedger()
    assert sweep(ledger, 15.0) == Tick(2, 1)
    assert ledger.facts == {"sweep_at": ""}


def test_a_sweep_out_of_turn_does_nothing() -> None:
    ledger = MemoryLedger(turns={"sweep": False})
    assert sweep(ledger, 15.0) is None
    assert ledger.facts == {}


def test_a_bucket_that_is_there_is_noted() -> None:
    ledger = MemoryLedger()
    check_bucket(ledger, MemoryBucket(), 15.0)
    assert ledger.facts == {"bucket_at": "", "bucket_error": ""}


def test_a_bucket_that_is_away_is_noted_with_the_reason() -> None:
    ledger = MemoryLedger()
    check_bucket(ledger, MemoryBucket(StoreUnavailable("bucket b: no such bucket")), 15.0)
    assert ledger.facts == {"bucket_at": "", "bucket_error": "bucket b: no such bucket"}


def test_the_bucket_has_a_turn_of_its_own() -> None:
    ledger = MemoryLedger(turns={"check_bucket": False})
    check_bucket(ledger, MemoryBucket(StoreUnavailable("away")), 15.0)
    assert ledger.facts == {}
    assert sweep(ledger, 15.0) is not None
