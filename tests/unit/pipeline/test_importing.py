"""Reading ids, tracking them as old ones, and telling how they ended."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.container import Media
from app.domain.generation import UNKNOWN_ID, Generation
from app.domain.ledger import Route
from app.domain.policy import Policy
from app.domain.rendition import RenditionState
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline.importing import BadLine, Fate, Imported, judge, read_ids, track_old, watch
from app.pipeline.manifest import write_manifest
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger

POLICY = Policy(upgrades=(Kind.UHD,))


def read(text: str) -> list[str | BadLine]:
    return list(read_ids(text.splitlines(keepends=True)))


@pytest.mark.parametrize(
    "text",
    [
        "a1\nb2\n",
        "a1\nb2",
        "a1\r\n\r\nb2\r\n",
        "# exported\n\n  a1  \n# more\nb2\na1\n",
        "taskId\na1\nb2\n",
        "prompt,task_id\na cat,a1\na dog,b2\n",
        "id;state;task_id\n1;done;a1\n\n2;failed;b2\n",
        "Task_ID\tprompt\na1\tx\nb2\ty\n",
        '"prompt","taskId"\n"a cat, on the moon\nand back","a1"\n"",b2\n',
        "# exported\nprompt , id \nx, a1 \n# y,c3\nz,b2\nz,a1\n",
    ],
)
def test_ids_are_read_from_lines_and_from_a_column_each_once(text: str) -> None:
    assert read(text) == ["a1", "b2"]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "taskId\n"])
def test_nothing_is_read_from_nothing(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("text", "number", "bad"),
    [
        ("a1\n../up\nb2\n", 2, "../up"),
        ("../up\na1\nb2\n", 1, "../up"),
        ("a1\n\n# x\nb 2\nb2\n", 4, "b 2"),
        ("a1\nb2,c3\nb2\n", 2, "b2,c3"),
        ("a1\n" + "x" * 129 + "\nb2", 2, "x" * 129),
        ("a1\n" + f"sub_{'0' * 32}" + "\nb2", 2, f"sub_{'0' * 32}"),
        ("a1\n�\nb2", 2, "�"),
        ("prompt,taskId\nx,a1\ny\nz,b2\n", 3, ""),
        ("prompt,taskId\nx,a1\ny,\nz,b2\n", 3, ""),
        ('prompt,taskId\n"x\ny",a1\nz,!\nz,b2\n', 4, "!"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(text: str, number: int, bad: str) -> None:
    found = read(text)
    assert [one for one in found if isinstance(one, str)] == ["a1", "b2"]
    assert [one for one in found if isinstance(one, BadLine)] == [BadLine(number, bad)]


def test_a_row_that_is_no_csv_is_a_bad_line() -> None:
    found = read(f"prompt,taskId\nx,a1\n{'y' * 200_000},c3\nz,b2\n")
    assert found == ["a1", BadLine(3, ""), "b2"]


def test_lines_are_read_one_by_one() -> None:
    def endless() -> Iterator[str]:
        number = 0
        while True:
            number += 1
            yield f"id{number}\n"

    ids = read_ids(endless())
    assert [next(ids), next(ids)] == ["id1", "id2"]


# --- tracking --------------------------------------------------------------------------------------------------------------


def tracked(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def test_an_unknown_id_is_tracked_as_old_and_due_at_once_and_nothing_is_bought_for_it() -> None:
    ledger = MemoryLedger()
    assert track_old("t1", (), {"from": "log"}, ledger, POLICY)
    generation = tracked(ledger)
    assert (generation.old, generation.upgrades, generation.labels) == (True, [], {"from": "log"})
    assert generation.agenda(pending=False) == {Item(Step.SETTLE, "t1"): 1000.0}


def test_doing_it_again_adds_nothing_but_labels() -> None:
    ledger = MemoryLedger()
    track_old("t1", (), {}, ledger, POLICY)
    ledger.now += 100
    before = tracked(ledger).model_copy(deep=True)
    assert not track_old("t1", (Kind.UHD,), {}, ledger, POLICY)
    assert tracked(ledger) == before
    assert not track_old("t1", (), {"a": "b"}, ledger, POLICY)
    assert tracked(ledger).labels == {"a": "b"}


def test_one_that_is_known_does_not_become_old() -> None:
    ledger = MemoryLedger(generation=Generation.track("t1", 1000.0, POLICY))
    assert not track_old("t1", (), {}, ledger, POLICY)
    assert (tracked(ledger).old, tracked(ledger).settle.at) == (False, 1300.0)


def test_one_whose_callback_waits_is_known() -> None:
    ledger = MemoryLedger()
    ledger.call_back('{"code":200,"data":{"taskId":"t1"}}', Route.GENERATION)
    assert not track_old("t1", (), {}, ledger, POLICY)
    assert not tracked(ledger).old
    assert tracked(ledger).upgrades == [Kind.UHD]


# --- the end ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def importing(succeeded: MemoryLedger) -> MemoryLedger:
    """`t1` has succeeded and is to be mirrored."""
    return succeeded


def store(ledger: MemoryLedger) -> None:
    generation = tracked(ledger)
    rendition = generation.renditions[0]
    assert generation.claim_mirror(rendition, 1000.0, POLICY) is not None
    media = Media("video/mp4", "mp4", 1280, 720, 8.0)
    generation.store(rendition, "veo/t1/result-0.mp4", 1, "ab" * 32, media, 1000.0)


def look(ledger: MemoryLedger) -> list[Imported]:
    return list(watch(["t1"], ledger, lambda seconds: True))


def test_it_is_saved_when_the_manifest_is_written(importing: MemoryLedger) -> None:
    assert judge(tracked(importing)) is Fate.UNDER_WAY
    store(importing)
    assert judge(tracked(importing)) is Fate.UNDER_WAY
    write_manifest(Item(Step.MANIFEST, "t1"), importing, MemoryBucket(), POLICY, "veo/")
    assert look(importing) == [Imported("t1", Fate.SAVED)]


def test_a_file_that_is_gone_everywhere_is_expired(importing: MemoryLedger) -> None:
    tracked(importing).fail(tracked(importing).renditions[0], "link dead everywhere: HTTP 404", 1000.0)
    assert look(importing) == [Imported("t1", Fate.EXPIRED, "link dead everywhere: HTTP 404")]


def test_as_long_as_another_file_is_fetched_it_is_under_way(importing: MemoryLedger) -> None:
    generation = tracked(importing)
    generation.renditions.append(generation.renditions[0].model_copy(update={"kind": Kind.ORIGIN}, deep=True))
    generation.fail(generation.renditions[0], "link dead everywhere: HTTP 404", 1000.0)
    assert judge(generation) is Fate.UNDER_WAY
    generation.renditions[1].end(RenditionState.STORED)
    assert judge(generation) is Fate.EXPIRED


@pytest.mark.parametrize(
    ("verdict", "old", "fate", "reason"),
    [
        (Verdict(Progress.UNKNOWN, 422), True, Fate.UNKNOWN, UNKNOWN_ID),
        (Verdict(Progress.UNKNOWN, 422), False, Fate.UNDER_WAY, ""),
        (Verdict(Progress.FAILED, 501, "no luck"), True, Fate.FAILED, "no luck"),
        (Verdict(Progress.GENERATING), True, Fate.UNDER_WAY, ""),
    ],
)
def test_what_the_vendor_says_is_the_fate(
    ledger: MemoryLedger, verdict: Verdict, old: bool, fate: Fate, reason: str
) -> None:
    tracked(ledger).old = old
    tracked(ledger).hear(verdict, "poll", 1000.0)
    assert look(ledger) == [Imported("t1", fate, reason)]


def test_a_failure_that_is_doubted_is_under_way(ledger: MemoryLedger) -> None:
    tracked(ledger).hear(Verdict(Progress.FAILED, 501, "no luck"), "poll", 1000.0)
    tracked(ledger).doubt_since = 1000.0
    assert judge(tracked(ledger)) is Fate.UNDER_WAY


def test_it_is_looked_at_again_and_again_until_it_has_ended(ledger: MemoryLedger) -> None:
    pauses = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(pauses) == 3:
            tracked(ledger).hear(Verdict(Progress.FAILED, 501, "no luck"), "poll", 1000.0)
        return False

    assert list(watch(["t1"], ledger, pause)) == [Imported("t1", Fate.FAILED, "no luck")]
    assert len(pauses) == 3


def test_told_to_stop_it_says_how_it_stands(ledger: MemoryLedger) -> None:
    stops: dict[str, Any] = {"now": False}

    def pause(seconds: float) -> bool:
        stops["now"], before = True, stops["now"]
        return before

    assert [one.fate for one in watch(["t1"], ledger, pause)] == [Fate.UNDER_WAY]
