"""From a callback to an object in the bucket, by real processes over real HTTP."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import redis
import requests

from app.adapters.redis_ledger import RedisLedger
from app.adapters.signature import sign
from tests.support.fleet import TIMES, TOKEN, VENDOR_KEY, WEBHOOK_KEY, Fleet
from tests.support.waiting import wait_for


def post_signed(url: str, body: dict[str, Any]) -> int:
    """Send a callback with a good signature, which does not cover the body."""
    timestamp, task_id = str(int(time.time())), body["data"]["taskId"]
    headers = {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": sign(WEBHOOK_KEY, task_id, timestamp)}
    return requests.post(url, json=body, headers=headers, timeout=10).status_code


def test_the_demo_ends_well_from_nothing(tmp_path: Path) -> None:
    """Every path that the demo shows, audited by the demo itself: see app/cli/demo_paths.py."""
    data = str(tmp_path / "demo")
    run = subprocess.run(
        [sys.executable, "-m", "app.cli", "demo", "--data", data], capture_output=True, text=True, timeout=250
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "all as it must be" in run.stdout


def test_a_4k_is_bought_once_however_often_it_is_asked_for(fleet: Fleet) -> None:
    task_id = fleet.generate("4k-new-id")
    fleet.await_state(task_id)
    asked = [fleet.call("POST", f"/generations/{task_id}/upgrades", json={"kind": "4k"}) for _ in range(5)]
    assert [answer.status_code for answer in asked] == [202, 200, 200, 200, 200]
    for _ in range(3):
        fleet.call("PUT", f"/generations/{task_id}", json={"upgrades": ["4k"]})
    wait_for(lambda: len(fleet.objects(task_id)) == 3)
    fleet.await_state(task_id)
    fleet.assert_stored(task_id, "result-0.mp4", "4k-0.mp4", "4k-0.jpg")
    bought = [row for row in fleet.vendor.books()["purchases"] if row["taskId"] == task_id]
    assert [(row["kind"], row["credits"]) for row in bought] == [("4k", 120)]


def test_a_forged_callback_brings_the_true_video_or_nothing(fleet: Fleet) -> None:
    task_id = fleet.vendor.generate("scenario=no-callback a cat", fleet.callback_url)
    foreign = {"resultUrls": [f"{fleet.stack.web_url}/healthz"]}
    assert post_signed(fleet.callback_url, {"code": 200, "data": {"taskId": task_id, "info": foreign}}) == 200
    fleet.await_state(task_id)
    fleet.assert_stored(task_id, "result-0.mp4")


def test_a_forged_failure_does_not_make_a_generation_fail(fleet: Fleet) -> None:
    task_id = fleet.generate("no-callback")
    assert post_signed(fleet.callback_url, {"code": 501, "msg": "failed", "data": {"taskId": task_id}}) == 200
    assert fleet.await_state(task_id)["callbacks"] == {"received": 1, "duplicates": 0}


def test_a_callback_for_a_4k_that_nobody_ordered_buys_nothing(fleet: Fleet) -> None:
    task_id = fleet.generate()
    fleet.await_state(task_id)
    body = {"code": 200, "data": {"taskId": task_id, "info": {"resultUrls": ["http://127.0.0.1/x.mp4"]}}}
    assert post_signed(f"{fleet.callback_url}/4k", body) == 200

    def noted() -> dict[str, Any] | None:
        return next((row for row in fleet.show(task_id)["renditions"] if row["kind"] == "4k"), None)

    rendition = wait_for(noted)
    assert rendition is not None
    assert rendition["state"] == "unavailable"
    assert "no 4K was asked for here" in rendition["error"]
    assert not [row for row in fleet.vendor.books()["purchases"] if row["taskId"] == task_id]


def test_the_manifest_says_what_the_api_says(fleet: Fleet) -> None:
    task_id = fleet.generate("several-results")
    shown = fleet.await_state(task_id)

    def manifest() -> dict[str, object]:
        found: dict[str, object] = json.loads(
            (fleet.stack.bucket_folder / "veo" / task_id / "manifest.json").read_text()
        )
        return found

    assert manifest()["state"] == "complete", "complete means that the manifest is written"
    wait_for(lambda: manifest() == {"format": 1, **fleet.show(task_id)})
    assert len(shown["renditions"]) == 3


def test_objects_carry_their_type_checksum_and_origin(fleet: Fleet) -> None:
    task_id = fleet.generate("plain", upgrades=("4k",))
    fleet.await_state(task_id)
    env = fleet.stack.env
    client = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    for rendition in fleet.show(task_id)["renditions"]:
        head = client.head_object(Bucket="reelkeep", Key=rendition["key"])
        metadata = {name.lower(): value for name, value in head["Metadata"].items()}
        assert metadata["sha256"] == rendition["sha256"]
        assert metadata["task-id"] == task_id
        assert metadata["source-host"] == "127.0.0.1"
        assert head["ContentType"] == ("image/jpeg" if rendition["kind"] == "image" else "video/mp4")
        assert head["ContentLength"] == rendition["bytes"]


def test_what_was_lost_can_be_tried_again(fleet: Fleet) -> None:
    task_id = fleet.generate("dead-link")
    shown = fleet.await_state(task_id, "lost")
    assert shown["error"].startswith("link dead everywhere")
    assert fleet.objects(task_id) == set()
    assert fleet.call("POST", f"/generations/{task_id}/retry").status_code == 202
    assert fleet.show(task_id)["state"] in ("mirroring", "lost")
    fleet.await_state(task_id, "lost")


def test_flower_lists_the_workers_and_tasks_by_name(fleet: Fleet) -> None:
    fleet.await_state(fleet.generate("plain", upgrades=("1080p",)))
    session = requests.Session()
    session.auth = ("user", "password")

    def workers() -> list[str]:
        found = session.get(f"{fleet.stack.flower_url}/api/workers?refresh=1", timeout=20)
        names = sorted(name.partition("-")[0] for name in found.json()) if found.ok else []
        return names if names == ["mirror", "mirror", "worker", "worker"] else []

    def tasks() -> set[str]:
        found = session.get(f"{fleet.stack.flower_url}/api/tasks?limit=1000", timeout=20)
        names = {task["name"] for task in found.json().values()} if found.ok else set()
        wanted = {"reelkeep.settle", "reelkeep.mirror", "reelkeep.manifest", "reelkeep.upgrade", "reelkeep.sweep"}
        return names if wanted <= names else set()

    assert wait_for(workers)
    assert wait_for(tasks)
    assert requests.get(f"{fleet.stack.flower_url}/api/workers", timeout=20).status_code == 401


def test_flower_shows_items_and_no_secrets(fleet: Fleet) -> None:
    task_id = fleet.generate("plain", upgrades=("4k",))
    fleet.await_state(task_id)
    client = redis.Redis.from_url(fleet.stack.redis_url, decode_responses=True)
    # A step that fails in an unforeseen way, with words of others in its error.
    client.set("reelkeep:gen:poison", '{"task_id": {"https://127.0.0.1/a.mp4?X-Amz-Signature=planted": 1}}')
    client.zadd("reelkeep:due:quick", {"settle/poison": 0})

    def look(path: str) -> str:
        answer = requests.get(f"{fleet.stack.flower_url}/api/{path}", auth=("user", "password"), timeout=20)
        return answer.text if answer.ok else ""

    def shown() -> list[dict[str, Any]]:
        tasks = list(json.loads(look("tasks?limit=1000") or "{}").values())
        there = {task["name"] for task in tasks if f".{task_id}" in task["uuid"] and task["state"] == "SUCCESS"}
        failed = any(task["state"] == "FAILURE" and task["uuid"].startswith("settle.poison.") for task in tasks)
        return (
            tasks
            if failed and there == {f"reelkeep.{it}" for it in ("settle", "mirror", "upgrade", "manifest")}
            else []
        )

    try:
        tasks = wait_for(shown)
    finally:
        client.delete("reelkeep:gen:poison")
        client.zrem("reelkeep:due:quick", "settle/poison")
        client.hdel("reelkeep:faults", "settle/poison")
    for task in tasks:
        assert task["args"] == "()"
        assert re.fullmatch(r"\{('item': '[a-z]+(/[\w-]+)+')?\}", task["kwargs"]), task["kwargs"]
        assert task["result"] in (None, "None")
    [error] = {task["exception"] for task in tasks if task["uuid"].startswith("settle.poison.")}
    assert error == "StepFailed('ValidationError in settle')"
    told = look("tasks?limit=1000") + look("workers?refresh=1") + look("queues/length")
    tokens = {key.rpartition(":")[2] for key in client.keys("reelkeep:token:*")}  # type: ignore[union-attr]
    secrets = {WEBHOOK_KEY, TOKEN, VENDOR_KEY, fleet.stack.env["AWS_SECRET_ACCESS_KEY"], "planted", *tokens}
    assert [secret for secret in secrets if secret in told] == []
    assert "step.fault settle/poison" in fleet.log("worker") + fleet.log("worker-2")


def test_two_beats_do_not_sweep_twice(fleet: Fleet) -> None:
    ledger = RedisLedger(fleet.stack.redis_url)
    first, began = ledger.stats()["sweeps"], ledger.now()
    wait_for(lambda: ledger.stats()["sweeps"] >= first + 5)
    swept, seconds = ledger.stats()["sweeps"] - first, ledger.now() - began
    assert swept <= seconds / (0.8 * float(TIMES["REELKEEP_SWEEP_EVERY"])) + 1
    assert all("Sending due task reelkeep.sweep" in fleet.log(name) for name in ("beat", "beat-2")), (
        "both beats were at it"
    )


def test_no_secret_is_in_any_log(fleet: Fleet) -> None:
    fleet.await_state(fleet.generate("plain", upgrades=("4k",)))
    keys = redis.Redis.from_url(fleet.stack.redis_url, decode_responses=True).keys("reelkeep:token:*")
    tokens = {key.rpartition(":")[2] for key in keys}  # type: ignore[union-attr]
    assert tokens
    secrets = {WEBHOOK_KEY, TOKEN, VENDOR_KEY, fleet.stack.env["AWS_SECRET_ACCESS_KEY"], *tokens}
    for name in fleet.stack.supervisor:
        text = fleet.log(name)
        assert not [secret for secret in secrets if secret in text], name
