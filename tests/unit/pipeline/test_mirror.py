"""Mirroring: what each outcome of an attempt does to the rendition, and where a dead link is renewed."""

import json

import pytest

from app.domain.container import Media
from app.domain.errors import (
    FetchFailed,
    FetchForbidden,
    Interrupted,
    LedgerUnavailable,
    LinkDead,
    StoreConflict,
    StoreUnavailable,
    VendorUnreachable,
)
from app.domain.generation import Generation
from app.domain.ledger import Limit
from app.domain.policy import DEAD_ROUNDS, Policy
from app.domain.ports import Stored
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.states import State
from app.domain.urls import NO_URLS, Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline import lease, manifest
from app.pipeline import mirror as module
from app.pipeline.manifest import render
from app.pipeline.mirror import LEAST_REFUSED, Renewal, mirror, object_key, renew_link
from tests.unit.pipeline.fakes import Died, MemoryBucket, MemoryLedger, ScriptedFetcher, ScriptedVendor

MIRROR = Item(Step.MIRROR, "t1", Kind.RESULT, 0)
URL, OTHER, FRESH = "https://x/0.mp4", "https://y/0.mp4", "https://r2/0.mp4?sig=s3cret"
DEAD = LinkDead("https://x/0.mp4: HTTP 404")
SAME = Verdict(Progress.SUCCEEDED, 200, "", Urls(result=(URL,)))
MOVED = Verdict(Progress.SUCCEEDED, 200, "", Urls(result=(OTHER,)))
NOTHING = Verdict(Progress.UNKNOWN, 422)


@pytest.fixture(autouse=True)
def _half_a_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.random, "random", lambda: 0.5)


def _known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def _first(ledger: MemoryLedger) -> Rendition:
    return _known(ledger).renditions[0]


class Attempt:
    """Everything that an attempt needs, on the generation `t1` that has succeeded with one result."""

    def __init__(self, ledger: MemoryLedger, policy: Policy) -> None:
        self.ledger, self.policy = ledger, policy
        self.fetcher, self.bucket, self.vendor = ScriptedFetcher(), MemoryBucket(), ScriptedVendor()

    def run(self, item: Item = MIRROR, *, keyed: bool = True) -> Rendition:
        vendor = self.vendor if keyed else None
        mirror(item, self.ledger, self.fetcher, self.bucket, vendor, self.policy, "veo/")
        return _first(self.ledger)


@pytest.fixture
def attempt(succeeded: MemoryLedger, policy: Policy) -> Attempt:
    return Attempt(succeeded, policy)


# --- outcomes ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_fetched_and_confirmed_is_stored(attempt: Attempt) -> None:
    rendition = attempt.run()
    assert (rendition.state, rendition.key, rendition.bytes) == (RenditionState.STORED, "veo/t1/result-0.mp4", 5)
    assert (rendition.sha256, rendition.width, rendition.height, rendition.seconds) == ("ab" * 32, 1280, 720, 8.0)
    facts = {"sha256": "ab" * 32, "task-id": "t1", "source-host": "x"}
    assert attempt.bucket.files == {"veo/t1/result-0.mp4": facts}
    assert (attempt.fetcher.fetched, attempt.vendor.asked) == ([(URL, False)], [])


def test_a_stored_file_is_not_fetched_again(attempt: Attempt) -> None:
    attempt.run()
    attempt.run()
    assert len(attempt.fetcher.fetched) == 1


def test_a_picture_is_fetched_as_one_and_kept_beside_its_4k(attempt: Attempt) -> None:
    _first(attempt.ledger).kind = Kind.IMAGE
    attempt.fetcher.media = Media("image/jpeg", "jpg", 1280, 720, None)
    rendition = attempt.run(Item(Step.MIRROR, "t1", Kind.IMAGE, 0))
    assert (attempt.fetcher.fetched, rendition.key) == ([(URL, True)], "veo/t1/4k-0.jpg")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (FetchFailed("cut short"), "cut short"),
        (StoreUnavailable("no answer"), "no answer"),
        (VendorUnreachable("HTTP 502"), "HTTP 502"),
        (RuntimeError("s3cret"), "internal error: RuntimeError"),
    ],
)
@pytest.mark.parametrize("place", ["fetch", "put"])
def test_a_passing_failure_is_tried_again_later(attempt: Attempt, failure: Exception, error: str, place: str) -> None:
    if place == "fetch":
        attempt.fetcher.failure = failure
    else:
        attempt.bucket.failure = failure
    rendition = attempt.run()
    assert (rendition.state, rendition.error, rendition.attempts) == (RenditionState.MIRRORING, error, 1)
    assert (rendition.work.at, rendition.work.leased) == (1001.0, False)
    assert (attempt.bucket.files, attempt.vendor.asked) == ({}, [])


def test_a_url_that_may_not_be_fetched_from_is_lost_at_once(attempt: Attempt) -> None:
    attempt.fetcher.failure = FetchForbidden("host 'x' is not allowed")
    rendition = attempt.run()
    assert (rendition.state, rendition.error) == (RenditionState.FAILED, "host 'x' is not allowed")
    assert _known(attempt.ledger).state is State.LOST


def test_a_fresh_link_that_may_not_be_fetched_from_is_dropped(attempt: Attempt) -> None:
    _first(attempt.ledger).link = FRESH
    attempt.fetcher.failure = FetchForbidden("host 'r2' is not allowed")
    rendition = attempt.run()
    assert (rendition.state, rendition.link, rendition.url) == (RenditionState.MIRRORING, "", URL)
    assert (rendition.error, rendition.work.at) == ("host 'r2' is not allowed", 1001.0)
    attempt.ledger.now, attempt.fetcher.failure = 1001.0, None
    assert attempt.run().state is RenditionState.STORED
    assert attempt.fetcher.fetched == [(FRESH, False), (URL, False)]


def test_a_stopping_worker_hands_over_without_an_attempt(attempt: Attempt) -> None:
    attempt.fetcher.failure = Interrupted("stopping")
    rendition = attempt.run()
    assert (rendition.attempts, rendition.work.at, rendition.work.leased, rendition.error) == (0, 1000.0, False, "")


def test_a_killed_workers_file_is_fetched_by_the_next_when_its_lease_ends(attempt: Attempt) -> None:
    attempt.fetcher.failure = Died()
    with pytest.raises(Died):
        attempt.run()
    attempt.fetcher.failure, attempt.ledger.now = None, 1059.0
    assert attempt.run().state is RenditionState.MIRRORING
    attempt.ledger.now = 1060.0
    assert attempt.run().state is RenditionState.STORED


def test_an_outcome_of_a_lost_claim_is_passed_over(attempt: Attempt) -> None:
    def lose() -> None:
        attempt.ledger.now += attempt.policy.lease
        assert _known(attempt.ledger).claim_mirror(_first(attempt.ledger), attempt.ledger.now, attempt.policy) == 2

    attempt.bucket.before_put = lose
    rendition = attempt.run()
    assert (rendition.state, rendition.work.leased) == (RenditionState.MIRRORING, True)


def test_an_outcome_is_written_down_once_the_ledger_is_back(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    attempt.ledger.outages = {2, 3, 4}
    assert attempt.run().state is RenditionState.STORED
    assert len(attempt.fetcher.fetched) == 1


def test_an_outcome_that_cannot_be_written_down_is_brought_again(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "INSIST_EVERY", 0.001)
    attempt.policy = Policy(lease=0.02)
    attempt.ledger.outages = set(range(2, 100_000))
    with pytest.raises(LedgerUnavailable):
        attempt.run()
    attempt.ledger.outages = set()
    attempt.ledger.now += 1
    assert attempt.run().state is RenditionState.STORED


# --- what is in the bucket already -------------------------------------------------------------------------------------

FOUND = Stored(7, "ef" * 32, Media("video/mp4", "mp4", 640, 360, 2.0))
KEY = "veo/t1/result-0.mp4"


def _die(attempt: Attempt) -> None:
    """A worker is killed with the claim in its hands, and the lease ends."""
    attempt.fetcher.failure = Died()
    with pytest.raises(Died):
        attempt.run()
    attempt.fetcher.failure, attempt.ledger.now = None, attempt.ledger.now + 60.0


def test_what_a_killed_worker_had_stored_is_taken_over_and_not_fetched_again(attempt: Attempt) -> None:
    _die(attempt)
    attempt.fetcher.fetched.clear()
    attempt.bucket.found[KEY] = ("t1", FOUND)
    rendition = attempt.run()
    assert (rendition.state, rendition.key, rendition.bytes) == (RenditionState.STORED, KEY, 7)
    assert (rendition.sha256, rendition.width, rendition.seconds) == ("ef" * 32, 640, 2.0)
    assert (attempt.fetcher.fetched, attempt.bucket.files) == ([], {})


def test_a_film_and_a_picture_are_looked_for_by_all_their_names(attempt: Attempt) -> None:
    _die(attempt)
    attempt.run()
    assert attempt.bucket.looked_for == [(KEY, False), ("veo/t1/result-0.mov", False)]
    assert attempt.fetcher.fetched[1:] == [(URL, False)]


def test_a_picture_is_looked_for_as_one(attempt: Attempt) -> None:
    _first(attempt.ledger).kind = Kind.IMAGE
    attempt.fetcher.failure = Died()
    with pytest.raises(Died):
        attempt.run(Item(Step.MIRROR, "t1", Kind.IMAGE, 0))
    attempt.ledger.now += 60.0
    attempt.bucket.found["veo/t1/4k-0.png"] = ("t1", Stored(7, "ef" * 32, Media("image/png", "png", 6, 3, None)))
    assert attempt.run(Item(Step.MIRROR, "t1", Kind.IMAGE, 0)).key == "veo/t1/4k-0.png"


@pytest.mark.parametrize(
    ("key", "found"),
    [(KEY, ("t2", FOUND)), ("veo/t1/result-0.mov", ("t1", FOUND)), ("veo/t1/result-1.mp4", ("t1", FOUND))],
)
def test_what_is_not_its_own_file_under_its_own_name_is_not_taken_over(
    attempt: Attempt, key: str, found: tuple[str, Stored]
) -> None:
    _die(attempt)
    attempt.bucket.found[key] = found
    assert attempt.run().sha256 == "ab" * 32


def test_a_first_attempt_and_one_after_a_failure_look_for_nothing(attempt: Attempt) -> None:
    attempt.bucket.found[KEY] = ("t1", FOUND)
    attempt.fetcher.failure = FetchFailed("cut short")
    attempt.run()
    attempt.fetcher.failure, attempt.ledger.now = None, 1001.0
    assert attempt.run().sha256 == "ab" * 32
    assert attempt.bucket.looked_for == []


def test_a_dead_link_loses_nothing_that_is_in_the_bucket(attempt: Attempt) -> None:
    attempt.bucket.found[KEY], attempt.fetcher.failure = ("t1", FOUND), DEAD
    assert attempt.run().state is RenditionState.STORED
    assert attempt.vendor.asked == []


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_bucket_that_cannot_be_looked_into_postpones(attempt: Attempt, is_dead: bool) -> None:
    _die(attempt)
    attempt.bucket.found[KEY] = StoreUnavailable("no answer")
    _first(attempt.ledger).work.leased = not is_dead
    attempt.fetcher.failure = DEAD
    rendition = attempt.run()
    assert (rendition.state, rendition.dead_rounds) == (RenditionState.MIRRORING, 0)
    assert rendition.error == (f"{DEAD}; no answer" if is_dead else "no answer")
    assert attempt.vendor.asked == []


def test_another_file_under_the_key_is_a_failure_that_is_seen(attempt: Attempt) -> None:
    attempt.bucket.failure = StoreConflict("bucket b, k: conflict")
    rendition = attempt.run()
    assert (rendition.state, rendition.error) == (RenditionState.FAILED, "bucket b, k: conflict")
    assert (_known(attempt.ledger).state, attempt.vendor.asked) == (State.LOST, [])
    assert json.loads(render(_known(attempt.ledger)))["renditions"][0]["error"] == "bucket b, k: conflict"


def test_what_was_stored_and_never_confirmed_is_taken_over_when_the_vendor_serves_other_bytes(attempt: Attempt) -> None:
    attempt.bucket.failure, attempt.bucket.found[KEY] = StoreConflict("bucket b, k: conflict"), ("t1", FOUND)
    rendition = attempt.run()
    assert (rendition.state, rendition.sha256, rendition.error) == (RenditionState.STORED, "ef" * 32, "")
    assert attempt.bucket.files == {}


def test_a_sound_file_of_another_generation_stays_a_conflict(attempt: Attempt) -> None:
    attempt.bucket.failure, attempt.bucket.found[KEY] = StoreConflict("bucket b, k: conflict"), ("t2", FOUND)
    assert attempt.run().state is RenditionState.FAILED


def test_a_conflict_is_not_judged_while_the_bucket_cannot_be_looked_into(attempt: Attempt) -> None:
    attempt.bucket.failure = StoreConflict("bucket b, k: conflict")
    attempt.bucket.found[KEY] = StoreUnavailable("no answer")
    rendition = attempt.run()
    assert (rendition.state, rendition.error) == (RenditionState.MIRRORING, "bucket b, k: conflict; no answer")


def test_after_a_conflict_a_retry_stores_what_is_fetched_then(attempt: Attempt) -> None:
    attempt.bucket.failure = StoreConflict("bucket b, k: conflict")
    attempt.run()
    attempt.ledger.change("t1", lambda draft: draft.generation and draft.generation.retry(draft.now))
    attempt.bucket.failure = None
    assert attempt.run().state is RenditionState.STORED


def test_whoever_stores_the_last_file_writes_the_manifest(attempt: Attempt) -> None:
    attempt.run()
    assert json.loads(attempt.bucket.texts["veo/t1/manifest.json"]) == json.loads(render(_known(attempt.ledger)))
    assert (_known(attempt.ledger).state, _known(attempt.ledger).manifest.at) == (State.COMPLETE, None)


def test_while_another_file_is_missing_the_manifest_waits_in_its_own_queue(attempt: Attempt) -> None:
    _known(attempt.ledger).hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=(URL, OTHER))), "poll", 1000.0)
    attempt.run()
    known = _known(attempt.ledger)
    assert (attempt.bucket.texts, known.manifest.leased) == ({}, False)
    assert Item(Step.MANIFEST, "t1") in known.agenda(pending=False)


def test_a_manifest_that_cannot_be_written_takes_nothing_from_the_file(attempt: Attempt) -> None:
    def refuse() -> None:
        raise StoreUnavailable("bucket b: cannot store: SlowDown")

    attempt.bucket.before_put_json = refuse
    assert attempt.run().state is RenditionState.STORED
    assert (_known(attempt.ledger).state, _known(attempt.ledger).manifest.leased) == (State.MIRRORING, False)
    assert Item(Step.MANIFEST, "t1") in _known(attempt.ledger).agenda(pending=False)


def test_a_manifest_that_cannot_be_made_takes_nothing_from_the_file(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "describe", lambda generation: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attempt.run()
    assert _first(attempt.ledger).state is RenditionState.STORED


def test_size_and_sha256_of_what_is_stored_are_in_the_manifest(attempt: Attempt) -> None:
    attempt.run()
    [shown] = json.loads(render(_known(attempt.ledger)))["renditions"]
    assert (shown["state"], shown["key"], shown["bytes"], shown["sha256"]) == ("stored", KEY, 5, "ab" * 32)


# --- pieces of large files --------------------------------------------------------------------------------------------

PIECES = "veo/.parts/t1/result-0/"


def test_pieces_are_deleted_once_the_file_is_stored(attempt: Attempt) -> None:
    attempt.fetcher.keeps = True
    assert attempt.run().state is RenditionState.STORED
    assert (attempt.bucket.discarded, attempt.bucket.pieces) == ([PIECES], [])


def test_pieces_stay_for_the_next_attempt(attempt: Attempt) -> None:
    attempt.fetcher.keeps, attempt.fetcher.failure = True, FetchFailed("cut short")
    attempt.run()
    assert (attempt.bucket.discarded, attempt.bucket.pieces) == ([], [PIECES])
    attempt.fetcher.keeps, attempt.fetcher.failure, attempt.ledger.now = False, None, 1001.0
    attempt.run()
    assert (attempt.bucket.discarded, attempt.bucket.pieces) == ([PIECES], [])


def test_pieces_of_a_file_that_is_given_up_are_deleted(attempt: Attempt) -> None:
    attempt.fetcher.keeps, attempt.fetcher.failure = True, FetchForbidden("too large")
    attempt.run()
    assert attempt.bucket.pieces == []


def test_of_a_small_file_that_came_at_once_no_pieces_are_looked_for(attempt: Attempt) -> None:
    attempt.run()
    assert attempt.bucket.discarded == []


def test_a_worker_that_lost_its_claim_leaves_the_pieces_to_who_has_it(attempt: Attempt) -> None:
    def lose() -> None:
        attempt.ledger.now += attempt.policy.lease
        assert _known(attempt.ledger).claim_mirror(_first(attempt.ledger), attempt.ledger.now, attempt.policy) == 2

    attempt.fetcher.keeps, attempt.bucket.before_put = True, lose
    attempt.run()
    assert (attempt.bucket.discarded, attempt.bucket.pieces) == ([], [PIECES])


def _run_again(attempt: Attempt, times: int) -> Rendition:
    """So many attempts, each as soon as it is due."""
    for _ in range(times):
        attempt.ledger.now += 1000.0
        rendition = attempt.run()
    return rendition


def test_pieces_that_cannot_be_deleted_do_not_come_back_for_ever(attempt: Attempt) -> None:
    attempt.bucket.stuck[PIECES] = StoreUnavailable("cannot delete: AccessDenied")
    attempt.fetcher.failure = FetchFailed("no video")
    _run_again(attempt, 7)
    assert attempt.fetcher.given_parts == [True, True, False, True, True, False, True]


def test_a_killed_workers_pieces_are_gone_on_with_in_any_attempt(attempt: Attempt) -> None:
    attempt.fetcher.failure = FetchFailed("cut short")
    _run_again(attempt, 1)
    attempt.ledger.now += 1000.0
    _die(attempt)
    attempt.run()
    assert attempt.fetcher.given_parts == [True, True, True]


# --- what is refused again and again ----------------------------------------------------------------------------------

ODD, ODDER = "0123456789abcdef" * 4, "fedcba9876543210" * 4
REFUSED = "veo/.refused/t1/result-0-0123456789abcdef"
SAID = f"x: ends inside ‹mdat› (SHA-256 0123456789abcdef…); refused bytes are kept at {REFUSED}: see whether they play"


def test_bytes_that_are_refused_again_and_again_are_kept_and_not_called_stored(attempt: Attempt) -> None:
    attempt.fetcher.refuses = [ODD] * 9
    rendition = _run_again(attempt, 2)
    assert (rendition.error, attempt.bucket.files) == ("x: ends inside ‹mdat› (SHA-256 0123456789abcdef…)", {})
    rendition = _run_again(attempt, 1)
    assert (rendition.state, rendition.error, rendition.work.at) == (RenditionState.MIRRORING, SAID, 4004.0)
    facts = {"sha256": ODD, "task-id": "t1", "why": "ends inside \\u2039mdat\\u203a"}
    assert attempt.bucket.files == {REFUSED: facts}
    attempt.bucket.files.clear()
    assert _run_again(attempt, 6).error == SAID
    assert attempt.bucket.files == {}, "once is enough"


def test_it_is_said_to_the_end_where_refused_bytes_are(attempt: Attempt) -> None:
    attempt.fetcher.refuses = [ODD] * 3
    _run_again(attempt, 3)
    told = SAID[SAID.index("; refused") :]
    attempt.fetcher.failure = FetchFailed("HTTP 503")
    assert _run_again(attempt, 1).error == f"HTTP 503{told}"
    attempt.fetcher.failure = Died()
    with pytest.raises(Died):
        _run_again(attempt, 1)
    attempt.fetcher.failure = FetchForbidden("too large")
    rendition = _run_again(attempt, 1)
    assert (rendition.state, rendition.error) == (RenditionState.FAILED, f"too large{told}")
    assert json.loads(render(_known(attempt.ledger)))["renditions"][0]["error"] == f"too large{told}"
    assert attempt.bucket.discarded == [PIECES]


def test_refused_bytes_are_deleted_when_a_sound_file_comes_after_all(attempt: Attempt) -> None:
    attempt.fetcher.refuses = [ODD] * 3
    rendition = _run_again(attempt, 4)
    assert (rendition.state, rendition.error) == (RenditionState.STORED, "")
    assert attempt.bucket.discarded == [PIECES, "veo/.refused/t1/result-0-"]


@pytest.mark.parametrize("refused", [[ODD, ODDER, ODD], [ODD, ODD], [ODD] * 2 + [ODDER]])
def test_bytes_that_are_refused_and_not_given_again_are_not_kept(attempt: Attempt, refused: list[str]) -> None:
    attempt.fetcher.refuses = refused
    _run_again(attempt, len(refused))
    assert attempt.bucket.files == {}


def test_a_small_page_is_not_kept(attempt: Attempt) -> None:
    attempt.fetcher.refuses, attempt.fetcher.bytes = [ODD] * 3, LEAST_REFUSED - 1
    _run_again(attempt, 3)
    assert attempt.bucket.files == {}


def test_what_cannot_be_kept_is_tried_again_with_the_next_fresh_bytes(attempt: Attempt) -> None:
    attempt.fetcher.refuses, attempt.bucket.failure = [ODD] * 6, StoreUnavailable("no answer")
    assert _run_again(attempt, 3).error == "x: ends inside ‹mdat› (SHA-256 0123456789abcdef…); no answer"
    attempt.bucket.failure = None
    assert _run_again(attempt, 3).error == SAID


# --- dead links --------------------------------------------------------------------------------------------------------


def test_a_file_that_has_moved_is_fetched_from_its_new_address(attempt: Attempt) -> None:
    attempt.fetcher.failure, attempt.vendor.details["t1"] = DEAD, [MOVED]
    rendition = attempt.run()
    assert (rendition.url, rendition.link, rendition.work.at) == (OTHER, "", 1001.0)
    assert rendition.error == f"{DEAD}; trying a fresh link"
    assert attempt.vendor.asked == ["details t1"]


def test_a_file_with_a_fresh_link_is_fetched_by_it_and_keeps_its_url(attempt: Attempt) -> None:
    attempt.fetcher.failure, attempt.vendor.details["t1"], attempt.vendor.links = DEAD, [SAME], [FRESH]
    rendition = attempt.run()
    assert (rendition.url, rendition.link) == (URL, FRESH)
    attempt.ledger.now, attempt.fetcher.failure = 1001.0, None
    stored = attempt.run()
    assert attempt.fetcher.fetched == [(URL, False), (FRESH, False)]
    assert (stored.state, stored.url, stored.link) == (RenditionState.STORED, "", "")


def test_a_new_address_takes_the_place_of_a_fresh_link(attempt: Attempt) -> None:
    _first(attempt.ledger).link = FRESH
    attempt.fetcher.failure, attempt.vendor.details["t1"] = DEAD, [MOVED]
    rendition = attempt.run()
    assert (rendition.url, rendition.link) == (OTHER, "")


@pytest.mark.parametrize("keyed", [True, False])
def test_a_link_that_is_dead_everywhere_is_given_up_after_an_hour(attempt: Attempt, keyed: bool) -> None:
    attempt.fetcher.failure, attempt.vendor.details["t1"], attempt.vendor.links = DEAD, [SAME], [None]
    for number in range(DEAD_ROUNDS):
        attempt.ledger.now = 1000.0 + number * 899
        assert attempt.run(keyed=keyed).dead_rounds == number + 1
    assert (_first(attempt.ledger).state, _first(attempt.ledger).dead_since) == (RenditionState.MIRRORING, 1000.0)
    attempt.ledger.now = 4620.0
    rendition = attempt.run(keyed=keyed)
    assert (rendition.state, rendition.error) == (RenditionState.FAILED, f"link dead everywhere: {DEAD}")
    assert len(attempt.vendor.asked) == (2 * (DEAD_ROUNDS + 1) if keyed else 0)


def test_while_the_vendor_cannot_be_asked_no_link_is_known_to_be_dead(attempt: Attempt) -> None:
    attempt.fetcher.failure, attempt.vendor.details["t1"] = DEAD, [VendorUnreachable("HTTP 502")]
    for number in range(3 * DEAD_ROUNDS):
        attempt.ledger.now = 1000.0 + number * 3600
        rendition = attempt.run()
    assert (rendition.state, rendition.dead_rounds) == (RenditionState.MIRRORING, 0)
    assert rendition.error == f"{DEAD}; no fresh link yet: HTTP 502"


def test_a_fresh_link_that_died_while_the_vendor_cannot_be_asked_is_dropped(attempt: Attempt) -> None:
    _first(attempt.ledger).link = FRESH
    attempt.fetcher.failure, attempt.vendor.details["t1"] = DEAD, [VendorUnreachable("HTTP 502")]
    rendition = attempt.run()
    assert (rendition.link, rendition.url, rendition.dead_rounds) == ("", URL, 0)


def test_a_fresh_link_that_has_died_is_not_tried_for_ever(attempt: Attempt) -> None:
    _first(attempt.ledger).link = FRESH
    attempt.fetcher.failure, attempt.vendor.details["t1"], attempt.vendor.links = DEAD, [SAME], [None]
    attempt.run()
    attempt.ledger.now = 2000.0
    attempt.run()
    assert attempt.fetcher.fetched == [(FRESH, False), (URL, False)]


def test_the_vendor_is_asked_about_a_dead_link_at_the_pace_of_questions(attempt: Attempt) -> None:
    attempt.policy = Policy(poll_rate=(7, 3.0))
    attempt.fetcher.failure, attempt.vendor.details["t1"] = DEAD, [MOVED]
    attempt.run()
    assert attempt.ledger.slots == [(Limit("polls", 7, 3.0), MIRROR)]


def test_without_a_slot_nobody_is_asked_about_a_dead_link(attempt: Attempt) -> None:
    _first(attempt.ledger).link = FRESH
    attempt.fetcher.failure, attempt.ledger.no_slot = DEAD, 1003.5
    rendition = attempt.run()
    assert (attempt.vendor.asked, rendition.link, rendition.dead_rounds) == ([], "", 0)
    assert rendition.error == f"{DEAD}; no fresh link yet: enough others are asked about just now"


@pytest.mark.parametrize("keyed", [True, False])
def test_what_needs_no_question_takes_no_slot(attempt: Attempt, keyed: bool) -> None:
    attempt.fetcher.failure = FetchFailed("cut short") if keyed else DEAD
    attempt.run(keyed=keyed)
    assert attempt.ledger.slots == []


# --- where a link is renewed -------------------------------------------------------------------------------------------

EVERYTHING = Verdict(
    Progress.SUCCEEDED,
    200,
    "",
    Urls(("https://n/r0", "https://n/r1"), ("https://n/o0",), ("https://n/f0",), ("https://n/i0",)),
)


@pytest.mark.parametrize(
    ("kind", "index", "alias", "asked", "url"),
    [
        (Kind.RESULT, 0, "", "t1", "https://n/r0"),
        (Kind.RESULT, 1, "", "t1", "https://n/r1"),
        (Kind.RESULT, 1, "a1", "t1", "https://n/r1"),
        (Kind.ORIGIN, 0, "", "t1", "https://n/o0"),
        (Kind.FULL, 0, "", "t1", "https://n/f0"),
        (Kind.HD, 0, "a1", "a1", "https://n/r0"),
        (Kind.HD, 1, "a1", "a1", "https://n/r0"),
        (Kind.UHD, 0, "a1", "a1", "https://n/r0"),
        (Kind.UHD, 1, "a1", "a1", "https://n/r0"),
        (Kind.IMAGE, 0, "a1", "a1", "https://n/i0"),
        (Kind.IMAGE, 1, "a1", "a1", "https://n/i0"),
    ],
)
def test_the_details_are_asked_first(
    vendor: ScriptedVendor, kind: Kind, index: int, alias: str, asked: str, url: str
) -> None:
    vendor.details[asked] = [EVERYTHING]
    assert renew_link(Item(Step.MIRROR, "t1", kind, index), URL, alias, vendor) == Renewal(url=url)
    assert vendor.asked == [f"details {asked}"]


@pytest.mark.parametrize("details", [SAME, NOTHING, Verdict(Progress.SUCCEEDED, 200, "", NO_URLS)])
@pytest.mark.parametrize(("link", "renewal"), [(FRESH, Renewal(link=FRESH)), (None, None)])
def test_a_fresh_link_is_asked_for_next(
    vendor: ScriptedVendor, details: Verdict, link: str | None, renewal: Renewal | None
) -> None:
    vendor.details["t1"], vendor.links = [details], [link]
    assert renew_link(MIRROR, URL, "", vendor) == renewal
    assert vendor.asked == ["details t1", f"renew {URL}"]


def test_a_result_that_the_details_have_no_longer_has_a_fresh_link_at_most(vendor: ScriptedVendor) -> None:
    vendor.details["t1"], vendor.links = [MOVED], [None]
    assert renew_link(Item(Step.MIRROR, "t1", Kind.RESULT, 1), URL, "", vendor) is None


@pytest.mark.parametrize("kind", [Kind.HD, Kind.UHD, Kind.IMAGE])
def test_the_parents_details_are_never_asked_about_an_upgrade(vendor: ScriptedVendor, kind: Kind) -> None:
    vendor.links = [FRESH]
    assert renew_link(Item(Step.MIRROR, "t1", kind, 0), URL, "", vendor) == Renewal(link=FRESH)
    assert vendor.asked == [f"renew {URL}"]


@pytest.mark.parametrize("place", ["details", "link"])
def test_a_vendor_that_cannot_be_asked_has_not_said_that_there_is_no_link(vendor: ScriptedVendor, place: str) -> None:
    silence = VendorUnreachable("HTTP 502")
    vendor.details["t1"], vendor.links = [silence if place == "details" else SAME], [silence]
    with pytest.raises(VendorUnreachable):
        renew_link(MIRROR, URL, "", vendor)


@pytest.mark.parametrize(
    ("kind", "alias", "url"),
    [
        (Kind.UHD, "a1", "https://n/r0"),
        (Kind.IMAGE, "a1", "https://n/i0"),
        (Kind.HD, "b1", "https://n/r0"),
    ],
)
def test_an_upgrade_and_its_picture_are_asked_for_by_its_own_id(
    succeeded: MemoryLedger, policy: Policy, kind: Kind, alias: str, url: str
) -> None:
    generation = _known(succeeded)
    generation.renditions = [
        Rendition(kind=Kind.UHD, since=1000.0, url="https://x/u", order=Order(intended_at=1000.0, alias="a1")),
        Rendition(kind=Kind.HD, since=1000.0, url="https://x/h", order=Order(intended_at=1000.0, alias="b1")),
        Rendition(kind=Kind.IMAGE, since=1000.0, url="https://x/i"),
    ]
    for rendition in generation.renditions:
        rendition.work.at = 1000.0
    attempt = Attempt(succeeded, policy)
    attempt.fetcher.failure, attempt.vendor.details[alias] = DEAD, [EVERYTHING]
    attempt.run(Item(Step.MIRROR, "t1", kind, 0))
    found = _known(succeeded).find(kind, 0)
    assert found is not None
    assert (attempt.vendor.asked, found.url) == ([f"details {alias}"], url)


@pytest.mark.parametrize(
    ("kind", "index", "extension", "key"),
    [
        (Kind.RESULT, 2, "mp4", "veo/t1/result-2.mp4"),
        (Kind.HD, 0, "mp4", "veo/t1/1080p-0.mp4"),
        (Kind.UHD, 1, "mp4", "veo/t1/4k-1.mp4"),
        (Kind.IMAGE, 1, "webp", "veo/t1/4k-1.webp"),
    ],
)
def test_each_file_has_its_key(kind: Kind, index: int, extension: str, key: str) -> None:
    assert object_key("veo/", "t1", kind, index, extension) == key
