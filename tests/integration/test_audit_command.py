"""`reelkeep audit` as a user runs it, against a real redis-server with generations in all situations."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.adapters.redis_ledger import RedisLedger
from app.cli.audit import COLUMNS, PAGE, read_rows
from app.cli.main import main
from app.domain.container import Media
from app.domain.generation import Generation
from app.domain.ledger import Draft, Page
from app.domain.policy import Policy
from app.domain.requests import GenerateRequest
from app.domain.states import State
from app.domain.submission import Submission
from app.domain.urls import Urls
from app.domain.vendor import OrderAnswer, OrderProgress, Progress, SubmitAnswer, SubmitProgress, Verdict
from app.domain.work import Item, Kind, Step

Run = Callable[..., Result]
POLICY = Policy()
#: 2026-08-06T06:57:57Z
THEN = 1785999477.0
SUBMITTED, UNCERTAIN, DEAR, TWICE = (f"sub_{digit * 32}" for digit in "1234")
SUSPICIOUS = [UNCERTAIN, "failed", "no-4k", "dead-link", "fallback", "given-up", "dear", "twice"]
VIDEO = Media("video/mp4", "mp4", 1280, 720, 8.0)
SUCCESS = Verdict(Progress.SUCCEEDED, 200, "done", Urls(result=("https://x/0.mp4?sig=s3cret",)))
FAILURE = Verdict(Progress.FAILED, 501, "[/b] broken, see https://x/log?sig=s3cret", credits=60.0)


@pytest.fixture
def reelkeep(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)  # away from any .env

    def run(*arguments: str, **env: str) -> Result:
        shown = {"REELKEEP_REDIS_URL": redis_url, "COLUMNS": "200", **env}
        return CliRunner().invoke(main, ["audit", *arguments], env=shown)

    return run


def change(ledger: RedisLedger, task_id: str, do: Callable[[Generation], None], at: float = THEN) -> None:
    """Track a generation and let something happen to it."""

    def transition(draft: Draft) -> None:
        draft.generation = draft.generation or Generation.track(task_id, at, POLICY)
        do(draft.generation)

    ledger.change(task_id, transition)


def store(generation: Generation, credits: float | None = None, *, fallback: bool = False) -> None:
    """Have it succeed and mirror its result."""
    generation.hear(replace(SUCCESS, credits=credits, fallback=fallback), "poll", THEN)
    rendition = generation.renditions[0]
    generation.claim_mirror(rendition, THEN, POLICY)
    key = f"veo/{generation.task_id}/result-0.mp4"
    generation.store(rendition, key, 1000, "ab" * 32, VIDEO, THEN)


def lose(generation: Generation) -> None:
    """Have it succeed, and its link be dead."""
    generation.hear(SUCCESS, "poll", THEN)
    generation.fail(generation.renditions[0], "link dead everywhere: HTTP 404", THEN)


def fail(generation: Generation) -> None:
    """Have it fail, and take credits all the same."""
    generation.hear(FAILURE, "poll", THEN)


def order_in_vain(generation: Generation) -> None:
    """Have it succeed, and its 4K be taken and then found unavailable."""
    store(generation)
    generation.want_upgrade(Kind.UHD, 0, THEN)
    rendition = generation.renditions[1]
    for at, progress in ((THEN, OrderProgress.ORDERED), (THEN + 900, OrderProgress.UNAVAILABLE)):
        claim = generation.claim_upgrade(Kind.UHD, 0, at, POLICY, "s3cret")
        assert claim is not None
        assert generation.may_send_order(rendition, claim.fence, at, POLICY)
        generation.hear_order(rendition, OrderAnswer(progress, msg="no 4K", task_id="alias-1"), at + 1, POLICY)


def submit(ledger: RedisLedger, record_id: str, answer: SubmitAnswer, at: float = THEN) -> Submission:
    """Submit a generation here, and have the vendor answer."""
    submission = Submission(
        id=record_id,
        tracked_at=at,
        since=THEN,
        request=GenerateRequest(prompt="=1+1, a cat"),
        fingerprint="f",
        token="s3cret",
        price=60.0,
    )
    submission.work.at = THEN
    fence = submission.claim(THEN, POLICY, early=False)
    assert fence is not None
    sending = submission.may_send(fence, THEN + 1, POLICY)
    assert sending is not None
    submission.hear(answer, sending, THEN + 2, POLICY, 0.5)

    def transition(draft: Draft) -> None:
        draft.submission = submission
        if submission.task_id:
            submission.link()

    ledger.change(record_id, transition)
    return submission


def buy(ledger: RedisLedger, record_id: str, task_id: str, credits: float, at: float = THEN) -> None:
    """Submit a generation here for 60 credits, and have it succeed and take so many."""
    submission = submit(ledger, record_id, SubmitAnswer(SubmitProgress.CREATED, task_id=task_id), at)

    def carry_on(generation: Generation) -> None:
        generation.adopt(submission, THEN)
        store(generation, credits)

    change(ledger, task_id, carry_on, at)


@pytest.fixture
def situations(ledger: RedisLedger) -> RedisLedger:
    """Generations in all situations: one is fine, one waits, the others are suspicious. The newest first."""
    buy(ledger, SUBMITTED, "-fine", 60.0)
    change(ledger, "waiting", lambda generation: None, THEN - 1)
    change(ledger, "failed", fail, THEN - 2)
    change(ledger, "no-4k", order_in_vain, THEN - 3)
    change(ledger, "dead-link", lose, THEN - 4)
    change(ledger, "fallback", lambda generation: store(generation, fallback=True), THEN - 5)
    change(ledger, "given-up", lambda generation: generation.await_verdict(THEN + 90_000, POLICY), THEN - 6)
    buy(ledger, DEAR, "dear", 80.0, THEN - 7)
    buy(ledger, TWICE, "twice", 120.0, THEN - 8)
    submit(ledger, UNCERTAIN, SubmitAnswer(SubmitProgress.UNCERTAIN, msg="timed out"))
    return ledger


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_an_empty_ledger_is_not_suspicious(reelkeep: Run) -> None:
    run = reelkeep()
    assert run.exit_code == 0
    assert "generations  0" in run.stdout
    assert "suspicious   0" in run.stdout
    assert read_csv(reelkeep("--csv").stdout) == []
    assert json.loads(reelkeep("--json").stdout)["rows"] == []


def test_a_process_of_its_own_ends_with_the_status(redis_url: str, situations: RedisLedger, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "app.cli", "audit", "--csv"],
        env={**os.environ, "REELKEEP_REDIS_URL": redis_url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (1, "")
    assert len(read_csv(run.stdout)) == 11


def test_json_has_the_suspicious_first_and_adds_up(reelkeep: Run, situations: RedisLedger) -> None:
    run = reelkeep("--json")
    assert (run.exit_code, run.stderr) == (1, "")
    document = json.loads(run.stdout)
    assert document.keys() == {"rows", "totals", "account", "archived"}
    rows = document["rows"]
    assert [row["taskId"] or row["id"] for row in rows] == [*SUSPICIOUS, "-fine", "waiting"]
    assert [row["suspicious"] for row in rows] == [True] * 8 + [False] * 2
    assert [[finding["name"] for charge in row["charges"] for finding in charge["findings"]] for row in rows[:8]] == [
        ["never_delivered"],
        ["charged_but_failed"],
        ["charged_but_failed"],
        ["never_delivered"],
        ["downgraded"],
        ["never_delivered"],
        ["charged_more"],
        ["bought_twice"],
    ]
    totals = document["totals"]
    assert {state: count for state, count in totals["generations"].items() if count} == {
        "waiting": 1,
        "mirroring": 5,
        "failed": 1,
        "lost": 2,
        "uncertain": 1,
    }
    # Reserved: four submissions and a 4K. Consumed: "failed", "-fine", "dear", "twice".
    assert (totals["creditsReserved"], totals["creditsConsumed"]) == (4 * 60 + 120, 60 + 60 + 80 + 120)
    assert (totals["creditsDelivered"], totals["creditsSuspicious"]) == (60 + 80 + 120, 60 + 60 + 120 + 80 + 120)
    assert (totals["suspicious"], totals["files"], totals["bytes"]) == (8, 5, 5000)


def test_a_row_says_when_its_submission_was_sent(reelkeep: Run, situations: RedisLedger) -> None:
    rows = {row["taskId"] or row["id"]: row for row in json.loads(reelkeep("--json").stdout)["rows"]}
    assert (rows["-fine"]["id"], rows["-fine"]["sentAt"]) == (SUBMITTED, "2026-08-06T06:57:58.000Z")
    assert rows[UNCERTAIN]["sentAt"] == "2026-08-06T06:57:58.000Z"
    assert rows["dear"]["sentAt"] == "2026-08-06T06:57:58.000Z"
    assert rows["failed"]["sentAt"] is None


def test_csv_has_a_line_for_everything_that_is_paid_for(reelkeep: Run, situations: RedisLedger) -> None:
    run = reelkeep("--csv")
    assert (run.exit_code, run.stderr) == (1, "")
    assert run.stdout.splitlines()[0] == ",".join(COLUMNS)
    rows = read_csv(run.stdout)
    lines = [(row["taskId"] or row["id"], row["what"], row["findings"]) for row in rows]
    assert lines[:4] == [
        (UNCERTAIN, "generation", "never_delivered"),
        ("failed", "generation", "charged_but_failed"),
        ("no-4k", "generation", ""),
        ("no-4k", "4k", "charged_but_failed"),
    ]
    assert lines[-2:] == [("'-fine", "generation", ""), ("waiting", "generation", "")]
    assert len(lines) == len(SUSPICIOUS) + 1 + 2
    fine, upgrade = rows[-2], rows[3]
    assert (fine["creditsReserved"], fine["creditsConsumed"], fine["delivered"]) == ("60", "60", "yes")
    assert (fine["files"], fine["bytes"], fine["sha256"]) == ("veo/-fine/result-0.mp4", "1000", "ab" * 32)
    assert (upgrade["vendorId"], upgrade["error"], upgrade["creditsConsumed"]) == ("alias-1", "no 4K", "")
    assert upgrade["orderedAt"] == "2026-08-06T06:57:57.000Z"


def test_no_cell_is_a_formula(reelkeep: Run, situations: RedisLedger) -> None:
    rows = read_csv(reelkeep("--csv").stdout)
    assert rows[0]["prompt"] == "'=1+1, a cat"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("form", ["--json", "--csv", "--suspicious"])
def test_no_secret_is_printed(reelkeep: Run, situations: RedisLedger, form: str) -> None:
    text = reelkeep(form).stdout
    assert "s3cret" not in text
    assert "https://x/log?" in text


def test_the_table_tells_all_of_the_suspicious_and_a_line_of_the_rest(reelkeep: Run, situations: RedisLedger) -> None:
    run = reelkeep()
    assert (run.exit_code, run.stderr) == (1, "")
    assert "  ! charged but failed: it failed with code 501, and 60 credits were taken\n" in run.stdout
    assert "message     [/b] broken" in run.stdout
    assert "vendor's id alias-1" in run.stdout
    assert f"sha256 {'ab' * 32}" in run.stdout
    assert run.stdout.index("failed") < run.stdout.index("-fine")
    assert "result 0 (1,000 bytes)" in run.stdout
    assert "generations  10 (1 waiting, 5 mirroring, 1 failed, 2 lost, 1 uncertain)\n" in run.stdout
    counts = "2 charged but failed, 1 bought twice, 1 charged more, 1 downgraded, 3 never delivered"
    assert f"suspicious   8 ({counts})\n" in run.stdout


def test_only_the_suspicious_are_listed_and_all_are_counted(reelkeep: Run, situations: RedisLedger) -> None:
    document = json.loads(reelkeep("--json", "--suspicious").stdout)
    assert [row["taskId"] or row["id"] for row in document["rows"]] == SUSPICIOUS
    assert document["totals"] == json.loads(reelkeep("--json").stdout)["totals"]
    listed = read_csv(reelkeep("--csv", "--suspicious").stdout)
    assert {row["taskId"] or row["id"] for row in listed} == set(SUSPICIOUS)
    table = reelkeep("--suspicious").stdout
    assert "-fine" not in table
    assert "generations  10" in table


@pytest.mark.parametrize(
    ("since", "ids"),
    [
        ("2026-08-06", {"-fine", "waiting", *SUSPICIOUS}),
        ("2026-08-06T06:57:56Z", {"-fine", "waiting", UNCERTAIN}),
        ("2026-08-06T06:57:56", {"-fine", "waiting", UNCERTAIN}),
        ("2026-08-06T08:57:56+02:00", {"-fine", "waiting", UNCERTAIN}),
        ("2026-08-07", set()),
    ],
)
def test_only_what_is_tracked_since_is_looked_at(
    reelkeep: Run, situations: RedisLedger, since: str, ids: set[str]
) -> None:
    document = json.loads(reelkeep("--json", "--since", since).stdout)
    assert {row["taskId"] or row["id"] for row in document["rows"]} == ids
    assert sum(document["totals"]["generations"].values()) == len(ids)


def test_without_anything_suspicious_the_status_is_0(reelkeep: Run, situations: RedisLedger) -> None:
    assert reelkeep("--since", "2026-08-07").exit_code == 0
    assert reelkeep("--since", "2026-08-07", "--csv").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--json", "--csv"), "not both"),
        (("--since", "yesterday"), "'yesterday' is no date and no ISO 8601 time, such as 2026-08-06"),
        (("--since", "2026-02-30"), "'2026-02-30' is no date"),
        (("--since", ""), "'' is no date"),
        (("--since", "1785999477"), "is no date"),
    ],
)
def test_a_wrong_command_is_named(reelkeep: Run, arguments: tuple[str, ...], words: str) -> None:
    run = reelkeep(*arguments)
    assert (run.exit_code, run.stdout) == (2, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def read_account(reelkeep: Run, **env: str) -> dict[str, Any]:
    account: dict[str, Any] = json.loads(reelkeep("--json", **env).stdout)["account"]
    return account


def test_what_is_spent_today_is_held_against_the_budgets(reelkeep: Run, ledger: RedisLedger) -> None:
    ledger.reserve(str(Item(Step.SUBMIT, SUBMITTED)), 60.0, {})
    ledger.reserve(str(Item(Step.UPGRADE, "task-1", Kind.UHD)), 120.0, {})
    budgets = {"REELKEEP_CREDITS_PER_DAY": "500", "REELKEEP_UPGRADE_CREDITS_PER_DAY": "200"}
    account = read_account(reelkeep, **budgets)
    assert account["spentToday"] == {"total": 180.0, "submit": 60.0, "upgrade": 120.0}
    assert account["budgets"] == {"total": 500.0, "upgrade": 200.0, "generation": None}
    assert "spent today  180 of 500, upgrades 120 of 200 (UTC)\n" in reelkeep(**budgets).stdout
    assert "spent today  180 (no budget), upgrades 120 (no budget) (UTC)\n" in reelkeep().stdout


def test_the_balance_is_shown_with_its_age(reelkeep: Run, ledger: RedisLedger) -> None:
    ledger.note_health({"credits": "5916.25", "credits_at": repr(ledger.now() - 630), "credits_error": ""})
    account = read_account(reelkeep, REELKEEP_CREDITS_WARN_BELOW="5916.25")
    assert (account["credits"], account["warnings"]) == (5916.25, [])
    assert account["creditsAge"] >= 600
    text = reelkeep(REELKEEP_CREDITS_WARN_BELOW="6000").stdout
    assert "account      5916.25 credits, 10 min ago\n" in text
    assert "warning      the account holds 5916.25 credits, less than REELKEEP_CREDITS_WARN_BELOW (6000)\n" in text


def test_a_balance_that_is_not_known_is_warned_of(reelkeep: Run, ledger: RedisLedger) -> None:
    assert "not known" in read_account(reelkeep)["warnings"][0]
    ledger.note_health({"credits_error": "HTTP 502, not JSON"})
    run = reelkeep()
    assert "warning      the account's balance could not be read: HTTP 502, not JSON\n" in run.stdout
    assert run.exit_code == 0


class CountingLedger(RedisLedger):
    """Counts the pages that are read."""

    pages = 0

    def page(self, state: State | None, limit: int, cursor: str | None) -> Page:
        assert limit == PAGE
        self.pages += 1
        return super().page(state, limit, cursor)


def test_a_ledger_of_several_pages_is_read_whole(redis_url: str) -> None:
    ledger = CountingLedger(redis_url)
    ids = [f"task-{number}" for number in range(2 * PAGE + 1)]
    for number, task_id in enumerate(ids):
        change(ledger, task_id, fail if number == 0 else lambda generation: None, THEN + number)
    rows = [row.task_id for row in read_rows(ledger, POLICY, None)]
    assert rows == ["task-0", *reversed(ids[1:])]
    assert ledger.pages == 6
    recent = [row.task_id for row in read_rows(ledger, POLICY, THEN + 2 * PAGE)]
    assert recent == [f"task-{2 * PAGE}"]
    assert ledger.pages == 6 + 4


def test_every_row_is_given_once_although_it_changes_meanwhile(ledger: RedisLedger) -> None:
    change(ledger, "failed", fail, THEN)
    change(ledger, "waiting", lambda generation: None, THEN - 1)
    rows = read_rows(ledger, POLICY, None)
    first = next(rows)
    change(ledger, "failed", lambda generation: generation.hear_credits(0.0, THEN))
    change(ledger, "waiting", fail)
    (second,) = rows
    assert [(row.task_id, bool(row.findings)) for row in (first, second)] == [("failed", True), ("waiting", True)]


def test_a_submission_whose_generation_comes_meanwhile_is_given_once(ledger: RedisLedger) -> None:
    uncertain = submit(ledger, UNCERTAIN, SubmitAnswer(SubmitProgress.UNCERTAIN, msg="timed out"))
    rows = read_rows(ledger, POLICY, None)
    assert next(rows).id == UNCERTAIN
    buy(ledger, uncertain.id, "found", 60.0)
    assert [row.task_id for row in rows] == []


def test_the_help_says_what_the_status_means(reelkeep: Run) -> None:
    text = " ".join(reelkeep("--help").stdout.split())
    assert "Exit status: 0 nothing is suspicious 1 something is" in text
