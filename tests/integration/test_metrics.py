"""`/metrics` against a real redis-server: figures of the whole fleet, in Prometheus's form."""

import re
import shutil
import subprocess

import pytest
import redis
from flask import Flask
from pydantic import SecretStr

from app.adapters.redis_ledger import RedisLedger
from app.domain import tallies
from app.domain.states import State
from app.domain.vendor import Progress
from app.domain.work import Item, Kind, Lane, Step
from app.embedded.service import free_port
from app.pipeline.track import track
from app.web.metrics import COUNTERS, PREFIX
from tests.integration.desk import front_door
from tests.support import course
from tests.support.metrics import read, scrape


@pytest.fixture
def app(redis_url: str) -> Flask:
    return front_door(redis_url, credits_per_day=500.0, credits_warn_below=100.0)


def test_a_new_ledger_shows_every_figure(app: Flask) -> None:
    families = scrape(app)
    empty = {name for name, family in families.items() if not family.samples}
    assert empty == {"reelkeep_credits"}, "nobody has asked for the balance yet"
    assert read(families, "reelkeep_up") == 1
    for state in State:
        assert read(families, "reelkeep_generations", state=state) == 0
    for kind in Kind:
        assert read(families, "reelkeep_renditions_stored_total", kind=kind) == 0
    for lane in Lane:
        assert read(families, "reelkeep_queue_items", lane=lane) == 0
    assert read(families, "reelkeep_time_to_stored_seconds_count") == 0


def test_what_has_happened_is_counted(app: Flask, ledger: RedisLedger) -> None:
    course.complete(ledger, "t1")
    course.complete(ledger, "t2", called=False)
    track("t3", [], {}, ledger, course.POLICY)
    course.settle_now(ledger, "t3", Progress.FAILED)
    families = scrape(app)
    assert read(families, "reelkeep_generations", state="complete") == 2
    assert read(families, "reelkeep_generations", state="failed") == 1
    assert read(families, "reelkeep_generations_tracked_total") == 3
    assert read(families, "reelkeep_generations_ended_total", state="complete") == 2
    assert read(families, "reelkeep_callbacks_total") == 1
    assert read(families, "reelkeep_callbacks_settled_total", result="new") == 1
    assert read(families, "reelkeep_verdicts_total", outcome="succeeded", source="callback") == 1
    assert read(families, "reelkeep_verdicts_total", outcome="succeeded", source="poll") == 1
    assert read(families, "reelkeep_verdicts_total", outcome="failed", source="poll") == 1
    assert read(families, "reelkeep_callbacks_missing_total") == 2
    assert read(families, "reelkeep_renditions_stored_total", kind="result") == 2
    assert read(families, "reelkeep_stored_bytes_total", kind="result") == 2 * course.BYTES


def test_times_to_stored_are_in_cumulative_buckets(app: Flask, client: redis.Redis) -> None:
    counted = {"latency:1": 3, "latency:5": 2, "latency:+Inf": 1, "latency_sum": 4000.5, "latency_count": 6}
    client.hset("reelkeep:stats", mapping=counted)  # type: ignore[arg-type]
    [family] = [family for name, family in scrape(app).items() if name == "reelkeep_time_to_stored_seconds"]
    buckets = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert list(buckets) == [*map(str, tallies.BUCKETS), "+Inf"]
    assert list(buckets.values()) == [3, 3, 5, 5, 5, 5, 5, 5, 5, 6]
    sums = {sample.name: sample.value for sample in family.samples if not sample.labels}
    assert sums == {"reelkeep_time_to_stored_seconds_count": 6, "reelkeep_time_to_stored_seconds_sum": 4000.5}


def test_what_waits_is_told_by_lane(app: Flask, ledger: RedisLedger, client: redis.Redis) -> None:
    now = ledger.now()
    client.zadd("reelkeep:sent:quick", {"settle/t1": now - 30, "settle/t2": now - 10})
    client.zadd("reelkeep:due:mirror", {"mirror/t1/result/0": now - 20, "mirror/t2/result/0": now + 500})
    families = scrape(app)
    assert read(families, "reelkeep_queue_items", lane="quick") == 2
    assert 29 < read(families, "reelkeep_queue_oldest_seconds", lane="quick") < 60
    assert read(families, "reelkeep_scheduled_items", lane="mirror") == 2
    assert read(families, "reelkeep_due_items", lane="mirror") == 1
    assert 19 < read(families, "reelkeep_overdue_seconds", lane="mirror") < 50
    assert read(families, "reelkeep_overdue_seconds", lane="quick") == 0


def test_health_is_what_readyz_says(app: Flask, ledger: RedisLedger) -> None:
    checks = ("redis", "sweep", "bucket", "work")
    ledger.note_health({"sweep_at": "", "bucket_at": "", "bucket_error": ""})
    families = scrape(app)
    assert app.test_client().get("/readyz").status_code == 200
    assert [read(families, "reelkeep_check_passed", check=check) for check in checks] == [1, 1, 1, 1]
    assert abs(read(families, "reelkeep_last_sweep_timestamp_seconds") - ledger.now()) < 60
    ledger.note_health({"sweep_at": "1000.0", "bucket_error": "access refused"})
    ledger.note_fault("settle/t1", "KeyError in settle")
    families = scrape(app)
    told = app.test_client().get("/readyz").get_json()["checks"]
    assert [told[check] == "ok" for check in checks] == [True, False, False, False]
    assert [read(families, "reelkeep_check_passed", check=check) for check in checks] == [1, 0, 0, 0]
    assert read(families, "reelkeep_failing_items") == 1
    assert read(families, "reelkeep_redis_warnings") == len(app.test_client().get("/readyz").get_json()["warnings"])


def test_money_is_shown(app: Flask, ledger: RedisLedger) -> None:
    ledger.note_health({"credits": "42.5", "credits_at": "", "credits_error": ""})
    item = Item(Step.UPGRADE, "t1", Kind.UHD)
    assert ledger.reserve(str(item), 120, {}) is None
    families = scrape(app)
    assert read(families, "reelkeep_credits") == 42.5
    assert read(families, "reelkeep_spent_today_credits", step="upgrade") == 120
    assert read(families, "reelkeep_spent_today_credits", step="submit") == 0
    assert read(families, "reelkeep_budget_credits", scope="all") == 500
    assert read(families, "reelkeep_credits_warn_below") == 100


def test_every_web_process_says_the_same(app: Flask, redis_url: str, ledger: RedisLedger) -> None:
    course.complete(ledger, "t1")
    one, other = (scrape(it) for it in (app, front_door(redis_url)))
    assert one["reelkeep_callbacks_total"].samples == other["reelkeep_callbacks_total"].samples
    assert read(one, "reelkeep_callbacks_total") == 1


def test_without_redis_it_is_down_and_says_so() -> None:
    app = front_door(f"redis://127.0.0.1:{free_port()}/0")
    families = scrape(app)
    assert read(families, "reelkeep_up") == 0
    assert families.keys() == {
        "reelkeep_up",
        "reelkeep_build_info",
        "reelkeep_budget_credits",
        "reelkeep_credits_warn_below",
    }


def test_who_may_look_can_be_limited(redis_url: str) -> None:
    app = front_door(redis_url, metrics_token=SecretStr("scrape-me"))
    client = app.test_client()
    assert client.get("/metrics").status_code == 401
    refused = client.get("/metrics", headers={"Authorization": "Bearer user-token"})
    assert refused.status_code == 401
    assert "REELKEEP_METRICS_TOKEN" in refused.text
    assert "reelkeep_up" not in refused.text
    assert client.get("/metrics", headers={"Authorization": "Bearer scrape-me"}).status_code == 200


def test_neither_ids_nor_words_of_users_are_in_it(app: Flask, ledger: RedisLedger) -> None:
    course.complete(ledger, "planted-task-id", labels={"planted-label": "planted-value"})
    ledger.note_fault("settle/planted-task-id", "planted-reason")
    ledger.note_health({"bucket_at": "", "bucket_error": "planted-error"})
    assert "planted" not in app.test_client().get("/metrics").text


def test_every_tally_is_shown() -> None:
    rows = [line.split("|")[1] for line in (tallies.__doc__ or "").splitlines() if line.startswith("| `")]
    told = {name.partition(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert told == {*COUNTERS, "archived", "credits", "latency", "latency_sum", "latency_count"}


def test_a_tally_of_a_newer_version_does_no_harm(app: Flask, client: redis.Redis) -> None:
    client.hset("reelkeep:stats", mapping={"later": 1, "polls:by:somebody": 2, "stored:8k": 3})
    families = scrape(app)
    assert read(families, "reelkeep_renditions_stored_total", kind="8k") == 3
    assert read(families, "reelkeep_polls_total") == 0


def test_names_and_texts_are_as_prometheus_has_them(app: Flask, ledger: RedisLedger) -> None:
    course.complete(ledger, "t1")
    answer = app.test_client().get("/metrics")
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    for name, family in scrape(app).items():
        assert name.startswith(PREFIX)
        assert family.documentation
        assert family.type != "unknown"
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool on this machine (Debian: prometheus)")
    done = subprocess.run([promtool, "check", "metrics"], input=answer.data, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
