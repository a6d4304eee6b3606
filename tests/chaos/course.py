"""One run: feed and break, wait for rest, then audit every id."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import redis
import requests
from botocore.exceptions import ClientError

from app.cli.stack import BUCKET
from tests.chaos.feed import Application, Promises
from tests.chaos.ground import S3_KEYS, Form, Ground, running_ground
from tests.chaos.judge import PREFIX, Evidence, Judgement, judge
from tests.chaos.plan import Plan, Planned, Way, draw_plan
from tests.chaos.report import Report, Row, describe_machine, none_of, show_counts, show_spread, within
from tests.chaos.scale import Scale
from tests.chaos.troubles import LASTING_S3_FAULTS, LASTING_WEATHER, Troublemaker, s3_faults, weather
from tests.chaos.watch import Watch
from tests.support.waiting import wait_for

#: seconds within which everything must be under way again after the broker was emptied
RESUMED = 60.0
#: told now and then how far a run has come
Say = Callable[[str], None]


@dataclass(frozen=True)
class _Times:
    fed: float
    settled: float
    total: float


def run_course(
    folder: Path, scale: Scale, seed: int, form: Form = "veo", without: str = "", say: Say = lambda text: None
) -> Report:
    """Run one course on a ground of its own.

    :param folder: an empty one, for all that the processes keep
    :param form: of the vendor's API
    :param without: the safeguard to leave out; empty: none
    """
    began, plan = time.monotonic(), draw_plan(seed, scale)
    by_name = {planned.name: planned for planned in plan.generations}
    scenarios: dict[str, Mapping[str, Any]] = {name: planned.scenario for name, planned in by_name.items()}
    with running_ground(folder, scale, seed, scenarios | {"decoy": {"takes": 0}}, form, without) as ground:
        with Watch(ground.stack.redis_url, scale.lease, unified=form == "jobs") as watch:
            say("all is up")
            application, maker = Application(ground, plan.generations), Troublemaker(ground, watch)
            fed = _feed(ground, application, maker, plan, seed, say)
            say(f"all are in and the trouble is over: {show_counts(maker.done)}")
            settled = _await_rest(ground, watch, scale.patience / (2 if without else 1), say)
            say(f"at rest, or waited for long enough, {settled:.0f} s later")
            evidence = _collect(ground, application.promises, by_name)
            uploads = _list_uploads(ground)
        served = ground.served_by_s3(), ground.served_by_vendor()
        rescued = watch.rescued()
        ground.stop()
    temp_files = [str(path.relative_to(ground.temp)) for path in ground.temp.rglob("*") if path.is_file()]
    say("all is down, judging")
    judgement = judge(evidence)
    times = _Times(fed, settled, time.monotonic() - began)
    rows = _judged_rows(judgement, uploads, temp_files, ground) + _timed_rows(watch, scale)
    facts = _facts(scale, seed, form, without, plan, judgement, maker, evidence, times, rescued, *served)
    return Report(rows, facts)


# --- the first phase -------------------------------------------------------------------------------------------------------


def _feed(ground: Ground, application: Application, maker: Troublemaker, plan: Plan, seed: int, say: Say) -> float:
    """Feed it all while everything goes wrong, and leave it when the last trouble is over. Gives the seconds that took."""
    began = time.monotonic()
    ground.set_s3_faults(**s3_faults(ground.scale))
    ground.set_weather(seed=seed, **weather(ground.scale))
    maker.start(plan.kills, plan.troubles)
    try:
        application.feed(say)
        maker.join()
    finally:
        maker.stop()
    ground.set_s3_faults(**LASTING_S3_FAULTS)
    ground.set_weather(seed=seed, **LASTING_WEATHER)
    return time.monotonic() - began


def _await_rest(ground: Ground, watch: Watch, patience: float, say: Say) -> float:
    """Wait until the vendor has no callback left to send and the ledger nothing to do. Gives the seconds that took."""
    began = time.monotonic()
    told = [began]

    def rests() -> bool:
        try:
            outstanding = ground.vendor.call("GET", "/_simulator/outstanding").json()["callbacks"]
            unfinished = watch.find_unfinished()
        except (redis.RedisError, requests.RequestException):
            return False
        if time.monotonic() - told[0] > 10:
            told[0] = time.monotonic()
            say(f"{outstanding} callbacks to come, {len(unfinished)} things to do, such as {unfinished[:3]}")
        return not outstanding and not unfinished

    try:
        wait_for(rests, patience, every=0.5)
    except AssertionError:
        say("it does not come to rest")
    return time.monotonic() - began


# --- the second phase ------------------------------------------------------------------------------------------------------


def _collect(ground: Ground, promises: Promises, plan: Mapping[str, Planned]) -> Evidence:
    folder = ground.stack.bucket_folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    objects = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    manifests = {
        path.parent.name: _read_json(path)
        for path in files
        if path.name == "manifest.json" and path.parent.parent == folder / PREFIX.rstrip("/")
    }
    return Evidence(promises, ground.vendor.books(), plan, _show_all(ground), objects, manifests)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return {"unreadable": True}


def _show_all(ground: Ground) -> dict[str, Mapping[str, Any]]:
    """All that Reelkeep shows, by the vendor's id and by ours."""
    shown: dict[str, Mapping[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": "500"} | ({"cursor": cursor} if cursor else {})
        page = wait_for(lambda query=query: _ask(ground, query))  # type: ignore[misc]  # bound now
        shown |= {row[name]: row for row in page["generations"] for name in ("id", "taskId") if row[name]}
        cursor = page["cursor"]
    return shown


def _ask(ground: Ground, query: dict[str, str]) -> Any:
    try:
        answer = ground.call("GET", "/generations", params=query)
    except requests.RequestException:
        return None
    return answer.json() if answer.status_code == 200 else None


def _list_uploads(ground: Ground) -> list[str]:
    """Multipart uploads that nobody has finished."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{ground.s3_port}",
        region_name="us-east-1",
        aws_access_key_id=S3_KEYS["access_key"],
        aws_secret_access_key=S3_KEYS["secret_key"],
    )
    try:
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchUpload":  # so rclone says that there has never been one
            return []
        raise


# --- the table -------------------------------------------------------------------------------------------------------------


def _judged_rows(judgement: Judgement, uploads: list[str], temp_files: list[str], ground: Ground) -> list[Row]:
    wrong, objects = judgement.wrong_objects, judgement.objects
    share = 100 * (objects - len(wrong)) / objects if objects else 0.0
    shown = f"{objects - len(wrong)} of {objects}, {share:.2f} %"
    return [
        Row("objects equal to their source", shown, "100 %", not wrong and objects > 0, examples=wrong),
        none_of("objects too many", judgement.stray_objects),
        none_of("generations in no named end state", judgement.unended),
        none_of("ends other than the vendor's books say", judgement.wrong_ends),
        none_of("callbacks answered 200 and unknown to the ledger", judgement.forgotten_callbacks),
        none_of("answers other than 200 and 503", judgement.odd_answers),
        none_of("purchases doubled", judgement.doubled_purchases),
        none_of("purchases forgotten", judgement.forgotten_purchases),
        none_of("purchases that nobody asked for", judgement.unasked_purchases),
        none_of("generations submitted twice", judgement.doubled_submissions),
        none_of("manifests that disagree with the ledger", judgement.wrong_manifests),
        none_of("multipart uploads left", uploads),
        none_of("temporary files left", temp_files),
        none_of("processes that ended by themselves", ground.fallen.alone),
    ]


def _timed_rows(watch: Watch, scale: Scale) -> list[Row]:
    limit = scale.lease + scale.sweep
    return [
        within("a killed worker's claim is taken up", watch.recoveries(), limit, watch.dropped()),
        within("what an emptied broker held is taken up", watch.resumptions(), RESUMED, watch.lost(), share=1),
    ]


def _facts(
    scale: Scale,
    seed: int,
    form: Form,
    without: str,
    plan: Plan,
    judgement: Judgement,
    maker: Troublemaker,
    evidence: Evidence,
    times: _Times,
    rescued: int,
    served_by_s3: Mapping[str, int],
    served_by_vendor: Mapping[str, int],
) -> dict[str, str]:
    promises, callbacks = evidence.promises, judgement.callbacks
    spans = f"fed and broken for {times.fed:.0f} s, at rest {times.settled:.0f} s later, {times.total:.0f} s in all"
    return {
        "run": f"{scale.generations} generations, seed {seed}, form {form}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **({"without": without} if without else {}),
        "machine": describe_machine(),
        "duration": spans,
        "generations": show_counts(judgement.ways),
        "ended": show_counts(judgement.ends),
        "submissions that stay uncertain": str(judgement.uncertain),
        "orders that stay uncertain": str(judgement.uncertain_orders),
        "made at the vendor's, and nobody told": str(judgement.unknown),
        "callbacks": _show_callbacks(plan),
        "answers to callbacks": show_counts(callbacks),
        "forged callbacks": f"{promises.forged.total()} taken in",
        "upgrades bought": str(judgement.purchases),
        "killed and broken": show_counts(maker.done),
        "faults of the vendor's": show_counts(served_by_vendor),
        "faults of its files": show_counts(evidence.books["fileFaults"]),
        "faults on the way to the bucket": show_counts(served_by_s3),
        "messages lost and sent again": str(rescued),
        "answers of 503 to the application": show_spread(promises.refusals),
        "times": f"lease {scale.lease:g} s, sweep {scale.sweep:g} s, vendor {scale.speed} times as fast as real",
    }


def _show_callbacks(plan: Plan) -> str:
    planned = [one.scenario["callbacks"] for one in plan.generations]
    total = len(planned)
    never, more = sum(not one for one in planned), sum(len(one) > 1 for one in planned)
    stale = sum(one.scenario["timestamp_shift"] != 0 for one in plan.generations)
    alone = sum(one.way is Way.CALLBACK for one in plan.generations)
    shares = {
        "never sent": never,
        "sent two to five times": more,
        "signed an hour ago": stale,
        "known by it alone": alone,
    }
    return ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in shares.items())
