"""Recorded callbacks come again, the ledger is lost whole, old ids are imported: by real processes, with the vendor's books as
witness. The acts follow each other on one stack; the tests say what must be so after each."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis

from app.adapters.packing import unpack
from app.adapters.redis_ledger import RedisLedger
from tests.support.fleet import Fleet, running_fleet
from tests.support.waiting import wait_for

Report = dict[str, Any]
#: what shows that something was bought or created
SPENT = ("purchases", "creations", "creditsLeft")
#: scenario, upgrades, the state that it ends in
PATHS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("plain", (), "complete"),
    ("plain", ("1080p", "4k"), "complete"),
    ("several-results", ("4k",), "complete"),
    ("portrait", ("1080p",), "complete"),
    ("4k-new-id", ("4k",), "complete"),
    ("4k-parent-id", ("4k",), "complete"),
    ("4k-unavailable", ("4k",), "complete"),
    ("4k-already-made", ("4k",), "complete"),
    ("upgrade-too-small", ("1080p", "4k"), "complete"),
    ("charged-more", ("4k",), "complete"),
    ("fallback", ("4k",), "complete"),
    ("duplicate-callbacks", (), "complete"),
    ("reordered-callbacks", (), "complete"),
    ("failed-422", ("4k",), "failed"),
    ("dead-link", (), "lost"),
)
#: the body of a submission
SUBMITTED = {"prompt": "scenario=plain a cat", "upgrades": ["4k"], "labels": {"shot": "7"}}


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A stack whose ledger will be lost."""
    with running_fleet(tmp_path_factory.mktemp("forgetful")) as fleet:
        yield fleet


def reelkeep(fleet: Fleet, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, with the stack's settings."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=dict(fleet.stack.env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=200,
    )


def report(fleet: Fleet, *arguments: str, stdin: str = "", status: int = 0) -> dict[str, Any]:
    """What a command says with --json."""
    run = reelkeep(fleet, *arguments, "--json", stdin=stdin)
    assert (run.returncode, bool(run.stdout)) == (status, True), run.stdout + run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def lose_ledger(fleet: Fleet) -> None:
    """Everything in Redis: ledger and queue."""
    redis.Redis.from_url(fleet.stack.redis_url).flushall()


def spent(fleet: Fleet) -> dict[str, Any]:
    """The vendor's books, as far as something was bought or created."""
    books = fleet.vendor.books()
    for purchase in books["purchases"]:  # questions about it, and callbacks, cost nothing, and it may be ready by now
        for name in set(purchase) - {"taskId", "index", "kind", "creditsConsumed", "at", "newTaskId"}:
            del purchase[name]
    return {name: books[name] for name in SPENT}


def spent_today(fleet: Fleet) -> dict[str, float]:
    """What counts against the day's budgets."""
    run = reelkeep(fleet, "audit", "--json", "--suspicious")
    return dict(json.loads(run.stdout)["account"]["spentToday"])


def fetches(fleet: Fleet) -> dict[str, int]:
    """How often files of each generation have been fetched."""
    return {task_id: fleet.fetches(task_id) for task_id in fleet.vendor.books()["generations"]}


def set_weather(fleet: Fleet, **climate: float) -> None:
    """`refusals=1`: the vendor answers "not now" to everything, until it is set anew."""
    answer = fleet.vendor.call("POST", "/_simulator/weather", json=climate)
    assert answer.status_code == 200, answer.text


def manifest(fleet: Fleet, task_id: str) -> dict[str, Any]:
    path = fleet.stack.bucket_folder / "veo" / task_id / "manifest.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def await_manifest(fleet: Fleet, record_id: str) -> dict[str, Any]:
    """What the user sees, once the manifest says the same."""

    def written() -> dict[str, Any] | None:
        shown = fleet.show(record_id)
        return shown if manifest(fleet, shown["taskId"]) == {"format": 1, **shown} else None

    return wait_for(written)


def submit(fleet: Fleet, path: str, **fields: Any) -> str:
    """Have Reelkeep submit, and give its own id."""
    answer = fleet.call("POST", path, json=fields, headers={"Idempotency-Key": fields["prompt"]})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def bucket(fleet: Fleet) -> Any:
    """A client of the bucket, past the disk: the endpoint remembers for a moment what was there."""
    env = fleet.stack.env
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def remove(fleet: Fleet, key: str) -> None:
    client = bucket(fleet)
    client.delete_object(Bucket="reelkeep", Key=key)
    client.close()


def add_scenario(fleet: Fleet, name: str, **fields: Any) -> None:
    answer = fleet.vendor.call("POST", "/_simulator/scenarios", json={"name": name, "about": name, **fields})
    assert answer.status_code == 200, answer.text


def deliver(fleet: Fleet, task_id: str) -> None:
    """Have the vendor send a callback once more, and wait until it has."""

    def deliveries() -> int:
        books = fleet.vendor.books()
        upgrades = [row["deliveries"] for row in books["purchases"] if row["newTaskId"] == task_id]
        return len(upgrades[0] if upgrades else books["generations"][task_id]["deliveries"])

    sent = deliveries()
    answer = fleet.vendor.call("POST", "/_simulator/deliver", json={"taskId": task_id})
    assert answer.status_code == 200, answer.text
    wait_for(lambda: deliveries() > sent)


# --- replay ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(forgetful: Fleet) -> dict[str, Report]:
    """Generations on every path, tracked and submitted, each at its end and in its manifest; by their ids."""
    ended = {forgetful.generate(scenario, upgrades=upgrades): state for scenario, upgrades, state in PATHS}
    sub = submit(forgetful, "/generations", **SUBMITTED)
    forgetful.await_state(sub)
    extension = submit(forgetful, f"/generations/{sub}/extensions", prompt="scenario=extension and on")
    for record_id, state in (ended | {extension: "complete"}).items():
        forgetful.await_state(record_id, state)
    return {record_id: await_manifest(forgetful, record_id) for record_id in (*ended, sub, extension)}


@dataclass
class Replay:
    """What a replay of everything said, and what was so around it."""

    counted: Report
    told: Report
    #: each generation before and after
    before: dict[str, Report]
    after: dict[str, Report]
    #: the vendor's books before and after
    books: tuple[Any, Any]


def read_books(fleet: Fleet) -> Any:
    return spent(fleet), fetches(fleet)


@pytest.fixture(scope="module")
def replayed(forgetful: Fleet, made: dict[str, Report]) -> Replay:
    books = read_books(forgetful)
    counted = report(forgetful, "replay", "--dry-run")
    untouched = {record_id: forgetful.show(record_id) for record_id in made}
    told = report(forgetful, "replay")
    after = {record_id: await_manifest(forgetful, record_id) for record_id in made}
    assert untouched == made, "by a dry run"
    return Replay(counted, told, made, after, (books, read_books(forgetful)))


def test_recorded_callbacks_change_nothing_when_they_come_again(replayed: Replay) -> None:
    counts = {record_id: shown["callbacks"] for record_id, shown in replayed.before.items()}
    news = {record_id: count["received"] - count["duplicates"] for record_id, count in counts.items()}
    assert (replayed.counted["generations"], replayed.counted["callbacks"]) == (len(counts), sum(news.values()))
    told = replayed.told
    assert told == replayed.counted | {"dryRun": False}
    assert (told["new"], told["credits"], told["changed"], told["unsettled"], told["skipped"]) == ({}, 0, {}, [], 0)
    for record_id, shown in replayed.after.items():
        assert shown | {"callbacks": None} == replayed.before[record_id] | {"callbacks": None}
        assert shown["callbacks"]["duplicates"] == counts[record_id]["duplicates"] + news[record_id]
    assert replayed.books[0] == replayed.books[1]


def test_a_replay_that_does_bring_something_says_so(forgetful: Fleet, replayed: Replay) -> None:
    task_id = forgetful.generate()
    forgetful.await_state(task_id)
    await_manifest(forgetful, task_id)
    client = redis.Redis.from_url(forgetful.stack.redis_url, decode_responses=True)
    record = json.loads(unpack(client.get(f"reelkeep:gen:{task_id}") or ""))  # type: ignore[arg-type]
    given_up = {name: value for name, value in record.items() if name not in ("renditions", "complete_at", "verdict")}
    client.set(f"reelkeep:gen:{task_id}", json.dumps(given_up | {"given_up": True}))
    run = reelkeep(forgetful, "replay", "--id", task_id, "--since", "2000-01-01")
    assert run.returncode == 1
    assert run.stdout.splitlines()[:2] == [
        "1 callback of 1 generation replayed",
        "1 new object or order, 0 credits",
    ]
    assert f"{task_id}: result 0 stored" in run.stdout


# --- rebuild ---------------------------------------------------------------------------------------------------------------


@dataclass
class Loss:
    """What was so before and after the ledger was lost, and what the rebuilding said."""

    #: what had ended, as it was shown
    before: dict[str, Report]
    #: what is unfinished, by what ails it
    ailing: dict[str, str]
    dry: Report
    told: Report
    again: Report
    #: just after the rebuilding
    after: dict[str, Report]
    spent_today: tuple[dict[str, float], dict[str, float]]
    books: Any
    fetches: dict[str, int]

    def sub(self) -> str:
        return next(record_id for record_id in self.before if record_id.startswith("sub_"))


@pytest.fixture(scope="module")
def lost(forgetful: Fleet, replayed: Replay) -> Loss:
    """Everything in Redis is lost, while some of it was unfinished, and is rebuilt."""
    ailing = break_some(forgetful)
    before, books, fetched = replayed.after, spent(forgetful), fetches(forgetful)
    today = spent_today(forgetful)
    lose_ledger(forgetful)
    dry = report(forgetful, "rebuild", "--dry-run", status=1)
    assert {forgetful.show(record_id)["state"] for record_id in before} == {None}, "by a dry run"
    told = report(forgetful, "rebuild", status=1)
    after = {record_id: forgetful.show(record_id) for record_id in before}
    today = today, spent_today(forgetful)
    again = report(forgetful, "rebuild", status=1)
    set_weather(forgetful)
    return Loss(before, ailing, dry, told, again, after, today, books, fetched)


def break_some(fleet: Fleet) -> dict[str, str]:
    """Objects that are gone, manifests that are gone or not understood, what is not ours, and an order without an answer.

    From then on the vendor answers nothing: what is unfinished stays so.
    """
    add_scenario(fleet, "silent-4k", takes_4k=60, callbacks_4k=[])
    gone, pictureless = fleet.generate("several-results"), fleet.generate("4k-new-id", upgrades=("4k",))
    orphan, unreadable = fleet.generate("portrait"), fleet.generate()
    for task_id in (gone, pictureless, orphan, unreadable):
        fleet.await_state(task_id)
        await_manifest(fleet, task_id)
    ordered = fleet.generate("silent-4k", upgrades=("4k",))
    wait_for(lambda: any(row.get("orderId") for row in manifest(fleet, ordered).get("renditions", ())))
    set_weather(fleet, refusals=1)
    [order] = [row for row in manifest(fleet, ordered)["renditions"] if row.get("orderId")]
    assert order["state"] == "requested"
    client = bucket(fleet)
    for key in (f"{gone}/result-1.mp4", f"{pictureless}/4k-0.jpg", f"{orphan}/manifest.json"):
        client.delete_object(Bucket="reelkeep", Key=f"veo/{key}")
    client.put_object(Bucket="reelkeep", Key=f"veo/{unreadable}/manifest.json", Body=b'{"format": 99}')
    client.put_object(Bucket="reelkeep", Key="veo/holiday/cat.jpg", Body=b"not ours")
    client.put_object(Bucket="reelkeep", Key="veo/notes.txt", Body=b"not ours")
    client.close()
    return {
        "ordered": ordered,
        "gone": gone,
        "pictureless": pictureless,
        "orphan": orphan,
        "unreadable": unreadable,
    }


def test_every_generation_is_known_again_as_it_was(forgetful: Fleet, lost: Loss) -> None:
    assert lost.after == lost.before
    # The same key and body lead to the same generation, and not to another one.
    assert submit(forgetful, "/generations", **SUBMITTED) == lost.sub()


def test_rebuilding_says_what_it_found(lost: Loss) -> None:
    ailing = lost.ailing
    assert lost.told == {
        "dryRun": False,
        "interrupted": False,
        "rebuilt": lost.told["rebuilt"],
        "known": 0,
        "unfinished": sorted(ailing[what] for what in ("ordered", "gone", "pictureless")),
        "missingObjects": sorted((f"veo/{ailing['gone']}/result-1.mp4", f"veo/{ailing['pictureless']}/4k-0.jpg")),
        "withoutManifest": [ailing["orphan"]],
        "unreadable": {ailing["unreadable"]: "its format is '99', and only 1 is known here"},
        "partly": {},
    }
    assert lost.told["rebuilt"] >= len(lost.before) + 3
    assert lost.dry == lost.told | {"dryRun": True}
    assert (lost.again["rebuilt"], lost.again["known"]) == (0, lost.told["rebuilt"] + 1)


def test_the_days_budget_is_not_forgotten_with_the_ledger(lost: Loss) -> None:
    before, after = lost.spent_today
    assert before["total"] > before["upgrade"] > 0
    assert after == before


def test_what_was_unfinished_goes_on_and_nothing_else_is_fetched_and_nothing_bought(
    forgetful: Fleet, lost: Loss
) -> None:
    whole = {
        "ordered": ("result-0.mp4", "4k-0.mp4", "4k-0.jpg"),
        "gone": ("result-0.mp4", "result-1.mp4", "result-2.mp4"),
        "pictureless": ("result-0.mp4", "4k-0.mp4", "4k-0.jpg"),
        "orphan": ("result-0.mp4", "origin-0.mp4"),
    }
    for what, names in whole.items():
        forgetful.await_state(lost.ailing[what])
        forgetful.assert_stored(lost.ailing[what], *names)
    deliver_again(forgetful, lost)
    again = {task_id: count - lost.fetches.get(task_id, 0) for task_id, count in fetches(forgetful).items()}
    expected = {"ordered": 2, "gone": 1, "pictureless": 1, "orphan": 2}
    assert {task_id: count for task_id, count in again.items() if count} == {
        lost.ailing[what]: count for what, count in expected.items()
    }
    assert spent(forgetful) == lost.books
    assert next(r for r in forgetful.show(lost.ailing["ordered"])["renditions"] if r["kind"] == "4k")["orders"] == 1


def deliver_again(fleet: Fleet, lost: Loss) -> None:
    """Have every callback come once more, and see each known as a repeat."""
    upgrades = [row["newTaskId"] for row in fleet.vendor.books()["purchases"] if row["newTaskId"] and row["deliveries"]]
    tracked = [record_id for record_id in lost.before if not record_id.startswith("sub_") and record_id in lost.fetches]
    for task_id in (*tracked, *upgrades):
        deliver(fleet, task_id)
    for task_id in tracked:
        received = lost.before[task_id]["callbacks"]["received"]
        wait_for(lambda: fleet.show(task_id)["callbacks"]["received"] > received)  # noqa: B023
        shown, known = await_manifest(fleet, task_id), lost.before[task_id]
        assert shown | {"callbacks": None} == known | {"callbacks": None}
    ledger = RedisLedger(fleet.stack.redis_url)
    wait_for(lambda: not any(ledger.read(task_id).pending for task_id in lost.fetches))


# --- import ----------------------------------------------------------------------------------------------------------------


def made_elsewhere(fleet: Fleet, scenario: str) -> str:
    """A generation that nobody has told us of."""
    return fleet.vendor.generate(f"scenario={scenario} a cat")


def ids_of(told: dict[str, Any], fate: str) -> set[str]:
    return {row["taskId"] for row in told[fate]}


def test_of_old_ids_what_lives_is_saved_and_what_is_gone_is_named(forgetful: Fleet, tmp_path: Path) -> None:
    living = [made_elsewhere(forgetful, scenario) for scenario in ("plain", "portrait", "renewable-link")]
    dead, failed = made_elsewhere(forgetful, "dead-link"), made_elsewhere(forgetful, "failed-501")
    unknown = ["0" * 32, "f" * 32]
    rows = [f'"a {number},\nlong prompt",{task_id}' for number, task_id in enumerate((*living, dead, failed, *unknown))]
    lines = ["# exported today", "prompt,task_id", *rows, "", "a cat,../etc/passwd", f"again,{living[0]}"]
    (tmp_path / "ids.csv").write_text("\n".join(lines))

    told = report(forgetful, "import", str(tmp_path / "ids.csv"), "--label", "from=log", status=1)
    assert (told["new"], told["known"]) == (7, 0)
    assert ids_of(told, "saved") == set(living)
    assert ids_of(told, "expired") == {dead}
    assert ids_of(told, "failed") == {failed}
    assert told["unknown"] == [{"taskId": task_id, "reason": "the vendor does not know this id"} for task_id in unknown]
    assert told["underWay"] == []
    assert told["badLines"] == [{"line": 18, "text": "../etc/passwd"}]
    forgetful.assert_stored(living[0], "result-0.mp4")
    forgetful.assert_stored(living[1], "result-0.mp4", "origin-0.mp4")
    assert forgetful.show(living[0])["labels"] == {"from": "log"}

    books = read_books(forgetful), forgetful.vendor.books()["details"]
    again = report(forgetful, "import", "-", stdin="\n".join((*living, dead, failed, *unknown)))
    assert (again["new"], again["known"], again["badLines"]) == (0, 7, [])
    for fate in ("saved", "expired", "failed", "unknown"):
        assert ids_of(again, fate) == ids_of(told, fate)
    assert (read_books(forgetful), forgetful.vendor.books()["details"]) == books, "asked or fetched again"


def test_ctrl_c_ends_the_watching_and_not_the_work(forgetful: Fleet) -> None:
    quick = made_elsewhere(forgetful, "plain")
    report(forgetful, "import", "-", stdin=quick)
    slow = made_elsewhere(forgetful, "plain")
    set_weather(forgetful, refusals=1)
    terminal, end = pty.openpty()
    argv = (sys.executable, "-m", "app.cli", "import", "-")
    env = {**forgetful.stack.env, "TERM": "xterm"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": end, "text": True}
    with subprocess.Popen(argv, env=env, **pipes) as process:  # type: ignore[call-overload]
        os.close(end)
        try:
            assert process.stdin is not None
            process.stdin.write(f"{slow}\n{quick}\n")
            process.stdin.close()
            process.stdin = None
            shown = read_until(terminal, "1/2")
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    shown += read_until(terminal, "the workers go on")
    os.close(terminal)
    assert "━" in shown, "a progress bar"
    assert process.returncode == 130
    assert f"{slow}  under way" in output
    set_weather(forgetful)
    forgetful.await_state(slow)
    forgetful.assert_stored(slow, "result-0.mp4")


def read_until(terminal: int, words: str) -> str:
    """What a terminal shows, up to some words."""
    shown = ""
    while words not in shown:
        readable, _, _ = select.select([terminal], [], [], 60)
        try:
            shown += os.read(terminal, 4096).decode(errors="replace") if readable else ""
        except OSError:  # nobody writes to it any more
            readable = []
        assert readable, f"never shown: {words}, but {shown}"
    return shown
