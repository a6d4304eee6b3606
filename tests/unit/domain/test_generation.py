"""Verdicts: what is believed in which order, how long one is waited for, and what users see meanwhile."""

import json

import pytest

from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.generation import MOST_HEARD, Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Kind

URLS = Urls(result=("https://x/0.mp4", "https://x/1.mp4"), origin=("https://x/o.mp4",), full=("https://x/f.mp4",))
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", URLS, credits=60.5)
FAILURE = Verdict(Progress.FAILED, 500, "broken")


def test_a_tracked_generation_waits_and_is_polled_after_a_while(waiting: Generation) -> None:
    assert waiting.state is State.WAITING
    assert waiting.settle.at == 1300.0


def test_a_success_wants_every_file_that_it_names(waiting: Generation) -> None:
    waiting.hear(SUCCESS, "callback", 1100.0)
    assert waiting.state is State.MIRRORING
    assert [(r.kind, r.index, r.url, r.work.at) for r in waiting.renditions] == [
        (Kind.RESULT, 0, "https://x/0.mp4", 1100.0),
        (Kind.RESULT, 1, "https://x/1.mp4", 1100.0),
        (Kind.ORIGIN, 0, "https://x/o.mp4", 1100.0),
        (Kind.FULL, 0, "https://x/f.mp4", 1100.0),
    ]


def test_a_success_is_remembered_with_its_source_and_time(waiting: Generation) -> None:
    waiting.hear(SUCCESS, "callback", 1100.0)
    assert (waiting.verdict_at, waiting.verdict_from) == (1100.0, "callback")
    assert (waiting.code, waiting.msg, waiting.credits) == (200, "done", 60.5)
    assert waiting.settle.at is None


def test_a_failure_is_final_until_contradicted(waiting: Generation) -> None:
    waiting.hear(FAILURE, "poll", 1100.0)
    assert (waiting.state, waiting.code, waiting.msg) == (State.FAILED, 500, "broken")
    assert waiting.settle.at is None


def test_a_success_outranks_an_earlier_failure(waiting: Generation) -> None:
    waiting.hear(FAILURE, "callback", 1100.0)
    waiting.hear(SUCCESS, "poll", 1200.0)
    assert (waiting.state, waiting.code, waiting.msg, waiting.verdict_at) == (State.MIRRORING, 200, "done", 1200.0)


def test_a_late_failure_never_undoes_a_success(waiting: Generation) -> None:
    waiting.hear(SUCCESS, "callback", 1100.0)
    before = waiting.model_copy(deep=True)
    waiting.hear(FAILURE, "callback", 1200.0)
    assert waiting == before


def test_a_repeated_success_changes_nothing(waiting: Generation) -> None:
    waiting.hear(SUCCESS, "callback", 1100.0)
    before = waiting.model_copy(deep=True)
    waiting.hear(SUCCESS, "poll", 1200.0)
    assert waiting == before


def test_a_repeated_failure_changes_nothing(waiting: Generation) -> None:
    waiting.hear(FAILURE, "callback", 1100.0)
    before = waiting.model_copy(deep=True)
    waiting.hear(Verdict(Progress.FAILED, 501, "broken again"), "poll", 1200.0)
    assert waiting == before


@pytest.mark.parametrize("progress", [Progress.GENERATING, Progress.UNKNOWN])
def test_no_verdict_changes_nothing(waiting: Generation, progress: Progress) -> None:
    before = waiting.model_copy(deep=True)
    waiting.hear(Verdict(progress, 200, "soon"), "poll", 1100.0)
    assert waiting == before


def test_a_success_without_any_url_is_no_verdict_yet(waiting: Generation) -> None:
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, "done"), "poll", 1100.0)
    assert waiting.state is State.WAITING


def test_a_later_success_adds_files_that_are_new(mirroring: Generation) -> None:
    mirroring.hear(SUCCESS, "poll", 1200.0)
    assert [(r.kind, r.index) for r in mirroring.renditions] == [
        (Kind.RESULT, 0),
        (Kind.RESULT, 1),
        (Kind.ORIGIN, 0),
        (Kind.FULL, 0),
    ]


def test_a_4k_that_runs_under_an_id_of_its_own_is_kept_as_one(waiting: Generation) -> None:
    urls = Urls(result=("https://x/4k.mp4",), image=("https://x/4k.jpg",))
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, "", urls, main=Kind.UHD), "poll", 1100.0)
    assert [(r.kind, r.index) for r in waiting.renditions] == [(Kind.UHD, 0), (Kind.IMAGE, 0)]


def test_an_upgrade_of_an_upgrade_is_not_bought() -> None:
    generation = Generation.track("t1", 1000.0, Policy(upgrades=(Kind.UHD, Kind.HD)))
    generation.hear(
        Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/4k.mp4",)), main=Kind.UHD), "poll", 1.0
    )
    assert [r.kind for r in generation.renditions] == [Kind.UHD]


def test_repeated_callbacks_are_counted(waiting: Generation) -> None:
    news = [waiting.count_callback(said, 1100.0) for said in ("ok 200", "ok 200", "failed 500", "ok 200")]
    assert news == [True, False, True, False]
    assert (waiting.received, waiting.duplicates) == (4, 2)


def test_a_flood_of_different_callbacks_does_not_grow_the_record(waiting: Generation) -> None:
    for number in range(1000):
        waiting.count_callback(f"generation ask {number}", 1100.0)
    assert len(waiting.heard) == MOST_HEARD
    assert (waiting.received, waiting.duplicates) == (1000, 1000 - MOST_HEARD)


def test_the_vendor_is_asked_while_there_is_no_verdict(waiting: Generation) -> None:
    assert waiting.undecided


@pytest.mark.parametrize("outcome", Outcome)
def test_there_is_nothing_to_doubt_while_there_is_no_verdict(waiting: Generation, outcome: Outcome) -> None:
    waiting.doubt(outcome, 1100.0)
    assert waiting.doubt_since is None


@pytest.mark.parametrize("outcome", Outcome)
def test_the_vendor_is_not_asked_after_a_success(mirroring: Generation, outcome: Outcome) -> None:
    mirroring.doubt(outcome, 1100.0)
    assert mirroring.doubt_since is None
    assert not mirroring.undecided


def test_a_missing_verdict_is_asked_for_again_later(waiting: Generation, policy: Policy) -> None:
    waiting.settle.claim(1300.0, policy.lease)
    waiting.await_verdict(1300.0, policy)
    assert (waiting.settle.at, waiting.settle.leased) == (1330.0, False)


def test_a_verdict_is_asked_for_soon_after_a_callback(waiting: Generation, policy: Policy) -> None:
    waiting.count_callback("generation ask 0", 1300.0)
    waiting.await_verdict(1301.0, policy)
    assert waiting.settle.at == 1302.0


@pytest.mark.parametrize("verdict", [SUCCESS, FAILURE])
def test_a_verdict_is_not_asked_for_twice(waiting: Generation, policy: Policy, verdict: Verdict) -> None:
    waiting.hear(verdict, "poll", 1100.0)
    waiting.await_verdict(1100.0, policy)
    assert waiting.settle.at is None


def test_the_last_question_comes_when_the_time_is_over(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1000.0 + 86400 - 5, policy)
    assert waiting.settle.at == 1000.0 + 86400


def test_a_generation_without_a_verdict_in_time_is_lost_by_name(waiting: Generation, policy: Policy) -> None:
    waiting.count_callback("generation ask 0", 1100.0)
    waiting.await_verdict(1000.0 + 86400, policy)
    assert waiting.state is State.LOST
    assert waiting.error == "no verdict within 86400 s; its callbacks said: generation ask 0"
    assert waiting.settle.at is None


@pytest.mark.parametrize(("verdict", "state"), [(SUCCESS, State.MIRRORING), (FAILURE, State.FAILED)])
def test_a_verdict_that_comes_after_giving_up_counts(
    waiting: Generation, policy: Policy, verdict: Verdict, state: State
) -> None:
    waiting.await_verdict(1000.0 + 86400, policy)
    waiting.hear(verdict, "callback", 90_000.0)
    assert (waiting.state, waiting.error) == (state, "")


def test_trying_a_failed_generation_again_asks_at_once(waiting: Generation) -> None:
    waiting.hear(FAILURE, "poll", 1100.0)
    assert waiting.retry(2000.0) == 1
    assert (waiting.state, waiting.settle.at) == (State.WAITING, 2000.0)


@pytest.mark.parametrize("failed", [True, False])
def test_trying_again_forgets_the_former_verdict(waiting: Generation, policy: Policy, failed: bool) -> None:
    if failed:
        waiting.hear(FAILURE, "callback", 1100.0)
    else:
        waiting.await_verdict(1000.0 + 86400, policy)
    changes = waiting.changes
    waiting.retry(100_000.0)
    assert (waiting.verdict, waiting.given_up, waiting.doubt_since) == (Progress.GENERATING, False, None)
    assert (waiting.code, waiting.msg, waiting.error) == (0, "", "")
    assert (waiting.verdict_at, waiting.verdict_from) == (None, "")
    assert waiting.changes > changes


def test_trying_a_lost_generation_again_gives_it_the_whole_time_anew(waiting: Generation, policy: Policy) -> None:
    waiting.await_verdict(1000.0 + 86400, policy)
    waiting.retry(100_000.0)
    waiting.await_verdict(100_000.0 + 86399, policy)
    assert (waiting.state, waiting.error, waiting.settle.at) == (State.WAITING, "", 186_400.0)


def test_there_is_nothing_to_try_again_while_all_is_well(waiting: Generation, mirroring: Generation) -> None:
    assert (waiting.retry(2000.0), mirroring.retry(2000.0)) == (0, 0)


def test_labels_are_added_and_overwritten(waiting: Generation) -> None:
    waiting.set_labels({"a": "1", "b": "2"}, 1100.0)
    waiting.set_labels({"b": "3"}, 1100.0)
    assert waiting.labels == {"a": "1", "b": "3"}


def test_equal_labels_are_no_change(waiting: Generation) -> None:
    waiting.set_labels({"a": "1"}, 1100.0)
    changes = waiting.changes
    waiting.set_labels({"a": "1"}, 1200.0)
    assert waiting.changes == changes


def test_a_generation_is_lost_while_one_of_its_files_is(mirroring: Generation) -> None:
    mirroring.fail(mirroring.renditions[0], "link dead everywhere", 1100.0)
    assert mirroring.state is State.LOST


def test_a_generation_that_failed_is_failed_whatever_became_of_files(mirroring: Generation) -> None:
    mirroring.verdict = Progress.FAILED
    mirroring.renditions[0].state = RenditionState.FAILED
    assert mirroring.state is State.FAILED


def test_a_generation_is_complete_once_its_manifest_says_so(mirroring: Generation) -> None:
    mirroring.renditions[0].state = RenditionState.STORED
    assert mirroring.state is State.MIRRORING
    mirroring.complete_at = 1200.0
    assert mirroring.state is State.COMPLETE


def test_a_picture_that_is_lost_loses_no_generation(mirroring: Generation, policy: Policy) -> None:
    urls = Urls(result=("https://x/0.mp4",), image=("https://x/0.jpg",))
    mirroring.hear(Verdict(Progress.SUCCEEDED, 200, "", urls), "poll", 1000.0)
    video, picture = mirroring.renditions
    mirroring.fail(picture, "link dead everywhere", 1100.0)
    assert (picture.state, mirroring.state) == (RenditionState.FAILED, State.MIRRORING)
    mirroring.store(video, "key", 1, "ab", Media("video/mp4", "mp4", None, None, None), 1110.0)
    assert mirroring.completion(1111.0) == 1111.0
    fence = mirroring.claim_manifest(1111.0, policy)
    assert fence is not None
    mirroring.finish_manifest(fence, mirroring.changes, mirroring.completion(1111.0), 1112.0)
    assert mirroring.state is State.COMPLETE
    assert mirroring.retry(1200.0) == 1


def test_fields_of_a_newer_version_are_kept(mirroring: Generation, policy: Policy) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1000.0)
    mirroring.claim_upgrade(Kind.UHD, 0, 1000.0, policy, "secret")
    record = json.loads(mirroring.model_dump_json(exclude_defaults=True))
    record["newer"] = 1
    record["renditions"][1]["newer"] = [2]
    record["renditions"][1]["order"]["newer"] = {"three": 3}
    read = Generation.model_validate_json(json.dumps(record))
    read.set_labels({"a": "b"}, 1100.0)
    written = json.loads(read.model_dump_json(exclude_defaults=True))
    assert written["newer"] == 1
    assert written["renditions"][1]["newer"] == [2]
    assert written["renditions"][1]["order"]["newer"] == {"three": 3}


def test_a_generation_survives_being_written_and_read(mirroring: Generation) -> None:
    assert Generation.model_validate_json(mirroring.model_dump_json(exclude_defaults=True)) == mirroring
