"""The periodic jobs: each takes its turn, and notes what it found."""

import logging

import pytest

from app.domain.errors import StoreUnavailable, VendorBusy, VendorUnreachable
from app.domain.ledger import Tick
from app.domain.rendition import RenditionState
from app.pipeline.sweep import ACCOUNT_EVERY, MOST_FOLDERS, check_account, check_bucket, sweep, sweep_parts
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger, ScriptedVendor


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


# --- the vendor's account ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", [5916.25, 0.0])
def test_what_is_left_in_the_account_is_noted(balance: float) -> None:
    ledger = MemoryLedger(facts={"credits_error": "HTTP 502"})
    check_account(ledger, ScriptedVendor(credits=[balance]), None)
    assert ledger.facts == {"credits": repr(balance), "credits_at": "", "credits_error": ""}


@pytest.mark.parametrize("failure", [VendorUnreachable("HTTP 502"), VendorBusy("HTTP 429", 5.0)])
def test_why_the_account_cannot_be_looked_at_is_noted_beside_what_was_seen_last(failure: VendorUnreachable) -> None:
    ledger = MemoryLedger(facts={"credits": "10.0", "credits_at": "1"})
    check_account(ledger, ScriptedVendor(credits=[failure]), None)
    assert ledger.facts == {"credits": "10.0", "credits_at": "1", "credits_error": str(failure)}


def test_the_account_is_looked_at_every_few_minutes_and_has_a_turn_of_its_own() -> None:
    turns = []

    class Turns(MemoryLedger):
        def take_turn(self, name: str, every: float) -> bool:
            turns.append((name, every))
            return False

    ledger = Turns()
    check_account(ledger, ScriptedVendor(), None)
    assert (turns, ledger.facts, ACCOUNT_EVERY) == ([("check_account", 300.0)], {}, 300.0)


@pytest.mark.parametrize(("below", "warned"), [(None, False), (99.9, False), (100.0, False), (100.1, True)])
def test_an_account_that_runs_low_is_warned_of(
    caplog: pytest.LogCaptureFixture, below: float | None, warned: bool
) -> None:
    with caplog.at_level(logging.INFO):
        check_account(MemoryLedger(), ScriptedVendor(credits=[100.0]), below)
    assert ("account.low" in caplog.text) is warned


def _with_pieces(*folders: str) -> MemoryBucket:
    return MemoryBucket(pieces=[f"veo/.parts/{folder}/" for folder in folders])


def test_pieces_of_what_is_over_or_unknown_are_deleted(succeeded: MemoryLedger) -> None:
    bucket = _with_pieces("t1/result-0", "t1/4k-0", "t2/result-0")
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.pieces == ["veo/.parts/t1/result-0/"]
    assert succeeded.generation is not None
    succeeded.generation.renditions[0].end(RenditionState.STORED)
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.pieces == []


@pytest.mark.parametrize("folder", ["t1/result-x", "t1/what-0", "t1", "../etc-0", "t1/-0"])
def test_what_is_no_folder_of_ours_is_left_alone(succeeded: MemoryLedger, folder: str) -> None:
    bucket = _with_pieces(folder)
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.discarded == []


def test_pieces_are_looked_for_in_turn(succeeded: MemoryLedger) -> None:
    succeeded.turns["sweep_parts"] = False
    bucket = _with_pieces("t2/result-0")
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.discarded == []


def test_a_bucket_that_is_away_keeps_its_pieces_until_the_next_turn(succeeded: MemoryLedger) -> None:
    bucket = _with_pieces("t2/result-0")
    bucket.failure = StoreUnavailable("no answer")
    sweep_parts(succeeded, bucket, "veo/")
    assert (bucket.pieces != [], bucket.discarded, bucket.listed) == (True, [], 0)


def test_a_folder_that_cannot_be_deleted_does_not_stop_the_others(succeeded: MemoryLedger) -> None:
    bucket = _with_pieces(*(f"gone/result-{index}" for index in range(9)))
    bucket.stuck = {folder: StoreUnavailable("cannot delete: AccessDenied") for folder in bucket.pieces[2:4]}
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.pieces == ["veo/.parts/gone/result-2/", "veo/.parts/gone/result-3/"]


def test_a_bucket_that_goes_away_ends_the_sweep_of_pieces(succeeded: MemoryLedger) -> None:
    class Going(MemoryBucket):
        def check(self) -> None:
            if self.discarded:
                raise StoreUnavailable("no answer")

    bucket = Going(pieces=_with_pieces(*(f"gone/result-{index}" for index in range(9))).pieces)
    bucket.stuck = {folder: StoreUnavailable("no answer") for folder in bucket.pieces}
    sweep_parts(succeeded, bucket, "veo/")
    assert len(bucket.discarded) == 1


def test_one_sweep_of_pieces_is_bounded_and_the_next_goes_on(succeeded: MemoryLedger) -> None:
    bucket = _with_pieces("t1/result-0", *(f"gone/result-{index}" for index in range(MOST_FOLDERS + 9)))
    sweep_parts(succeeded, bucket, "veo/")
    assert len(bucket.pieces) == 10
    sweep_parts(succeeded, bucket, "veo/")
    assert bucket.pieces == ["veo/.parts/t1/result-0/"]
