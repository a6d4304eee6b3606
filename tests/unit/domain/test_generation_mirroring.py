"""Downloads: claims, what a failed attempt leads to, and that nothing undoes `stored`."""

import pytest

from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import DEAD_ROUNDS, Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict

VIDEO = Media("video/mp4", "mp4", 1280, 720, 8.0)


@pytest.fixture
def rendition(mirroring: Generation) -> Rendition:
    """The one result of the generation `mirroring`."""
    return mirroring.renditions[0]


def _store(generation: Generation, rendition: Rendition, now: float = 1010.0) -> None:
    generation.store(rendition, "veo/t1/result-0.mp4", 3009049, "ab" * 32, VIDEO, now)


def test_a_claim_counts_as_an_attempt(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    assert mirroring.claim_mirror(rendition, 1000.0, policy) == 1
    assert (rendition.state, rendition.attempts) == (RenditionState.MIRRORING, 1)


def test_a_second_worker_finds_the_rendition_taken(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    assert mirroring.claim_mirror(rendition, 1001.0, policy) is None
    assert rendition.attempts == 1


def test_a_dead_workers_rendition_is_free_when_its_lease_ends(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    assert mirroring.claim_mirror(rendition, 1060.0, policy) == 2
    assert not rendition.work.holds(1)


def test_a_rendition_without_an_address_is_not_mirrored(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    rendition.url = ""
    assert mirroring.claim_mirror(rendition, 1000.0, policy) is None


def test_a_rendition_that_waits_for_its_retry_is_refused(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.retry_later(rendition, "cut short", 1001.0, policy, 0.5)
    assert mirroring.claim_mirror(rendition, 1001.5, policy) is None
    assert mirroring.claim_mirror(rendition, 1002.0, policy) == 2


def test_a_stored_rendition_is_recorded_whole(mirroring: Generation, rendition: Rendition) -> None:
    _store(mirroring, rendition)
    assert rendition.state is RenditionState.STORED
    assert (rendition.key, rendition.bytes, rendition.sha256) == ("veo/t1/result-0.mp4", 3009049, "ab" * 32)
    assert (rendition.width, rendition.height, rendition.seconds, rendition.stored_at) == (1280, 720, 8.0, 1010.0)
    assert (rendition.url, rendition.link, rendition.work.at) == ("", "", None)


def test_a_stored_rendition_cannot_be_claimed(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    _store(mirroring, rendition)
    assert mirroring.claim_mirror(rendition, 9e9, policy) is None


def test_a_stored_rendition_cannot_fail_any_more(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    _store(mirroring, rendition)
    mirroring.fail(rendition, "too late", 1020.0)
    rendition.end(RenditionState.UNAVAILABLE, "too late")
    assert (rendition.state, rendition.error) == (RenditionState.STORED, "")


def test_a_stored_rendition_is_not_tried_again(mirroring: Generation, rendition: Rendition) -> None:
    _store(mirroring, rendition)
    assert mirroring.retry(2000.0) == 0
    assert rendition.state is RenditionState.STORED


def test_a_repeated_success_does_not_download_again(mirroring: Generation, rendition: Rendition) -> None:
    _store(mirroring, rendition)
    mirroring.hear(Verdict(Progress.SUCCEEDED, 200, "", Urls(result=("https://x/other.mp4",))), "poll", 1020.0)
    assert mirroring.renditions == [rendition]
    assert (rendition.state, rendition.url) == (RenditionState.STORED, "")


def test_a_failed_download_is_tried_again_and_fails_no_generation(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.retry_later(rendition, "cut short", 1000.0, policy, 0.25)
    assert mirroring.state is State.MIRRORING
    assert (rendition.error, rendition.work.at, rendition.work.leased) == ("cut short", 1000.5, False)


def test_each_failed_attempt_may_wait_longer(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    now, pauses = 1000.0, []
    for _ in range(4):
        mirroring.claim_mirror(rendition, now, policy)
        mirroring.retry_later(rendition, "cut short", now, policy, 0.5)
        assert rendition.work.at is not None
        pauses.append(rendition.work.at - now)
        now = rendition.work.at
    assert pauses == [1, 2, 4, 8]


def test_attempts_end_with_the_links_life(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    mirroring.retry_later(rendition, "HTTP 500", 1000.0 + policy.link_lifetime, policy, 0.5)
    assert rendition.state is RenditionState.FAILED
    assert rendition.error == "given up at the end of the link's life: HTTP 500"
    assert mirroring.state is State.LOST


def test_attempts_go_on_until_just_before(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    mirroring.retry_later(rendition, "HTTP 500", 999.0 + policy.link_lifetime, policy, 0.5)
    assert not rendition.ended


HOUR = 3600.0


def _find_dead(generation: Generation, rendition: Rendition, *times: float) -> None:
    for now in times:
        generation.find_dead(rendition, "HTTP 404", now, Policy(), 0.5)


def test_a_dead_link_is_believed_only_after_several_rounds_and_an_hour(
    mirroring: Generation, rendition: Rendition
) -> None:
    _find_dead(mirroring, rendition, 1010.0, 1020.0, 1030.0, 1040.0, 1050.0, 1010.0 + HOUR - 1)
    assert (rendition.dead_rounds, rendition.dead_since) == (6, 1010.0)
    assert not rendition.ended
    _find_dead(mirroring, rendition, 1010.0 + HOUR)
    assert (rendition.state, rendition.error) == (RenditionState.FAILED, "link dead everywhere: HTTP 404")


def test_an_hour_alone_proves_no_link_dead(mirroring: Generation, rendition: Rendition) -> None:
    _find_dead(mirroring, rendition, *(1010.0 + HOUR * number for number in range(DEAD_ROUNDS - 1)))
    assert not rendition.ended
    _find_dead(mirroring, rendition, 1010.0 + HOUR * DEAD_ROUNDS)
    assert rendition.state is RenditionState.FAILED


def test_how_long_a_link_must_be_dead_follows_the_longest_pause(mirroring: Generation, rendition: Rendition) -> None:
    policy = Policy(retry_max=5)
    for number in range(DEAD_ROUNDS):
        mirroring.find_dead(rendition, "HTTP 404", 1010.0 + number, policy, 0.5)
    assert not rendition.ended
    mirroring.find_dead(rendition, "HTTP 404", 1040.0, policy, 0.5)
    assert rendition.ended


def test_a_dead_link_is_tried_again_like_any_other_failure(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.find_dead(rendition, "HTTP 404", 1010.0, policy, 0.5)
    assert (rendition.error, rendition.work.at, rendition.work.leased) == ("HTTP 404", 1011.0, False)


def test_a_fresh_link_that_may_not_be_fetched_from_is_dropped(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    rendition.link, rendition.dead_rounds, rendition.dead_since = "https://elsewhere/x", 2, 900.0
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.drop_link(rendition, "host 'elsewhere' is not allowed", 1010.0, policy, 0.5)
    assert (rendition.link, rendition.url, rendition.work.at) == ("", "https://x/0.mp4", 1011.0)
    assert (rendition.dead_rounds, rendition.dead_since) == (2, 900.0), "this says nothing of the file's own URL"
    assert rendition.error == "host 'elsewhere' is not allowed"


def test_a_fresh_link_is_followed_and_one_that_is_dead_too_counts_as_a_dead_round(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.follow_link(rendition, "", "https://fresh/1", "HTTP 404", 1010.0, policy, 0.5)
    assert (rendition.link, rendition.url, rendition.dead_rounds) == ("https://fresh/1", "https://x/0.mp4", 0)
    mirroring.follow_link(rendition, "", "https://fresh/2", "HTTP 404", 1020.0, policy, 0.5)
    assert (rendition.link, rendition.dead_rounds, rendition.dead_since) == ("https://fresh/2", 1, 1020.0)
    mirroring.follow_link(rendition, "https://new/0.mp4", "", "HTTP 404", 1030.0, policy, 0.5)
    assert (rendition.link, rendition.url, rendition.dead_rounds) == ("", "https://new/0.mp4", 2)


def test_links_that_are_always_fresh_and_always_dead_come_to_an_end(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    now = 1000.0
    while not rendition.ended:
        now += policy.dead_after / 4
        mirroring.follow_link(rendition, "", "https://fresh/x", "HTTP 404", now, policy, 0.5)
        assert now < 1000.0 + 10 * policy.dead_after
    assert rendition.error.startswith("link dead everywhere")


def test_a_stopping_worker_hands_over_at_once_without_an_attempt(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.claim_mirror(rendition, 1000.0, policy)
    mirroring.hand_over(rendition, 1005.0)
    assert (rendition.attempts, rendition.work.at) == (0, 1005.0)
    assert mirroring.claim_mirror(rendition, 1005.0, policy) == 2


def test_a_lost_file_can_be_tried_for_again(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    rendition.dead_rounds, rendition.dead_since = DEAD_ROUNDS, 900.0
    mirroring.fail(rendition, "link dead everywhere", 1010.0)
    assert mirroring.retry(2_000_000.0) == 1
    assert (rendition.state, rendition.error) == (RenditionState.WANTED, "")
    assert (rendition.dead_rounds, rendition.dead_since) == (0, None)
    assert mirroring.state is State.MIRRORING


def test_a_file_that_is_tried_for_again_has_a_links_life_anew(
    mirroring: Generation, rendition: Rendition, policy: Policy
) -> None:
    mirroring.fail(rendition, "given up", 1010.0)
    mirroring.retry(2_000_000.0)
    mirroring.retry_later(rendition, "HTTP 500", 2_000_001.0, policy, 0.5)
    assert not rendition.ended


def test_only_dead_rounds_in_a_row_count(mirroring: Generation, rendition: Rendition, policy: Policy) -> None:
    for number in range(DEAD_ROUNDS * 2):
        mirroring.find_dead(rendition, "HTTP 404", 1010.0 + number * HOUR, policy, 0.5)
        mirroring.retry_later(rendition, "HTTP 500", 1020.0 + number * HOUR, policy, 0.5)
    assert not rendition.ended
    assert (rendition.dead_rounds, rendition.dead_since) == (0, None)
