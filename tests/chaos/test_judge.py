"""The audit sees what it is there to see: from a run in which all is well, one thing is changed at a time."""

from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from tests.chaos.feed import Promises
from tests.chaos.judge import Evidence, Judgement, judge
from tests.chaos.plan import Planned, Way

TRACKED, HERE, OURS = "a" * 32, "b" * 32, "sub_" + "c" * 32
PLAN = {
    "g00001": Planned(1, Way.TRACKED, 0, {}, ("4k",)),
    "g00002": Planned(2, Way.SUBMITTED, 0, {}),
}


def made(name: str, *statuses: int) -> dict[str, Any]:
    deliveries = [{"status": status} for status in statuses]
    prompt = PLAN[name].prompt()
    return {"scenario": name, "prompt": prompt, "form": "dedicated", "outcome": "success", "deliveries": deliveries}


def file(task_id: str, kind: str) -> dict[str, Any]:
    return {"taskId": task_id, "kind": kind, "index": 0, "sha256": f"sha of {kind} of {task_id}"}


def rendition(task_id: str, kind: str) -> dict[str, Any]:
    row = file(task_id, kind)
    return {"kind": kind, "index": 0, "state": "stored", "key": f"veo/{task_id}/{kind}-0", "sha256": row["sha256"]}


def shown(task_id: str, our_id: str | None, received: int, *kinds: str) -> dict[str, Any]:
    return {
        "id": our_id,
        "taskId": task_id,
        "state": "complete",
        "error": None,
        "callbacks": {"received": received},
        "renditions": [rendition(task_id, kind) for kind in kinds],
    }


def all_is_well() -> Evidence:
    """One generation that was tracked and upgraded, one that was submitted here."""
    purchase = {"taskId": TRACKED, "kind": "4k", "index": 0, "credits": 120, "outcome": "success"}
    files = [file(TRACKED, kind) for kind in ("result", "4k", "image")] + [file(HERE, "result")]
    rows = {TRACKED: shown(TRACKED, None, 2, "result", "4k", "image"), HERE: shown(HERE, OURS, 0, "result")}
    objects = {one["key"]: one["sha256"] for row in rows.values() for one in row["renditions"]}
    return Evidence(
        promises=Promises(tracked={TRACKED}, submitted={OURS: PLAN["g00002"]}, forged=Counter({TRACKED: 1})),
        books={
            "generations": {TRACKED: made("g00001", 503, 200), HERE: made("g00002")},
            "purchases": [purchase | {"deliveries": []}],
            "files": {str(place): row for place, row in enumerate(files)},
        },
        plan=PLAN,
        shown=rows | {OURS: rows[HERE]},
        objects=objects | {f"veo/{task_id}/manifest.json": "" for task_id in rows},
        manifests={task_id: {"format": 1, **deepcopy(row)} for task_id, row in rows.items()},
    )


def wrong(judgement: Judgement) -> set[str]:
    """The lists that are not empty."""
    return {name for name, value in vars(judgement).items() if isinstance(value, list) and value}


def test_nothing_is_wrong_where_all_is_well() -> None:
    judgement = judge(all_is_well())
    assert wrong(judgement) == set()
    assert judgement.objects == 4
    assert judgement.ends == {"complete": 2}


def test_what_the_store_was_tried_with_may_stay() -> None:
    evidence: Any = all_is_well()
    evidence.objects["veo/.parts/checksum-probe"] = "probe"
    assert wrong(judge(evidence)) == set()


def lose_object(evidence: Any) -> None:
    del evidence.objects[f"veo/{TRACKED}/4k-0"]


def change_object(evidence: Any) -> None:
    evidence.objects[f"veo/{TRACKED}/result-0"] = "other bytes"


def add_object(evidence: Any) -> None:
    evidence.objects[f"veo/{TRACKED}/result-7"] = "stray"


def leave_waiting(evidence: Any) -> None:
    evidence.shown[HERE]["state"] = "mirroring"
    evidence.manifests[HERE]["state"] = "mirroring"


def forget(evidence: Any) -> None:
    del evidence.shown[TRACKED]


def believe_a_failure(evidence: Any) -> None:
    evidence.shown[TRACKED]["state"] = evidence.manifests[TRACKED]["state"] = "failed"


def forget_callback(evidence: Any) -> None:
    evidence.shown[TRACKED]["callbacks"]["received"] = 1
    evidence.manifests[TRACKED]["callbacks"]["received"] = 1


def answer_otherwise(evidence: Any) -> None:
    evidence.books["generations"][TRACKED]["deliveries"][0]["status"] = 500


def buy_twice(evidence: Any) -> None:
    evidence.books["purchases"] *= 2


def buy_unasked(evidence: Any) -> None:
    evidence.books["purchases"].append({**evidence.books["purchases"][0], "kind": "1080p"})


def never_order(evidence: Any) -> None:
    evidence.books["purchases"].clear()


def submit_twice(evidence: Any) -> None:
    evidence.books["generations"]["d" * 32] = made("g00002")


def change_manifest(evidence: Any) -> None:
    evidence.manifests[HERE]["error"] = "of before"


def lose_manifest(evidence: Any) -> None:
    del evidence.manifests[HERE]


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (lose_object, {"wrong_objects"}),
        (change_object, {"wrong_objects"}),
        (add_object, {"stray_objects"}),
        (leave_waiting, {"unended"}),
        (forget, {"unended", "forgotten_callbacks", "stray_objects", "unasked_purchases"}),
        (believe_a_failure, {"wrong_ends"}),
        (forget_callback, {"forgotten_callbacks"}),
        (answer_otherwise, {"odd_answers"}),
        (buy_twice, {"doubled_purchases"}),
        (buy_unasked, {"unasked_purchases"}),
        (never_order, {"forgotten_purchases"}),
        (submit_twice, {"doubled_submissions"}),
        (change_manifest, {"wrong_manifests"}),
        (lose_manifest, {"wrong_manifests"}),
    ],
)
def test_one_wrong_thing_is_noticed(change: Any, noticed: set[str]) -> None:
    evidence = all_is_well()
    change(evidence)
    assert wrong(judge(evidence)) == noticed


def uncertain(*statuses: int) -> Evidence:
    """The submission's outcome is not known, though it was created."""
    evidence: Any = all_is_well()
    del evidence.shown[HERE], evidence.manifests[HERE], evidence.objects[f"veo/{HERE}/result-0"]
    evidence.shown[OURS] = {"id": OURS, "taskId": None, "state": "uncertain"}
    evidence.books["generations"][HERE] = made("g00002", *statuses)
    return Evidence(**vars(evidence))


def test_a_submission_may_stay_uncertain_if_no_callback_came() -> None:
    judgement = judge(uncertain())
    assert wrong(judgement) == set()
    assert judgement.uncertain == 1


def test_a_submission_whose_callback_was_answered_may_not() -> None:
    assert "unended" in wrong(judge(uncertain(503, 200)))


def test_a_generation_that_nobody_was_told_of_is_not_missed() -> None:
    evidence: Any = all_is_well()
    task_id = "e" * 32
    evidence.books["generations"][task_id] = {**made("g00001"), "prompt": PLAN["g00001"].prompt(2)}
    judgement = judge(evidence)
    assert wrong(judgement) == set()
    assert judgement.unknown == 1
