"""Submitting by the command line, against a real redis-server, with the simulator as the vendor."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli.main import main
from app.domain.requests import ExtendRequest
from app.domain.work import is_submission_id
from app.embedded.service import free_port
from app.simulator.scenarios import PostFaults, Scenario
from app.simulator.server import Options, Simulator
from tests.integration.desk import Desk
from tests.integration.looks import queued

Run = Callable[..., Result]
NOBODY = "sub_" + "0" * 32
REFUSED_ONCE = Scenario(submit=PostFaults(refuse_code=402, refuse_first=1))


@pytest.fixture
def desk(redis_url: str) -> Iterator[Desk]:
    with Simulator(Options(speed=600, rate_limit=0, scenarios={"refused-once": REFUSED_ONCE})) as simulator:
        yield Desk(simulator, redis_url)


@pytest.fixture
def buy(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command with a vendor key set."""
    monkeypatch.chdir(tmp_path)  # away from any .env

    def run(*arguments: str, **env: str) -> Result:
        settings = {"REELKEEP_REDIS_URL": redis_url, "REELKEEP_KIE_API_KEY": "sim-key", "COLUMNS": "200", **env}
        return CliRunner().invoke(main, arguments, env=settings)

    return run


def only(run: Result) -> dict[str, Any]:
    """The one generation that a command has printed as JSON."""
    assert (run.exit_code, run.stderr) == (0, ""), run.stderr
    [line] = run.stdout.splitlines()
    shown: dict[str, Any] = json.loads(line)
    return shown


def refused(run: Result, *words: str, status: int = 1) -> None:
    assert (run.exit_code, run.stdout) == (status, "")
    assert "Traceback" not in run.stderr
    if status == 1:
        assert run.stderr.startswith("reelkeep: ")
        assert run.stderr.count("\n") == 1
    for word in words:
        assert word in run.stderr, run.stderr


def test_a_generation_is_submitted_by_a_process_of_its_own(
    reelkeep: Callable[..., subprocess.CompletedProcess[str]], desk: Desk
) -> None:
    run = reelkeep("generate", "a cat", "--json", REELKEEP_KIE_API_KEY="sim-key")
    assert (run.returncode, run.stderr) == (0, "")
    assert queued(desk.queue) == [f"submit/{json.loads(run.stdout)['id']}"]
    without = reelkeep("generate", "a cat", REELKEEP_KIE_API_KEY="")
    assert (without.returncode, without.stdout) == (1, "")
    assert without.stderr.startswith("reelkeep: no vendor key is set (REELKEEP_KIE_API_KEY)")


def test_a_generation_is_submitted_and_shown_by_its_id(buy: Run, desk: Desk) -> None:
    options = ("--model", "veo3_lite", "--aspect-ratio", "9:16", "--seed", "12345", "--duration", "6")
    own = ("--upgrade", "1080p", "--upgrade", "4k", "--label", "shot=7", "--no-translation")
    shown = only(buy("generate", "scenario=plain a cat", *options, *own, "--json"))
    assert is_submission_id(shown["id"])
    assert (shown["taskId"], shown["state"], shown["creditsReserved"]) == (None, "waiting", 30.0)
    assert (shown["upgrades"], shown["labels"]) == (["1080p", "4k"], {"shot": "7"})
    assert shown["request"] == {
        "prompt": "scenario=plain a cat",
        "model": "veo3_lite",
        "aspect_ratio": "9:16",
        "enableTranslation": False,
        "enableFallback": False,
        "duration": 6,
        "seeds": 12345,
    }
    assert queued(desk.queue) == [f"submit/{shown['id']}"]
    assert only(buy("show", shown["id"], "--json")) == shown
    desk.work_until_state(shown["id"], "mirroring")
    later = only(buy("show", shown["id"], "--json"))
    [task_id] = desk.made()
    assert (later["id"], later["taskId"]) == (shown["id"], task_id)
    assert buy("show", shown["id"]).stdout == buy("show", task_id).stdout


def test_a_submission_is_shown_to_people_before_there_is_a_generation(buy: Run) -> None:
    printed = buy("generate", "a cat")
    assert printed.exit_code == 0
    [record_id] = [word for word in printed.stdout.split() if is_submission_id(word)]
    text = buy("show", record_id).stdout
    assert "waiting" in text
    assert "a cat" in text
    assert record_id in buy("list").stdout


def test_the_same_key_gives_the_same_generation_and_another_wish_under_it_is_refused(buy: Run, desk: Desk) -> None:
    first = only(buy("generate", "a cat", "--key", "shot-12", "--json"))
    assert only(buy("generate", "a cat", "--key", "shot-12", "--json")) == first
    refused(buy("generate", "a dog", "--key", "shot-12"), first["id"], "use another key")
    assert queued(desk.queue) == [f"submit/{first['id']}"]


def test_money_is_not_spent_without_a_key_nor_over_a_budget(buy: Run, desk: Desk) -> None:
    refused(buy("generate", "a cat", REELKEEP_KIE_API_KEY=""), "REELKEEP_KIE_API_KEY")
    refused(buy("generate", "a cat", REELKEEP_CREDITS_PER_DAY="59"), "REELKEEP_CREDITS_PER_DAY")
    per_generation = buy("generate", "a cat", REELKEEP_CREDITS_PER_GENERATION="59")
    refused(per_generation, "it is reckoned to cost 60 credits, REELKEEP_CREDITS_PER_GENERATION allows 59")
    assert desk.queue.keys("*") == []
    only(buy("generate", "a cat", "--json", REELKEEP_PRICES="veo3_fast=59", REELKEEP_CREDITS_PER_DAY="59"))


def test_who_is_not_told_that_it_was_recorded_is_told_where_to_look(buy: Run) -> None:
    run = buy("generate", "a cat", REELKEEP_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    refused(run, "it may have been recorded: look with `reelkeep show sub_")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generate",), ["Missing argument"]),
        (("generate", ""), ["PROMPT: "]),
        (("generate", "x", "--duration", "5", "--seed", "1"), ["--duration: ", "--seed: "]),
        (("generate", "x", "--type", "TEXT_2_VIDEO", "--image-url", "https://e.com/a"), ["--type: "]),
        (("generate", "x", "--image-url", "ftp://e.com/a"), ["--image-url: "]),
        (("generate", "x", "--model", "fast"), ["'fast' is not one of"]),
        (("generate", "x", "--upgrade", "8k"), ["'8k' is not one of"]),
        (("generate", "x", "--label", "novalue"), ["NAME=VALUE"]),
        (("extend", "task-1", "x", "--model", "veo3"), ["'veo3' is not one of"]),
        (("extend", "../etc", "x"), ["[A-Za-z0-9_-]{1,128}"]),
        (("track", "a", "b", "--submission", NOBODY), ["--submission goes with one id"]),
    ],
)
def test_a_wrong_command_is_named(buy: Run, desk: Desk, arguments: tuple[str, ...], words: list[str]) -> None:
    refused(buy(*arguments), *words, status=2)
    assert desk.queue.keys("*") == []


def test_a_generation_is_extended_by_either_id(buy: Run, desk: Desk) -> None:
    record_id = desk.generate("plain")
    refused(buy("extend", record_id, "and on"), f"{record_id} is waiting: the vendor has not confirmed it yet")
    refused(buy("upgrade", record_id), f"{record_id} is waiting: the vendor has not confirmed it yet")
    parent = desk.work_until_state(record_id, "mirroring")["taskId"]
    for name in (record_id, parent):
        shown = only(buy("extend", name, "and on", "--model", "quality", "--json"))
        assert (shown["extends"], shown["creditsReserved"]) == (parent, 250.0)
        request = desk.submission(shown["id"]).request
        assert request == ExtendRequest(taskId=parent, prompt="and on", model="quality")
    assert buy("upgrade", record_id, "--kind", "1080p").exit_code == 0
    refused(buy("extend", parent, "and on"), "1080p")
    refused(buy("extend", "nobody", "and on"), "generation nobody is not known here", "reelkeep track nobody")
    refused(buy("extend", NOBODY, "and on"), f"generation {NOBODY} is not known here")


def test_what_is_uncertain_is_listed_and_settled_by_what_the_user_finds_out(buy: Run, desk: Desk) -> None:
    record_id = desk.generate("submit-uncertain-silent")
    refused(buy("track", "somebody", "--submission", record_id), f"{record_id} is waiting")
    desk.work()
    listed = only(buy("list", "--state", "uncertain", "--json"))
    assert (listed["id"], listed["taskId"], listed["state"]) == (record_id, None, "uncertain")
    assert record_id in buy("list", "--state", "uncertain").stdout
    refused(buy("retry", record_id), f"{record_id} is uncertain: ", "not sent again")
    [task_id] = desk.made()
    assert f"reelkeep track TASK_ID --submission {record_id}" in listed["error"]
    assert only(buy("track", task_id, "--submission", record_id, "--json"))["taskId"] == task_id
    desk.work()
    assert buy("list", "--state", "uncertain", "--json").stdout == ""
    shown = only(buy("show", record_id, "--json"))
    assert (shown["id"], shown["taskId"]) == (record_id, task_id)
    refused(buy("track", "another", "--submission", record_id), record_id, task_id)
    refused(buy("track", task_id, "--submission", NOBODY), NOBODY)


def test_a_refused_submission_goes_again_by_its_id_and_with_all_that_failed(buy: Run, desk: Desk) -> None:
    again, never = desk.generate("refused-once"), desk.generate("submit-refused")
    waiting, uncertain = desk.generate("plain"), desk.generate("submit-uncertain-silent")
    assert only(buy("retry", waiting, "--json"))["state"] == "waiting", "it is looked at once more"
    desk.work()
    shown = only(buy("retry", again, "--json"))
    assert (shown["id"], shown["state"], shown["error"]) == (again, "waiting", None)
    desk.work_until_state(again, "mirroring")
    tried = [json.loads(line) for line in buy("retry", "--failed", "--json").stdout.splitlines()]
    assert [(shown["id"], shown["state"]) for shown in tried] == [(never, "waiting")]
    desk.work()
    listed = only(buy("list", "--state", "failed", "--json"))
    assert (listed["id"], listed["msg"]) == (never, "The request parameters are incorrect.")
    assert desk.show(uncertain)["state"] == "uncertain"
    assert len(desk.made()) == 3


def test_lists_hold_submissions_and_generations_newest_first(buy: Run, desk: Desk) -> None:
    first = desk.generate("plain")
    buy("track", "task-1")
    last = desk.generate("plain")
    shown = [json.loads(line) for line in buy("list", "--json").stdout.splitlines()]
    assert [row["taskId"] or row["id"] for row in shown] == [last, "task-1", first]
    limited = [json.loads(line) for line in buy("list", "--limit", "2", "--json").stdout.splitlines()]
    assert limited == shown[:2]


def test_a_refused_word_about_a_submission_changes_nothing(buy: Run, desk: Desk) -> None:
    refused(buy("track", "somebody", "--submission", NOBODY), NOBODY)
    assert desk.queue.keys("*") == []


def test_what_is_no_submissions_id_is_named(buy: Run) -> None:
    refused(buy("track", "task-1", "--submission", "task-2"), "--submission", "sub_", status=2)
