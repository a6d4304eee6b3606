"""Writing the manifest: what it shows, what becomes of a failure, and when it is written anew."""

import json

import pytest

from app.domain.errors import StoreUnavailable
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.view import describe
from app.domain.work import Item, Step
from app.pipeline.manifest import write_manifest
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger

ITEM, KEY = Item(Step.MANIFEST, "t1"), "veo/t1/manifest.json"


@pytest.fixture
def stored(succeeded: MemoryLedger) -> MemoryLedger:
    """`t1`, all of whose files are stored."""
    generation = known(succeeded)
    generation.renditions[0].end(RenditionState.STORED)
    generation.renditions[0].stored_at = 1000.0
    generation.manifest.at = 1000.0
    return succeeded


def known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def write(ledger: MemoryLedger, bucket: MemoryBucket, policy: Policy) -> None:
    write_manifest(ITEM, ledger, bucket, policy, "veo/")


def test_it_shows_the_generation_as_it_is_once_it_is_written(stored: MemoryLedger, policy: Policy) -> None:
    bucket = MemoryBucket()
    write(stored, bucket, policy)
    assert json.loads(bucket.texts[KEY]) == {"format": 1, **describe(known(stored))}
    assert (known(stored).complete_at, known(stored).manifest.at) == (1000.0, None)


def test_a_store_that_refuses_is_named_and_tried_again(stored: MemoryLedger, policy: Policy) -> None:
    bucket = MemoryBucket(failure=StoreUnavailable("bucket b: cannot store: SlowDown"))
    write(stored, bucket, policy)
    assert describe(known(stored))["error"] == "bucket b: cannot store: SlowDown"
    assert known(stored).complete_at is None
    at = known(stored).manifest.at
    assert at is not None
    assert 1000.0 < at <= 1000.0 + policy.retry_max


def test_it_does_not_tell_of_its_own_failures(stored: MemoryLedger, policy: Policy) -> None:
    bucket = MemoryBucket(failure=StoreUnavailable("bucket b: cannot store: SlowDown"))
    write(stored, bucket, policy)
    bucket.failure, stored.now = None, 2000.0
    write(stored, bucket, policy)
    assert json.loads(bucket.texts[KEY])["error"] is None
    assert json.loads(bucket.texts[KEY]) == {"format": 1, **describe(known(stored))}


def test_what_changes_while_it_is_written_has_it_written_anew(stored: MemoryLedger, policy: Policy) -> None:
    bucket = MemoryBucket(before_put_json=lambda: known(stored).set_labels({"shot": "12"}, 1000.0))
    write(stored, bucket, policy)
    assert (json.loads(bucket.texts[KEY])["labels"], known(stored).manifest.at) == ({}, 1000.0)
    bucket.before_put_json = lambda: None
    write(stored, bucket, policy)
    assert (json.loads(bucket.texts[KEY])["labels"], known(stored).manifest.at) == ({"shot": "12"}, None)


def test_of_two_that_write_one_does(stored: MemoryLedger, policy: Policy) -> None:
    bucket = MemoryBucket()
    assert known(stored).claim_manifest(1000.0, policy) is not None
    write(stored, bucket, policy)
    assert bucket.texts == {}
