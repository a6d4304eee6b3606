"""What is settled leaves Redis, and a late callback finds it: by real processes, with the vendor's books as witness."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from app.adapters.signature import sign
from tests.support.fleet import WEBHOOK_KEY, Fleet, running_fleet
from tests.support.waiting import wait_for

#: half a second
KEPT = {"REELKEEP_KEEP_DAYS": "0.000006"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(tmp_path_factory.mktemp("fleet"), counts={"beat": 2}, **KEPT) as fleet:
        yield fleet


def test_a_late_callback_finds_what_has_left_and_nothing_is_bought_or_stored_twice(fleet: Fleet) -> None:
    client = redis.Redis.from_url(fleet.stack.env["REELKEEP_REDIS_URL"], decode_responses=True)
    answer = fleet.call("POST", "/generations", json={"prompt": "a cat", "upgrades": ["4k"]})
    submitted = answer.json()["id"]
    task_id = fleet.await_state(submitted)["taskId"]
    await_archived(client, task_id)
    before, bought = fleet.show(submitted), fleet.vendor.books()["purchases"]
    assert before == fleet.show(task_id)
    [alias] = [row["orderId"] for row in before["renditions"] if row["kind"] == "4k"]
    written = list_files(fleet.stack.bucket_folder / "veo" / task_id)
    fetched = fleet.fetches(task_id)
    for name, way in ((task_id, "/callbacks/veo"), (alias, "/callbacks/veo/4k")):
        assert call_back(fleet, name, way) == 200
    wait_for(lambda: fleet.show(task_id)["callbacks"]["received"] == before["callbacks"]["received"] + 2)
    await_archived(client, task_id)
    after = fleet.show(task_id)
    assert (after["state"], after["renditions"]) == ("complete", before["renditions"])
    assert list_files(fleet.stack.bucket_folder / "veo" / task_id) == written
    assert (fleet.vendor.books()["purchases"], fleet.fetches(task_id)) == (bought, fetched)
    assert not client.exists(f"reelkeep:gen:{alias}")


def await_archived(client: redis.Redis, task_id: str) -> None:
    """Have one round follow the other, until the record has left."""

    def gone() -> bool:
        client.hdel("reelkeep:health", "archived_at")
        return not client.exists(f"reelkeep:gen:{task_id}") and not client.exists(f"reelkeep:inbox:{task_id}")

    wait_for(gone, 60.0)


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Its files, the manifest apart: when each was written, and its length."""
    files = [path for path in folder.iterdir() if path.name != "manifest.json"]
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def call_back(fleet: Fleet, task_id: str, way: str) -> int:
    """The vendor's callback once more. Gives the answer's status."""
    timestamp = str(int(time.time()))
    body = {"code": 200, "msg": "success", "data": {"taskId": task_id}}
    headers = {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": sign(WEBHOOK_KEY, task_id, timestamp)}
    return requests.post(fleet.stack.web_url + way, json=body, headers=headers, timeout=20).status_code
