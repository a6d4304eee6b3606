"""What was asked for: needless upgrades, what is not as it was asked, and results that the vendor names no file for."""

import pytest

from app.domain.asked import NOTHING_ASKED, Asked
from app.domain.callbacks import Outcome
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.policy import Policy
from app.domain.rendition import Rendition, RenditionState
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, Verdict
from app.domain.work import Item, Kind, Step

DAY, FORTNIGHT = 86400.0, 1209600.0
ONE = Urls(result=("https://x/0.mp4",))
BROKEN = Verdict(Progress.FAILED, 500, "broken")
SMALL, HD, UHD = (
    Media("video/mp4", "mp4", *size, 8.0, audio=True) for size in ((1280, 720), (1920, 1080), (3840, 2160))
)
SIZELESS = Media("video/mp4", "mp4", None, None, None)


def _success(urls: Urls = ONE, asked: Asked = NOTHING_ASKED) -> Verdict:
    return Verdict(Progress.SUCCEEDED, 200, "done", urls, asked=asked)


def _generation(asked: Asked, policy: Policy, *upgrades: Kind, urls: Urls = ONE) -> Generation:
    """Succeeded at 1100; nothing is stored."""
    generation = Generation.track("t1", 1000.0, policy)
    generation.want_upgrades(list(upgrades), 1000.0)
    generation.hear(_success(urls, asked), "poll", 1100.0)
    return generation


def _store(generation: Generation, media: Media, kind: Kind = Kind.RESULT, index: int = 0) -> Rendition:
    rendition = generation.find(kind, index)
    assert rendition is not None
    generation.store(rendition, f"veo/t1/{kind}-{index}.mp4", 5, "ab" * 32, media, 1200.0)
    return rendition


def _upgrades(generation: Generation) -> dict[Kind, tuple[RenditionState, str]]:
    found = [rendition for rendition in generation.renditions if rendition.kind in (Kind.HD, Kind.UHD)]
    return {rendition.kind: (rendition.state, rendition.error) for rendition in found}


# --- what was asked ----------------------------------------------------------------------------------------------------


def test_what_was_asked_is_learned_from_the_vendors_record_once(waiting: Generation) -> None:
    waiting.hear(Verdict(Progress.GENERATING, 200), "poll", 1050.0)
    assert waiting.asked == NOTHING_ASKED
    for asked in (Asked(resolution="4k"), Asked(resolution="720p")):
        waiting.hear(Verdict(Progress.GENERATING, 200, asked=asked), "poll", 1100.0)
    assert waiting.asked == Asked(resolution="4k")
    assert waiting.changes == 1


# --- upgrades that may be needless -------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolution", ["1080p", "4k"])
def test_where_a_large_size_was_asked_for_upgrades_wait_for_the_look_at_the_result(
    policy: Policy, resolution: str
) -> None:
    generation = _generation(Asked(resolution=resolution), policy, Kind.HD, Kind.UHD)
    generation.want_upgrades([Kind.UHD], 1150.0)
    assert ([rendition.kind for rendition in generation.renditions], generation.upgrades) == (
        [Kind.RESULT],
        [Kind.HD, Kind.UHD],
    )


@pytest.mark.parametrize("asked", [NOTHING_ASKED, Asked(resolution="720p"), Asked(aspect_ratio="9:16")])
def test_elsewhere_upgrades_are_wanted_at_once(policy: Policy, asked: Asked) -> None:
    generation = _generation(asked, policy, Kind.HD, Kind.UHD)
    assert _upgrades(generation) == {Kind.HD: (RenditionState.WANTED, ""), Kind.UHD: (RenditionState.WANTED, "")}


BOUGHT = (RenditionState.WANTED, "")


def _needless(lines: int) -> tuple[RenditionState, str]:
    return RenditionState.UNAVAILABLE, f"not bought: the result itself has {lines} lines"


@pytest.mark.parametrize(
    ("resolution", "media", "hd", "uhd"),
    [
        ("4k", UHD, _needless(2160), _needless(2160)),
        ("4k", HD, _needless(1080), BOUGHT),
        ("4k", SMALL, BOUGHT, BOUGHT),
        ("4k", SIZELESS, BOUGHT, BOUGHT),
        ("1080p", HD, _needless(1080), BOUGHT),
        ("1080p", SMALL, BOUGHT, BOUGHT),
        ("1080p", UHD, _needless(2160), _needless(2160)),
    ],
)
def test_after_the_look_only_what_brings_something_is_bought(
    policy: Policy,
    resolution: str,
    media: Media,
    hd: tuple[RenditionState, str],
    uhd: tuple[RenditionState, str],
) -> None:
    generation = _generation(Asked(resolution=resolution), policy, Kind.HD, Kind.UHD)
    _store(generation, media)
    assert _upgrades(generation) == {Kind.HD: hd, Kind.UHD: uhd}
    ended = [rendition for rendition in generation.renditions if rendition.ended]
    assert all(rendition.work.at is None and rendition.orders == 0 for rendition in ended)


def test_a_result_that_is_too_small_is_shown_and_the_upgrade_is_bought(policy: Policy) -> None:
    generation = _generation(Asked(resolution="4k"), policy, Kind.UHD)
    result = _store(generation, HD)
    assert result.mismatch == "a result with 1080 lines (1920×1080): 4k was asked for"
    assert (generation.completion(1200.0), generation.all_ended) == (None, False)
    assert generation.claim_upgrade(Kind.UHD, 0, 1200.0, policy, "secret") is not None


def test_a_needless_upgrade_leaves_the_generation_complete(policy: Policy) -> None:
    generation = _generation(Asked(resolution="4k"), policy, Kind.UHD)
    result = _store(generation, UHD)
    assert (result.mismatch, generation.all_ended, generation.completion(1200.0)) == ("", True, 1200.0)


def test_a_result_that_is_lost_is_no_reason_not_to_buy(policy: Policy) -> None:
    generation = _generation(Asked(resolution="4k"), policy, Kind.UHD)
    generation.fail(generation.renditions[0], "link dead everywhere", 1200.0)
    assert _upgrades(generation) == {Kind.UHD: BOUGHT}


def test_the_look_is_at_result_0(policy: Policy) -> None:
    urls = Urls(result=("https://x/0.mp4", "https://x/1.mp4"))
    generation = _generation(Asked(resolution="4k"), policy, Kind.UHD, urls=urls)
    _store(generation, UHD, index=1)
    assert _upgrades(generation) == {}
    _store(generation, SMALL)
    assert _upgrades(generation) == {Kind.UHD: BOUGHT}


def test_what_is_stored_already_is_looked_at_whatever_was_asked(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy)
    _store(generation, HD)
    generation.want_upgrades([Kind.HD, Kind.UHD], 1300.0)
    assert _upgrades(generation) == {Kind.HD: _needless(1080), Kind.UHD: BOUGHT}


def test_a_needless_upgrade_is_not_bought_by_asking_for_the_same_again(policy: Policy) -> None:
    generation = _generation(Asked(resolution="4k"), policy, Kind.UHD)
    _store(generation, UHD)
    before = generation.model_copy(deep=True)
    generation.want_upgrades([Kind.UHD], 1300.0)
    assert generation.retry(1300.0) == 0
    generation.hear(_success(), "poll", 1300.0)
    assert generation == before


def test_an_upgrade_that_is_asked_for_by_name_does_not_wait_for_a_look(policy: Policy) -> None:
    generation = _generation(Asked(resolution="4k"), policy)
    assert generation.why_not_upgrade(Kind.UHD, 0) == ""
    generation.want_upgrade(Kind.UHD, 0, 1150.0)
    assert _upgrades(generation) == {Kind.UHD: BOUGHT}


# --- what is not as it was asked ---------------------------------------------------------------------------------------


def test_a_result_is_held_against_what_was_asked(policy: Policy) -> None:
    generation = _generation(Asked(resolution="1080p", seconds=4, aspect_ratio="9:16"), policy)
    assert _store(generation, SMALL).mismatch == (
        "a result with 720 lines (1280×720): 1080p was asked for; a result of 8 s: 4 s were asked for; "
        "a landscape result (1280×720): 9:16 was asked for"
    )


def test_where_there_is_an_original_the_results_shape_is_not_held_against_it(policy: Policy) -> None:
    urls = Urls(result=("https://x/0.mp4",), origin=("https://x/o.mp4",))
    generation = _generation(Asked(seconds=4, aspect_ratio="9:16"), policy, urls=urls)
    assert _store(generation, SMALL).mismatch == "a result of 8 s: 4 s were asked for"
    assert _store(generation, SMALL, Kind.ORIGIN).mismatch == ""


def test_what_is_as_it_was_asked_has_no_mismatch(policy: Policy) -> None:
    generation = _generation(Asked(resolution="720p", seconds=8, aspect_ratio="16:9"), policy)
    assert _store(generation, SMALL).mismatch == ""


def _receive(generation: Generation, kind: Kind, policy: Policy) -> None:
    """Order an upgrade, and have it ready."""
    claim = generation.claim_upgrade(kind, 0, 1100.0, policy, "secret")
    rendition = generation.find(kind, 0)
    assert claim is not None
    assert rendition is not None
    ready = OrderAnswer(OrderProgress.READY, 200, "", Urls(result=("https://x/up.mp4",)))
    generation.hear_order(rendition, ready, 1101.0, policy)


def test_an_upgrade_that_is_too_small_is_shown(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, Kind.UHD)
    _receive(generation, Kind.UHD, policy)
    upgrade = _store(generation, HD, Kind.UHD)
    assert upgrade.mismatch == "a 4k with 1080 lines (1920×1080): at least 2160 were paid for"
    assert upgrade.state is RenditionState.STORED


@pytest.mark.parametrize("order", [(Kind.RESULT, Kind.HD), (Kind.HD, Kind.RESULT)], ids=["result first", "1080p first"])
def test_an_upgrade_is_held_against_its_result_whichever_is_stored_first(
    policy: Policy, order: tuple[Kind, Kind]
) -> None:
    generation = _generation(NOTHING_ASKED, policy, Kind.HD)
    _receive(generation, Kind.HD, policy)
    silent = Media("video/mp4", "mp4", 1920, 1080, 8.0, audio=False)
    for kind in order:
        _store(generation, silent if kind is Kind.HD else SMALL, kind)
    upgrade = generation.find(Kind.HD, 0)
    assert upgrade is not None
    assert (upgrade.mismatch, upgrade.audio) == ("a 1080p without sound: the result has sound", False)


def test_an_upgrade_is_not_held_against_another_result(policy: Policy) -> None:
    urls = Urls(result=("https://x/0.mp4", "https://x/1.mp4"))
    generation = _generation(NOTHING_ASKED, policy, Kind.HD, urls=urls)
    _receive(generation, Kind.HD, policy)
    _store(generation, SMALL, index=1)
    assert _store(generation, Media("video/mp4", "mp4", 1920, 1080, 8.0, audio=False), Kind.HD).mismatch == ""


# --- results that the vendor names no file for -------------------------------------------------------------------------

NO_RESULT = "the vendor says that it succeeded, but names no result"


@pytest.mark.parametrize(
    ("urls", "missing", "indexes"),
    [
        (("https://x/0.mp4", ""), "the vendor's list of results has 2 entries, of which 1 name no file", [0]),
        (("", "https://x/1.mp4"), "the vendor's list of results has 2 entries, of which 1 name no file", [1]),
        (("", "https://x/1.mp4", ""), "the vendor's list of results has 3 entries, of which 2 name no file", [1]),
    ],
)
def test_a_list_of_results_with_gaps_keeps_the_places_of_what_is_there(
    policy: Policy, urls: tuple[str, ...], missing: str, indexes: list[int]
) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=Urls(result=urls))
    assert (generation.missing, [rendition.index for rendition in generation.renditions]) == (missing, indexes)
    assert (generation.state, generation.undecided) == (State.MIRRORING, True)


GAP = Urls(result=("https://x/0.mp4", ""))
WHOLE = Urls(result=("https://x/0.mp4", "https://x/1.mp4"))


def test_a_missing_result_is_asked_about_until_it_is_named(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    generation.await_verdict(1100.0, policy)
    assert generation.settle.at == 1130.0
    assert generation.agenda(pending=False)[Item(Step.SETTLE, "t1")] == 1130.0
    generation.hear(_success(WHOLE), "poll", 1130.0)
    generation.await_verdict(1130.0, policy)
    assert (generation.missing, generation.undecided, generation.settle.at) == ("", False, None)
    assert [(rendition.index, rendition.url) for rendition in generation.renditions] == [
        (0, "https://x/0.mp4"),
        (1, "https://x/1.mp4"),
    ]
    assert generation.verdict_at == 1100.0


def test_a_missing_result_shows_and_is_asked_about_no_more_after_a_day(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    _store(generation, SMALL)
    generation.await_verdict(1100.0 + DAY - 1, policy)
    assert (generation.undecided, generation.settle.at) == (True, 1100.0 + DAY)
    generation.await_verdict(1100.0 + DAY, policy)
    assert (generation.undecided, generation.settle.at, generation.given_up) == (False, None, True)
    assert (generation.state, generation.error) == (State.MIRRORING, "")
    assert generation.missing.startswith("the vendor's list of results has 2 entries")


def test_what_is_there_is_complete_though_a_result_is_missing(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    _store(generation, SMALL)
    fence = generation.claim_manifest(1200.0, policy)
    assert fence is not None
    generation.finish_manifest(fence, generation.changes, generation.completion(1200.0), 1201.0)
    assert (generation.state, generation.undecided) == (State.COMPLETE, True)
    generation.hear(_success(WHOLE), "poll", 1300.0)
    assert generation.state is State.MIRRORING


def test_while_the_vendor_cannot_be_asked_a_missing_result_is_not_given_up(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    generation.await_verdict(1100.0 + FORTNIGHT - 1, policy, "HTTP 502")
    assert (generation.undecided, generation.error) == (True, "the vendor cannot be asked: HTTP 502")
    generation.await_verdict(1100.0 + FORTNIGHT, policy, "HTTP 502")
    assert not generation.undecided


@pytest.mark.parametrize(
    "verdict", [Verdict(Progress.GENERATING, 200), BROKEN, Verdict(Progress.UNKNOWN, 422)], ids=lambda it: it.progress
)
def test_other_news_leave_a_missing_result_missing(policy: Policy, verdict: Verdict) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    before = generation.model_copy(deep=True)
    generation.hear(verdict, "poll", 1200.0)
    assert generation == before


def test_a_missing_result_is_a_change_once(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    before = generation.model_copy(deep=True)
    generation.hear(_success(GAP), "poll", 1200.0)
    assert generation == before
    generation.hear(_success(ONE), "poll", 1300.0)
    assert generation.changes == before.changes + 1


def test_trying_again_asks_about_a_missing_result_once_more(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    generation.await_verdict(1100.0 + DAY, policy)
    assert generation.retry(200_000.0) == 1
    assert (generation.undecided, generation.settle.at, generation.given_up) == (True, 200_000.0, False)
    assert (generation.state, generation.verdict_at) == (State.MIRRORING, 1100.0)
    generation.fail(generation.renditions[0], "link dead everywhere", 200_001.0)
    assert generation.retry(200_002.0) == 1


def test_a_success_is_never_tried_away(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    generation.await_verdict(1100.0 + DAY, policy)
    generation.hear(_success(WHOLE), "poll", 100_000.0)
    before = generation.model_copy(deep=True)
    assert (generation.missing, generation.retry(200_000.0)) == ("", 0)
    assert generation == before


def test_a_success_that_names_no_result_at_all_is_waited_for_and_shows(waiting: Generation, policy: Policy) -> None:
    waiting.hear(_success(Urls()), "poll", 1100.0)
    assert (waiting.state, waiting.missing, waiting.undecided) == (State.WAITING, NO_RESULT, True)
    waiting.await_verdict(1000.0 + DAY, policy)
    assert (waiting.state, waiting.missing) == (State.LOST, NO_RESULT)
    assert waiting.retry(100_000.0) == 1
    waiting.hear(_success(), "poll", 100_001.0)
    assert (waiting.state, waiting.missing) == (State.MIRRORING, "")


def test_a_success_that_names_the_original_alone_is_one_and_is_asked_about(policy: Policy) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=Urls(origin=("https://x/o.mp4",)))
    assert (generation.state, generation.missing, generation.undecided) == (State.MIRRORING, NO_RESULT, True)


def test_there_is_nothing_to_try_again_while_a_success_without_results_is_asked_about(waiting: Generation) -> None:
    waiting.hear(_success(Urls()), "poll", 1100.0)
    before = waiting.model_copy(deep=True)
    assert waiting.retry(1200.0) == 0
    assert waiting == before


@pytest.mark.parametrize("outcome", Outcome)
def test_a_callback_about_missing_results_that_were_given_up_has_the_vendor_asked(
    policy: Policy, outcome: Outcome
) -> None:
    generation = _generation(NOTHING_ASKED, policy, urls=GAP)
    generation.await_verdict(1100.0 + DAY, policy)
    generation.doubt(outcome, 100_000.0)
    assert generation.undecided
