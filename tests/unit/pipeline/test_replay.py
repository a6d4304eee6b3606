"""Recorded callbacks once more: where they go, what is waited for, what is told."""

import json
from collections.abc import Callable

import pytest

from app.domain.generation import Generation
from app.domain.ledger import Entry, Recorded, Route, Trust
from app.domain.outbox import Event
from app.domain.policy import Policy
from app.domain.rendition import Order, Rendition, RenditionState
from app.domain.vendor import Progress, Verdict
from app.domain.work import Item, Kind, Step
from app.pipeline.manifest import write_manifest
from app.pipeline.replay import Replayed, list_generations, replay
from app.pipeline.settle import settle
from tests.unit.pipeline.fakes import MemoryBucket, MemoryLedger, ScriptedVendor

POLICY = Policy()
EVENT = Event(id="evt_1", type="video.stored", at=1000.0, body="{}")
SETTLE, MANIFEST = Item(Step.SETTLE, "t1"), Item(Step.MANIFEST, "t1")


def entry(code: int = 200, task_id: str | None = "t1", route: Route = Route.GENERATION, at: float = 900.0) -> Entry:
    data = None if task_id is None else {"taskId": task_id, "info": {"resultUrls": ["https://x/0.mp4"]}}
    return Entry(at=at, route=route, trust=Trust.SIGNED, raw=json.dumps({"code": code, "data": data}))


@pytest.fixture
def resting(succeeded: MemoryLedger) -> MemoryLedger:
    """`t1` is complete; its one callback is on record."""
    generation = succeeded.generation
    assert generation is not None
    generation.heard = ["generation succeeded 200"]
    generation.renditions[0].end(RenditionState.STORED)
    generation.renditions[0].stored_at = 1000.0
    generation.complete_at, generation.manifest.at = 1000.0, None
    succeeded.kept.append(entry())
    return succeeded


def known(ledger: MemoryLedger) -> Generation:
    assert ledger.generation is not None
    return ledger.generation


def buy(ledger: MemoryLedger, kind: Kind, index: int = 0, alias: str = "", orders: int = 1) -> None:
    order = Order(intended_at=900.0, token=f"token-{kind}-{index}", alias=alias, asks=1, taken=True)
    bought = Rendition(kind=kind, index=index, state=RenditionState.STORED, since=900.0, order=order, orders=orders)
    known(ledger).renditions.append(bought)
    ledger.tokens[order.token] = f"t1/{kind}/{index}#{orders}"


def working(ledger: MemoryLedger, vendor: ScriptedVendor | None = None) -> Callable[[float], bool]:
    """A worker, at work while we pause."""

    def pause(seconds: float) -> bool:
        settle(SETTLE, ledger, vendor or ScriptedVendor(), POLICY)
        write_manifest(MANIFEST, ledger, MemoryBucket(), POLICY, "veo/")
        return False

    return pause


def run(ledger: MemoryLedger, since: float | None = None, *, dry_run: bool = False) -> list[Replayed]:
    return list(replay([known(ledger)], since, ledger, working(ledger), dry_run=dry_run))


def test_what_is_repeated_changes_nothing_but_the_count(resting: MemoryLedger) -> None:
    resting.kept.append(entry())
    assert run(resting) == [Replayed("t1", callbacks=2)]
    assert (known(resting).received, known(resting).duplicates) == (2, 2)
    assert resting.pending == []
    assert len(resting.kept) == 2, "a repeat is not recorded once more"


def test_a_dry_run_only_counts(resting: MemoryLedger) -> None:
    assert run(resting, dry_run=True) == [Replayed("t1", callbacks=1)]
    assert resting.recorded == []


@pytest.mark.parametrize(("since", "callbacks"), [(None, 2), (900.0, 2), (900.5, 1), (1000.0, 0)])
def test_only_what_came_since_is_run_again(resting: MemoryLedger, since: float | None, callbacks: int) -> None:
    resting.kept.append(entry(at=999.0))
    assert run(resting, since) == [Replayed("t1", callbacks=callbacks)]


def address(ledger: MemoryLedger, again: Entry) -> tuple[str | None, str | None] | None:
    ledger.kept[:] = [again]
    found = list(replay([known(ledger)], None, ledger, lambda seconds: True))
    assert [one.callbacks + one.skipped for one in found] == [1]
    return ledger.recorded[0][:2] if ledger.recorded else None


UHD = Route.UHD


def test_a_callback_about_the_generation_goes_by_its_id(resting: MemoryLedger) -> None:
    buy(resting, Kind.UHD)
    assert address(resting, entry()) == ("t1", None)


def test_a_callback_under_an_upgrades_own_id_goes_by_that(resting: MemoryLedger) -> None:
    buy(resting, Kind.UHD, 0, "a1", orders=2)
    buy(resting, Kind.UHD, 1, "a2")
    assert address(resting, entry(task_id="a2", route=UHD)) == ("a2", None)


@pytest.mark.parametrize("task_id", ["t1", None], ids=["parents-id", "nameless"])
def test_a_callback_about_the_only_order_goes_by_its_token(resting: MemoryLedger, task_id: str | None) -> None:
    buy(resting, Kind.HD)  # has no callback: it has no id of its own
    buy(resting, Kind.UHD, 1)
    assert address(resting, entry(500, task_id, UHD)) == (task_id, "token-4k-1")


@pytest.mark.parametrize("task_id", ["t1", None, "else"])
def test_a_callback_about_one_of_several_orders_is_left_out(resting: MemoryLedger, task_id: str | None) -> None:
    buy(resting, Kind.UHD, 0)
    buy(resting, Kind.UHD, 1)
    assert address(resting, entry(500, task_id, UHD)) is None


def test_a_callback_about_an_order_that_may_have_been_a_former_one_is_left_out(resting: MemoryLedger) -> None:
    buy(resting, Kind.UHD, orders=2)
    assert address(resting, entry(500, None, UHD)) is None


def test_an_upgrade_s_callback_without_any_order_goes_by_the_id(resting: MemoryLedger) -> None:
    assert address(resting, entry(route=UHD)) == ("t1", None)


def test_a_token_that_nobody_knows_any_more_is_left_out(resting: MemoryLedger) -> None:
    buy(resting, Kind.UHD)
    resting.tokens.clear()
    resting.kept[:] = [entry(500, None, UHD)]
    assert run(resting) == [Replayed("t1", callbacks=0, skipped=1)]
    assert resting.record(None, "token-4k-0", entry()) is Recorded.UNKNOWN_TOKEN


@pytest.mark.parametrize("waiting", [[], [EVENT]], ids=["", "while the receiver of events is away"])
def test_what_it_brings_is_told(resting: MemoryLedger, waiting: list[Event]) -> None:
    generation = known(resting)
    generation.outbox.add(waiting, 1000.0)
    generation.verdict, generation.given_up, generation.renditions = Progress.GENERATING, True, []
    vendor = ScriptedVendor(details={"t1": [Verdict(Progress.FAILED, 501, "no", credits=60.0)]})
    (told,) = replay([generation], None, resting, working(resting, vendor))
    assert (told.new, told.credits, told.settled) == ((), 60.0, True)
    assert {"state", "creditsConsumed"} <= set(told.changed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: setattr(it, "stored_at", 1001.0), "result 0 stored"),
        (lambda it: setattr(it, "orders", 1), "result 0 ordered"),
        (lambda it: setattr(it, "state", RenditionState.WANTED), "result 0 wanted"),
    ],
)
def test_new_objects_and_orders_are_told_by_name(
    resting: MemoryLedger, change: Callable[[Rendition], None], words: str
) -> None:
    def pause(seconds: float) -> bool:
        change(known(resting).renditions[0])
        return working(resting)(seconds)

    (told,) = replay([known(resting).model_copy(deep=True)], None, resting, pause)
    assert told.new == (words,)


def test_what_was_under_way_may_come_to_its_end(succeeded: MemoryLedger) -> None:
    succeeded.kept.append(entry())
    known(succeeded).heard = ["generation succeeded 200"]

    def pause(seconds: float) -> bool:
        known(succeeded).renditions[0].end(RenditionState.STORED)
        known(succeeded).renditions[0].stored_at = 1001.0
        return working(succeeded)(seconds)

    assert list(replay([known(succeeded)], None, succeeded, pause)) == [Replayed("t1", callbacks=1)]


def test_without_anybody_at_work_it_is_not_settled(resting: MemoryLedger) -> None:
    pauses: list[float] = []
    (told,) = replay([known(resting)], None, resting, lambda seconds: bool(pauses.append(seconds)), patience=2.0)
    assert (told.callbacks, told.settled, len(pauses)) == (1, False, 10)


def test_told_to_stop_it_begins_with_no_other(resting: MemoryLedger) -> None:
    again = [known(resting)] * 501
    told = list(replay(again, None, resting, lambda seconds: True))
    assert (len(told), {one.settled for one in told}) == (500, {False})


def test_one_that_the_vendor_never_confirmed_is_not_waited_for_all_day(resting: MemoryLedger) -> None:
    generation = known(resting)
    generation.verdict, generation.given_up, generation.renditions = Progress.GENERATING, True, []
    vendor = ScriptedVendor(details={"t1": [Verdict(Progress.UNKNOWN, 422)]})
    (told,) = replay([generation], None, resting, working(resting, vendor))
    assert (told.settled, told.new, told.credits) == (True, (), 0.0)


def test_all_generations_are_listed(resting: MemoryLedger) -> None:
    assert [generation.task_id for generation in list_generations(resting)] == ["t1"]
