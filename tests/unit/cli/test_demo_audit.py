"""The demo's audit finds what is wrong: an audit that cannot fail shows nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli.demo_audit import audit, is_settled
from app.cli.demo_paths import DemoPath, Expected, Sent
from app.simulator.client import SimulatorClient

CONTENT = b"a video"
SENT = Sent(DemoPath("4K", "4k-new-id", Expected(stored=("result/0",), bought=("4k/0",))), "task")


class Books(SimulatorClient):
    """The vendor's books, without the vendor."""

    def __init__(self, purchases: list[dict[str, Any]], created: int = 1) -> None:
        super().__init__("http://nowhere.example")
        self._purchases = purchases
        self._created = created

    def books(self) -> dict[str, Any]:
        return {
            "purchases": self._purchases,
            "files": {"/v/a.mp4": {"taskId": "task", "kind": "result", "index": 0}},
            "generations": {f"task{number}": {"prompt": SENT.path.prompt} for number in range(self._created)},
        }

    def true_bytes(self, path: str) -> bytes:
        return CONTENT


def shown(**changes: Any) -> dict[str, Any]:
    rendition = {"kind": "result", "index": 0, "state": "stored", "key": "veo/task/result-0.mp4"}
    rendition["sha256"] = hashlib.sha256(CONTENT).hexdigest()
    shown = {"taskId": "task", "state": "complete", "callbacks": {"received": 1}, "renditions": [rendition]}
    return {**shown, **changes}


PURCHASE = {"taskId": "task", "kind": "4k", "index": 0, "credits": 120}


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "veo" / "task"
    folder.mkdir(parents=True)
    (folder / "result-0.mp4").write_bytes(CONTENT)
    (folder / "manifest.json").write_text("{}")
    return tmp_path


def faults(bucket: Path, *, sent: Sent = SENT, purchases: int = 1, created: int = 1, **changes: Any) -> list[str]:
    books = Books([PURCHASE] * purchases, created)
    findings, strays = audit([sent], {sent.record_id: shown(**changes)}, bucket, books, "veo/")
    return findings[0].faults + strays


def test_what_is_as_it_must_be_has_no_faults(bucket: Path) -> None:
    assert faults(bucket) == []


def test_one_wrong_byte_is_found(bucket: Path) -> None:
    (bucket / "veo/task/result-0.mp4").write_bytes(b"A video")
    assert faults(bucket) == ["result/0: not the vendor's bytes"]


def test_a_missing_object_is_found(bucket: Path) -> None:
    (bucket / "veo/task/result-0.mp4").unlink()
    assert faults(bucket) == ["result/0: not in the bucket"]


def test_a_missing_manifest_is_found(bucket: Path) -> None:
    (bucket / "veo/task/manifest.json").unlink()
    assert faults(bucket) == ["no manifest"]


def test_an_object_too_many_is_found(bucket: Path) -> None:
    (bucket / "veo/task/result-1.mp4").write_bytes(CONTENT)
    assert faults(bucket) == ["veo/task/result-1.mp4"]


@pytest.mark.parametrize("purchases", [0, 2])
def test_a_purchase_forgotten_or_doubled_is_found(bucket: Path, purchases: int) -> None:
    [fault] = faults(bucket, purchases=purchases)
    assert fault.startswith("bought: ")


@pytest.mark.parametrize("created", [0, 2])
def test_a_generation_that_was_created_never_or_twice_is_found(bucket: Path, created: int) -> None:
    assert faults(bucket, created=created) == [f"created {created} times"]


def test_what_was_submitted_here_is_known_by_our_id(bucket: Path) -> None:
    assert faults(bucket, sent=replace(SENT, record_id="sub_1")) == []


def test_what_was_refused_has_neither_objects_nor_manifest(tmp_path: Path) -> None:
    refused = replace(SENT, path=replace(SENT.path, expected=Expected(state="failed", stored=(), created=0)))
    gone = {"taskId": None, "state": "failed", "renditions": []}
    assert faults(tmp_path, sent=refused, purchases=0, created=0, **gone) == []


def test_the_objects_of_an_extensions_parent_are_no_strays(bucket: Path) -> None:
    (bucket / "veo/parent").mkdir()
    (bucket / "veo/parent/result-0.mp4").write_bytes(CONTENT)
    assert faults(bucket) == ["veo/parent/result-0.mp4"]
    assert faults(bucket, sent=replace(SENT, parent="parent")) == []


def test_a_wrong_state_is_found(bucket: Path) -> None:
    assert faults(bucket, state="lost") == ["state lost, not complete"]


def test_a_forgery_that_was_answered_otherwise_is_found(bucket: Path) -> None:
    assert faults(bucket, sent=replace(SENT, answers=(200,))) == ["answered (200,)"]


def test_a_generation_that_reelkeep_does_not_know_is_found(bucket: Path) -> None:
    findings, _ = audit([SENT], {}, bucket, Books([]), "veo/")
    assert findings[0].faults == ["Reelkeep does not know it"]


def test_nothing_is_settled_before_its_end() -> None:
    assert is_settled(SENT, shown())
    assert not is_settled(SENT, None)
    assert not is_settled(SENT, shown(state="mirroring"))
    assert not is_settled(SENT, shown(renditions=[{"state": "requested"}]))
    waiting = replace(SENT, path=replace(SENT.path, expected=Expected(least_callbacks=2)))
    assert not is_settled(waiting, shown())
