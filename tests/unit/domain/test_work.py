"""Items and claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.work import (
    CHECK_TASK,
    LANES,
    SWEEP_QUEUE,
    SWEEP_TASK,
    Item,
    Kind,
    Lane,
    Step,
    Work,
    is_submission_id,
    is_task_id,
    order_account,
    order_name,
    task_name,
)

OWN_ID = "sub_0123456789abcdef0123456789abcdef"
vendors_items = st.builds(
    lambda step, task_id, rendition: Item(step, task_id, *rendition),
    st.sampled_from([step for step in Step if step is not Step.SUBMIT]),
    st.from_regex(r"\A[A-Za-z0-9_-]{1,128}\Z").filter(is_task_id),
    st.just(()) | st.tuples(st.sampled_from(Kind), st.integers(0, 99)),
)
items = vendors_items | st.builds(Item, st.just(Step.SUBMIT), st.from_regex(r"\Asub_[0-9a-f]{32}\Z"))


@given(items)
def test_an_item_is_read_back_from_its_text(item: Item) -> None:
    assert Item.parse(str(item)) == item


@given(st.text())
def test_any_other_text_is_no_item(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Item.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "settle/../x",
        "settle/",
        "nothing/t1",
        "mirror/t1/result",
        "mirror/t1/x/0",
        "mirror/t1/4k/a",
        "submit/t1",
        f"settle/{OWN_ID}",
        f"mirror/{OWN_ID}/4k/0",
    ],
)
def test_an_item_that_is_nearly_right_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Item.parse(text)


def test_an_items_text_is_what_a_message_carries() -> None:
    assert str(Item(Step.MIRROR, "t1", Kind.UHD, 2)) == "mirror/t1/4k/2"
    assert str(Item(Step.SETTLE, "t1")) == "settle/t1"
    assert str(Item(Step.SUBMIT, OWN_ID)) == f"submit/{OWN_ID}"


@pytest.mark.parametrize("record_id", ["t1", OWN_ID])
def test_a_generation_and_a_submission_may_have_events(record_id: str) -> None:
    assert Item.parse(f"notify/{record_id}") == Item(Step.NOTIFY, record_id)


def test_every_step_has_a_lane_and_a_task_name_of_its_own() -> None:
    assert set(LANES) == set(Step) - {Step.NOTIFY}  # which no queue has
    assert [task_name(step) for step in Step] == [f"reelkeep.{step}" for step in Step]


def test_downloads_have_a_queue_of_their_own() -> None:
    assert {step for step, lane in LANES.items() if lane is Lane.MIRROR} == {Step.MIRROR}
    assert len({*(lane.queue for lane in Lane), SWEEP_QUEUE}) == 4


def test_manifests_have_a_queue_of_their_own() -> None:
    assert {step for step, lane in LANES.items() if lane is Lane.MANIFEST} == {Step.MANIFEST}
    assert Lane.MANIFEST.queue == "reelkeep.manifest"


def test_the_periodic_jobs_are_tasks_of_their_own() -> None:
    assert (SWEEP_TASK, CHECK_TASK) == ("reelkeep.sweep", "reelkeep.check_outside")
    assert not {SWEEP_TASK, CHECK_TASK} & {task_name(step) for step in Step}


@pytest.mark.parametrize("value", ["0819326cc7fddfd620baf6e1f0db7e2b", "veo_task_abcdef123456", "a-B_9"])
def test_the_vendors_ids_are_ids(value: str) -> None:
    assert is_task_id(value)


@pytest.mark.parametrize("value", ["", "a" * 129, "a/b", "a.b", "a\n", "ä", "٣", None, 7, OWN_ID])
def test_nothing_else_is_an_id(value: object) -> None:
    assert not is_task_id(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (OWN_ID, True),
        (OWN_ID[:-1], False),
        (f"{OWN_ID}0", False),
        (f"{OWN_ID}\n", False),
        (OWN_ID.upper(), False),
        (OWN_ID.replace("0", "g"), False),
        (OWN_ID[4:], False),
        ("", False),
        (None, False),
    ],
)
def test_our_own_ids_are_told_from_the_vendors(value: object, expected: bool) -> None:
    assert is_submission_id(value) is expected
    assert not (is_submission_id(value) and is_task_id(value))


def test_each_order_of_an_upgrade_has_a_name_and_an_account() -> None:
    assert order_name("t1", Kind.UHD, 2, 3) == "t1/4k/2#3"
    assert order_account("t1", Kind.UHD, 2, 3) == "upgrade/t1/4k/2#3"


def test_work_that_is_due_is_claimed_for_a_lease() -> None:
    work = Work(at=10.0)
    assert work.claim(10.0, 60.0) == 1
    assert (work.at, work.leased) == (70.0, True)


def test_work_that_is_not_due_is_not_claimed() -> None:
    assert Work(at=10.5).claim(10.0, 60.0) is None


def test_no_work_is_not_claimed() -> None:
    assert Work().claim(10.0, 60.0) is None


def test_there_may_be_a_reason_to_claim_early() -> None:
    assert Work(at=500.0).claim(10.0, 60.0, early=True) == 1
    assert Work().claim(10.0, 60.0, early=True) == 1


@pytest.mark.parametrize("early", [False, True])
def test_a_claim_keeps_others_out_while_it_lasts(early: bool) -> None:
    work = Work(at=0.0)
    work.claim(10.0, 60.0)
    assert work.claim(69.9, 60.0, early=early) is None


def test_a_claim_lapses_by_itself_and_the_next_has_a_higher_number() -> None:
    work = Work(at=0.0)
    first = work.claim(10.0, 60.0)
    second = work.claim(70.0, 60.0)
    assert (first, second) == (1, 2)
    assert work.holds(2)
    assert not work.holds(1)


def test_a_claim_is_prolonged_by_its_holder_alone() -> None:
    work = Work(at=0.0)
    work.claim(0.0, 60.0)
    assert work.renew(1, 50.0, 60.0)
    assert work.at == 110.0
    work.claim(110.0, 60.0)
    assert not work.renew(1, 111.0, 60.0)
    assert work.at == 170.0


def test_work_that_was_put_back_is_held_by_nobody() -> None:
    work = Work(at=0.0)
    work.claim(0.0, 60.0)
    work.put_back(5.0)
    assert not work.holds(1)
    assert work.claim(4.0, 60.0) is None
    assert work.claim(5.0, 60.0) == 2


def test_a_number_is_never_given_twice() -> None:
    work = Work(at=0.0)
    numbers = []
    for now in range(0, 1000, 100):
        numbers.append(work.claim(now, 60.0))
        if now % 200:
            work.put_back(now)
    assert numbers == list(range(1, 11))
