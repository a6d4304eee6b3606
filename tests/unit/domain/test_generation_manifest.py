"""When a manifest is written and what makes a generation complete; and the agenda: what is due when."""

import pytest

from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step

SETTLE, MANIFEST = Item(Step.SETTLE, "t1"), Item(Step.MANIFEST, "t1")
MIRROR, UPGRADE = Item(Step.MIRROR, "t1", Kind.RESULT, 0), Item(Step.UPGRADE, "t1", Kind.UHD, 0)


def _store_all(generation: Generation, now: float) -> None:
    for rendition in generation.renditions:
        if not rendition.ended:
            generation.store(rendition, "key", 1, "ab", Media("video/mp4", "mp4", None, None, None), now)


def _write(generation: Generation, now: float, policy: Policy) -> bool:
    fence = generation.claim_manifest(now, policy)
    assert fence is not None
    return generation.finish_manifest(fence, generation.changes, generation.completion(now), now)


@pytest.fixture
def stored(mirroring: Generation) -> Generation:
    """All that is wanted is stored, the manifest is not written."""
    _store_all(mirroring, 1010.0)
    return mirroring


def test_no_manifest_is_written_before_there_is_something_to_show(mirroring: Generation, policy: Policy) -> None:
    mirroring.set_labels({"a": "b"}, 1005.0)
    assert mirroring.claim_manifest(2000.0, policy) is None


def test_a_manifest_is_due_once_a_file_is_stored(stored: Generation) -> None:
    assert stored.manifest.at == 1010.0
    assert stored.state is State.MIRRORING


def test_a_generation_is_complete_when_its_manifest_is_there(stored: Generation, policy: Policy) -> None:
    assert stored.completion(1011.0) == 1011.0
    assert _write(stored, 1011.0, policy)
    assert (stored.state, stored.complete_at, stored.manifest.at) == (State.COMPLETE, 1011.0, None)


def test_a_part_that_is_not_stored_keeps_it_from_being_complete(waiting: Generation, policy: Policy) -> None:
    urls = Urls(result=("https://x/0.mp4", "https://x/1.mp4"))
    waiting.hear(Verdict(Progress.SUCCEEDED, 200, "", urls), "poll", 1000.0)
    waiting.store(waiting.renditions[0], "key", 1, "ab", Media("video/mp4", "mp4", None, None, None), 1010.0)
    assert waiting.completion(1011.0) is None
    assert _write(waiting, 1011.0, policy)
    assert waiting.state is State.MIRRORING


def test_an_unavailable_upgrade_does_not_keep_it_from_being_complete(stored: Generation, policy: Policy) -> None:
    stored.deny_upgrade(Kind.UHD, 0, "nobody asked", 1011.0)
    _write(stored, 1012.0, policy)
    assert stored.state is State.COMPLETE


def test_a_lost_file_keeps_it_from_being_complete(mirroring: Generation, policy: Policy) -> None:
    mirroring.fail(mirroring.renditions[0], "link dead everywhere", 1010.0)
    assert mirroring.completion(1011.0) is None
    _write(mirroring, 1011.0, policy)
    assert (mirroring.state, mirroring.complete_at) == (State.LOST, None)


@pytest.mark.parametrize("verdict", [Verdict(Progress.FAILED, 500, "broken"), None])
def test_a_generation_that_failed_or_was_given_up_has_a_manifest_too(
    waiting: Generation, policy: Policy, verdict: Verdict | None
) -> None:
    if verdict:
        waiting.hear(verdict, "poll", 1100.0)
    waiting.await_verdict(1000.0 + 86400, policy)
    assert _write(waiting, 1000.0 + 86400, policy)
    assert waiting.state in (State.FAILED, State.LOST)
    assert waiting.complete_at is None


def test_every_change_after_that_is_written_too(stored: Generation, policy: Policy) -> None:
    _write(stored, 1011.0, policy)
    stored.set_labels({"a": "b"}, 1020.0)
    assert stored.manifest.at == 1020.0
    _write(stored, 1021.0, policy)
    assert (stored.complete_at, stored.written) == (1011.0, stored.changes)


def test_a_change_during_the_writing_is_written_next(stored: Generation, policy: Policy) -> None:
    fence = stored.claim_manifest(1011.0, policy)
    assert fence is not None
    changes, complete_at = stored.changes, stored.completion(1011.0)
    stored.set_labels({"a": "b"}, 1012.0)
    assert stored.finish_manifest(fence, changes, complete_at, 1013.0)
    assert (stored.manifest.at, stored.complete_at) == (1013.0, None)
    _write(stored, 1014.0, policy)
    assert stored.state is State.COMPLETE


def test_an_upgrade_wanted_during_the_writing_keeps_it_from_being_complete(stored: Generation, policy: Policy) -> None:
    fence = stored.claim_manifest(1011.0, policy)
    assert fence is not None
    changes, complete_at = stored.changes, stored.completion(1011.0)
    stored.want_upgrade(Kind.UHD, 0, 1012.0)
    stored.finish_manifest(fence, changes, complete_at, 1013.0)
    assert stored.state is State.MIRRORING


def test_an_upgrade_wanted_afterwards_makes_it_incomplete(stored: Generation, policy: Policy) -> None:
    _write(stored, 1011.0, policy)
    stored.want_upgrade(Kind.UHD, 0, 1020.0)
    assert (stored.state, stored.complete_at) == (State.MIRRORING, None)


def test_a_writer_that_lost_its_claim_has_the_manifest_written_anew(stored: Generation, policy: Policy) -> None:
    first = stored.claim_manifest(1011.0, policy)
    second = stored.claim_manifest(1011.0 + policy.lease, policy)
    assert first is not None
    assert second is not None
    changes, complete_at = stored.changes, stored.completion(1071.0)
    assert stored.finish_manifest(second, changes, complete_at, 1072.0)
    assert not stored.finish_manifest(first, changes, complete_at, 1073.0)
    assert stored.manifest.at == 1073.0
    assert stored.changes > stored.written


def test_a_writer_that_lost_its_claim_has_it_written_anew_after_the_present_one(
    stored: Generation, policy: Policy
) -> None:
    first = stored.claim_manifest(1011.0, policy)
    second = stored.claim_manifest(1011.0 + policy.lease, policy)
    assert first is not None
    assert second is not None
    changes, complete_at = stored.changes, stored.completion(1071.0)
    assert not stored.finish_manifest(first, changes, complete_at, 1072.0)
    assert stored.manifest.holds(second)
    stored.finish_manifest(second, changes, complete_at, 1073.0)
    assert (stored.manifest.at, stored.complete_at) == (1073.0, None)


def test_a_fresh_generations_agenda_is_its_first_poll(waiting: Generation) -> None:
    assert waiting.agenda(pending=False) == {SETTLE: 1300.0}


def test_a_callback_is_due_at_once(waiting: Generation, mirroring: Generation) -> None:
    assert waiting.agenda(pending=True)[SETTLE] == 0.0


def test_a_callback_that_comes_while_it_is_being_settled_waits_for_the_claim(
    waiting: Generation, policy: Policy
) -> None:
    waiting.settle.claim(1300.0, policy.lease)
    assert waiting.agenda(pending=True) == {SETTLE: 1360.0}


def test_a_file_with_an_address_is_to_be_mirrored(mirroring: Generation) -> None:
    assert mirroring.agenda(pending=False) == {MIRROR: 1000.0}


def test_a_claimed_file_is_looked_at_when_its_lease_ends(mirroring: Generation, policy: Policy) -> None:
    mirroring.claim_mirror(mirroring.renditions[0], 1000.0, policy)
    assert mirroring.agenda(pending=False) == {MIRROR: 1060.0}


def test_an_upgrade_is_to_be_asked_about_until_it_has_an_address(mirroring: Generation, policy: Policy) -> None:
    mirroring.want_upgrade(Kind.UHD, 0, 1001.0)
    assert mirroring.agenda(pending=False) == {MIRROR: 1000.0, UPGRADE: 1001.0}
    mirroring.claim_upgrade(Kind.UHD, 0, 1001.0, policy, "secret")
    upgrade = mirroring.renditions[1]
    urls = Urls(result=("https://x/4k.mp4",))
    mirroring.hear_order(upgrade, OrderAnswer(OrderProgress.READY, 200, urls=urls), 1002.0, policy)
    assert mirroring.agenda(pending=False) == {MIRROR: 1000.0, Item(Step.MIRROR, "t1", Kind.UHD, 0): 1002.0}


def test_a_stored_generations_agenda_is_its_manifest(stored: Generation) -> None:
    assert stored.agenda(pending=False) == {MANIFEST: 1010.0}


def test_a_complete_generation_has_nothing_on_its_agenda(stored: Generation, policy: Policy) -> None:
    _write(stored, 1011.0, policy)
    assert stored.agenda(pending=False) == {}


@pytest.mark.parametrize("state", [RenditionState.FAILED, RenditionState.UNAVAILABLE, RenditionState.STORED])
def test_what_has_ended_is_never_due(mirroring: Generation, state: RenditionState) -> None:
    mirroring.renditions[0].end(state, "why")
    assert mirroring.agenda(pending=False) == {}
