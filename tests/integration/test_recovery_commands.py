"""`reelkeep import` and `reelkeep replay` as a user runs them, against a real redis-server. Mostly nobody is at work there: with
workers see the end-to-end tests."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from click.testing import CliRunner, Result

from app.adapters.redis_ledger import RedisLedger
from app.cli.main import main
from app.domain.generation import Generation
from app.domain.ledger import Draft, Entry, Route, Trust
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.vendor import Progress, Verdict
from app.pipeline import replay as replaying
from app.simulator.client import SimulatorClient
from app.simulator.server import Options, Simulator
from tests.support.waiting import wait_for
from tests.support.workers import Shop, workers

Run = Callable[..., Result]
POLICY = Policy()
#: 2026-08-06T06:57:57Z
THEN = 1785999477.0
SUB = f"sub_{'1' * 32}"


class Hurried(Event):
    """Waits for nothing."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


@pytest.fixture
def reelkeep(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)  # away from any .env
    for module in ("importing", "replay"):
        monkeypatch.setattr(f"app.cli.{module}.stop_signal", Hurried)  # pytest's own handlers stay

    def run(*arguments: str, stdin: str = "", **env: str) -> Result:
        settings = {"REELKEEP_REDIS_URL": redis_url, "REELKEEP_KIE_API_KEY": "key", **env}
        return CliRunner().invoke(main, arguments, env=settings, input=stdin)

    return run


# --- import ----------------------------------------------------------------------------------------------------------------


def test_ids_are_tracked_with_their_labels_and_nothing_is_waited_for(
    reelkeep: Run, ledger: RedisLedger, tmp_path: Path
) -> None:
    (tmp_path / "ids.csv").write_bytes(
        b"\xef\xbb\xbftask_id,prompt\r\nt1,a cat\r\nbad id,\xff\r\nt2,a dog\r\nt1,again\r\n"
    )
    run = reelkeep("import", "ids.csv", "--no-wait", "--label", "from=log", "--label", "year=2025")
    assert run.exit_code == 1
    assert run.stderr == "reelkeep: line 3: no task id: 'bad id'\n"
    assert run.stdout.splitlines() == [
        "t1  under way",
        "t2  under way",
        "2 ids, 2 new: 0 saved, 0 expired, 0 unknown, 0 failed, 2 under way",
    ]
    for task_id in ("t1", "t2"):
        generation = ledger.read(task_id).generation
        assert generation is not None
        assert (generation.old, generation.labels) == (True, {"from": "log", "year": "2025"})
    again = reelkeep("import", "-", "--no-wait", stdin="t1\nt2\n")
    assert (again.exit_code, again.stdout.splitlines()[-1][:12]) == (0, "2 ids, 0 new")


def test_the_upgrades_of_the_settings_are_not_bought_for_old_ids(reelkeep: Run, ledger: RedisLedger) -> None:
    reelkeep("import", "-", "--no-wait", stdin="t1\n", REELKEEP_UPGRADES="4k")
    generation = ledger.read("t1").generation
    assert generation is not None
    assert generation.upgrades == []


def test_the_report_as_json(reelkeep: Run, ledger: RedisLedger) -> None:
    failed = Generation.track("t2", THEN, POLICY)
    failed.hear(Verdict(Progress.FAILED, 501, "no luck"), "poll", THEN)
    ledger.change("t2", lambda draft: setattr(draft, "generation", failed))
    run = reelkeep("import", "-", "--no-wait", "--json", stdin="t1\nt2\n!\n")
    assert run.exit_code == 1
    assert json.loads(run.stdout) == {
        "new": 1,
        "known": 1,
        "saved": [],
        "expired": [],
        "unknown": [],
        "failed": [{"taskId": "t2", "reason": "no luck"}],
        "underWay": [{"taskId": "t1", "reason": None}],
        "badLines": [{"line": 3, "text": "!"}],
    }


def test_what_has_ended_already_is_not_waited_for(reelkeep: Run, ledger: RedisLedger) -> None:
    lost = Generation.track("t1", THEN, POLICY)
    lost.old = True
    lost.hear(Verdict(Progress.UNKNOWN, 422), "poll", THEN)
    ledger.change("t1", lambda draft: setattr(draft, "generation", lost))
    run = reelkeep("import", "-", stdin="t1\n")
    assert run.exit_code == 0
    assert run.stdout.startswith("t1  unknown: the vendor does not know this id\n")
    assert "nothing sweeps" in run.stderr
    ledger.note_health({"sweep_at": ""})
    assert reelkeep("import", "-", stdin="t1\n").stderr == ""


def test_old_ids_are_asked_about_once_and_no_faster_than_the_limit(
    reelkeep: Run, ledger: RedisLedger, redis_url: str
) -> None:
    ids = [f"{number:032x}" for number in range(40)]
    most, window = 10, 1.0
    with Simulator(Options(speed=240, rate_limit=0)) as simulator:
        shop, client = (
            Shop(redis_url, simulator.url, policy=Policy(poll_rate=(most, window))),
            SimulatorClient(simulator.url),
        )
        began = time.monotonic()

        def all_are_known() -> bool:
            asked, counts = sum(client.books()["details"].values()), ledger.count()
            elapsed = time.monotonic() - began
            assert asked <= most * (1 + elapsed / window), f"{asked} questions in {elapsed:.2f} s"
            return counts.get(State.LOST, 0) == len(ids)

        with workers(4, shop):
            reelkeep("import", "-", "--no-wait", stdin="\n".join(ids))
            wait_for(all_are_known)
        assert client.books()["details"] == dict.fromkeys(ids, 1)
    told = json.loads(reelkeep("import", "-", "--json", stdin="\n".join(ids)).stdout)
    assert (len(told["unknown"]), told["known"]) == (len(ids), len(ids))


@pytest.mark.parametrize(
    ("arguments", "env", "status", "words"),
    [
        (("import", "nowhere.txt"), {}, 2, "No such file"),
        (("import", "-", "--label", "x"), {}, 2, "must be NAME=VALUE"),
        (("import", "-", "--label", "=x"), {}, 2, "must be NAME=VALUE"),
        (("import", "-"), {"REELKEEP_KIE_API_KEY": ""}, 1, "no vendor key is set (REELKEEP_KIE_API_KEY)"),
        (("replay", "--since", "yesterday"), {}, 2, "'yesterday' is no date and no ISO 8601 time"),
        (("replay", "--id", "../up"), {}, 2, "[A-Za-z0-9_-]{1,128}"),
        (("replay", "--id", "t1", "--id", "t2"), {}, 1, "there is no generation of t1, t2 here"),
    ],
)
def test_a_wrong_command_is_named(
    reelkeep: Run, arguments: tuple[str, ...], env: dict[str, str], status: int, words: str
) -> None:
    run = reelkeep(*arguments, **env)
    assert (run.exit_code, run.stdout) == (status, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


# --- replay ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(ledger: RedisLedger) -> RedisLedger:
    """Two generations with a recorded callback each, one without, and a submission that none has come of."""

    def record(task_id: str, at: float | None) -> None:
        def transition(draft: Draft) -> None:
            draft.generation = Generation.track(task_id, THEN, POLICY)
            draft.generation.hear(Verdict(Progress.FAILED, 501, "no luck"), "poll", THEN)
            draft.generation.manifest.put_back(None)
            raw = json.dumps({"code": 501, "data": {"taskId": task_id}})
            if at is not None:
                draft.history.append(Entry(at=at, route=Route.GENERATION, trust=Trust.SIGNED, raw=raw))

        ledger.change(task_id, transition)

    record("t1", THEN)
    record("t2", THEN + 86400)
    record("t3", None)
    waiting = Submission(
        id=SUB, tracked_at=THEN, request=GenerateRequest(prompt="a cat"), fingerprint="f", token="s3cret"
    )
    ledger.change(SUB, lambda draft: setattr(draft, "submission", waiting))
    return ledger


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "2 callbacks of 3 generations"),
        (("--since", "2026-08-07"), "1 callback of 3 generations"),
        (("--since", "2026-08-06T08:57:58+02:00"), "1 callback of 3 generations"),
        (("--id", "t1"), "1 callback of 1 generation"),
        (("--id", "t1", "--id", "t3", "--id", "t1"), "1 callback of 2 generations"),
    ],
)
def test_callbacks_are_counted(reelkeep: Run, recorded: RedisLedger, arguments: tuple[str, ...], told: str) -> None:
    run = reelkeep("replay", "--dry-run", *arguments)
    assert (run.exit_code, run.stderr) == (0, "")
    assert run.stdout == f"{told} to be replayed\n"
    assert "callbacks" not in recorded.stats()


def test_it_is_said_when_nobody_takes_them_in(
    reelkeep: Run, recorded: RedisLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "LOOK_EVERY", 30.0)
    run = reelkeep("replay", "--json")
    assert run.exit_code == 1
    assert json.loads(run.stdout) == {
        "dryRun": False,
        "interrupted": False,
        "generations": 3,
        "callbacks": 2,
        "skipped": 0,
        "credits": 0.0,
        "new": {},
        "changed": {},
        "unsettled": ["t2", "t1"],
    }
    assert recorded.stats()["callbacks"] == 2
    assert "t1: the work on it has not ended: do worker and beat run?" in reelkeep("replay", "--id", "t1").stdout
