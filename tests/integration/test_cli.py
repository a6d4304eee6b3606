"""The command line as a user runs it: a process of its own, against a real redis-server."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.adapters.redis_ledger import RedisLedger
from app.cli.stack import claimed
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.policy import Policy
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.domain.work import Kind
from app.embedded.service import free_port

Run = Callable[..., subprocess.CompletedProcess[str]]


def succeed(redis_url: str, task_id: str) -> None:
    def transition(draft: Draft) -> None:
        draft.generation = draft.generation or Generation.track(task_id, draft.now, Policy())
        urls = Urls(result=("https://tempfile.aiquickdraw.com/v/a.mp4",))
        draft.generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=urls), "poll", draft.now)

    RedisLedger(redis_url).change(task_id, transition)


def test_tracking_is_shown_and_listed(reelkeep: Run) -> None:
    tracked = reelkeep("track", "task-1", "task-2", "--upgrade", "4k", "--label", "shot=7", "--json")
    assert [json.loads(line)["taskId"] for line in tracked.stdout.splitlines()] == ["task-1", "task-2"]
    shown = json.loads(reelkeep("show", "task-1", "--json").stdout)
    assert (shown["state"], shown["labels"], shown["upgrades"]) == ("waiting", {"shot": "7"}, ["4k"])
    listed = reelkeep("list", "--state", "waiting")
    assert listed.returncode == 0
    assert "task-1" in listed.stdout
    assert "task-2" in listed.stdout
    assert reelkeep("list", "--state", "lost", "--json").stdout == ""


def test_one_generation_is_shown_for_people(reelkeep: Run, redis_url: str) -> None:
    succeed(redis_url, "task-1")
    text = reelkeep("show", "task-1").stdout
    assert "mirroring" in text
    assert "result 0" in text
    assert "aiquickdraw" not in text


def test_an_upgrade_is_asked_for(reelkeep: Run, redis_url: str) -> None:
    reelkeep("track", "task-1")
    refused = reelkeep("upgrade", "task-1")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("reelkeep: generation task-1: the generation has no verdict yet; ")
    succeed(redis_url, "task-1")
    assert reelkeep("upgrade", "task-1", "--kind", "1080p").returncode == 0
    generation = RedisLedger(redis_url).read("task-1").generation
    assert generation is not None
    assert generation.find(Kind.HD, 0) is not None
    over = reelkeep("upgrade", "task-1", REELKEEP_UPGRADE_CREDITS_PER_DAY="100")
    assert over.returncode == 1
    assert "REELKEEP_UPGRADE_CREDITS_PER_DAY" in over.stderr


def test_all_that_failed_is_tried_again(reelkeep: Run, redis_url: str) -> None:
    succeed(redis_url, "good")
    succeed(redis_url, "bad")

    def lose(draft: Draft) -> None:
        assert draft.generation is not None
        draft.generation.fail(draft.generation.renditions[0], "link dead everywhere", draft.now)

    RedisLedger(redis_url).change("bad", lose)
    again = reelkeep("retry", "--failed", "--json")
    assert [(json.loads(line)["taskId"], json.loads(line)["state"]) for line in again.stdout.splitlines()] == [
        ("bad", "mirroring")
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "nobody"), 1, "generation nobody is not known here"),
        (("retry", "nobody"), 1, "generation nobody is not known here"),
        (("show", "../etc"), 2, "[A-Za-z0-9_-]{1,128}"),
        (("track", "a", "--label", "novalue"), 2, "NAME=VALUE"),
        (("track", "a", "--upgrade", "8k"), 2, "'8k' is not one of"),
        (("track",), 2, "Missing argument"),
        (("retry",), 2, "give ids, or --failed"),
        (("list", "--limit", "0"), 2, "--limit"),
        # A variable that is not set: each run would buy anew.
        (("generate", "a cat", "--key", ""), 2, "'--key': must have 1 to 255 printable ASCII characters"),
        (("extend", "a", "a cat", "--key", "ü"), 2, "'--key': must have 1 to 255 printable ASCII characters"),
        (("generate", "a cat", "--seed", "5"), 2, "--seed: must be greater than or equal to 10000"),
        (("generate", " "), 2, "PROMPT: must not be empty"),
        (("generate", "a cat", "--image-url", "x"), 2, "--image-url: must be an http:// or https:// URL"),
        (("generate", "a cat", "--type", "x"), 2, "--type: must be 'TEXT_2_VIDEO'"),
        (("generate", "a cat", "--type", "REFERENCE_2_VIDEO"), 2, "--type: REFERENCE_2_VIDEO takes 1 to 3"),
    ],
)
def test_a_wrong_command_is_named(reelkeep: Run, arguments: tuple[str, ...], status: int, words: str) -> None:
    run = reelkeep(*arguments)
    assert run.returncode == status
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_a_redis_that_is_down_is_said_in_one_line(reelkeep: Run) -> None:
    run = reelkeep("list", REELKEEP_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert run.returncode == 1
    assert run.stderr.startswith("reelkeep: Redis: ")
    assert run.stderr.endswith(" Connection refused; `reelkeep doctor` says more\n")
    assert run.stderr.count("\n") == 1


def test_up_says_what_is_missing_and_starts_nothing(reelkeep: Run, tmp_path: Path) -> None:
    run = reelkeep("up", "--data", str(tmp_path / "data"))
    assert run.returncode == 78
    assert run.stderr.startswith("reelkeep: REELKEEP_WEBHOOK_KEYS: missing")
    assert not (tmp_path / "data").exists()


def test_up_shows_the_last_words_of_a_process_that_does_not_start(reelkeep: Run, tmp_path: Path) -> None:
    ports = ("--port", "0", "--flower-port", "0", "--redis-port", "0")
    run = reelkeep("up", "--data", str(tmp_path / "data"), *ports, REELKEEP_ALLOW_UNSIGNED="1", WEB_CONCURRENCY="many")
    assert run.returncode == 1
    assert run.stderr.startswith("reelkeep: web ended with status 1")
    assert "'many'" in run.stderr


@pytest.mark.parametrize("option", ["--port", "--flower-port", "--redis-port"])
def test_up_takes_nobody_elses_answer_for_its_own(reelkeep: Run, tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {name: "0" for name in ("--port", "--flower-port", "--redis-port")}
        ports[option] = str(taken.getsockname()[1])
        given = [word for pair in ports.items() for word in pair]
        # The fixture names a Redis of its own: without it, the embedded one is started.
        run = reelkeep(
            "up", "--data", str(tmp_path / "data"), *given, REELKEEP_ALLOW_UNSIGNED="1", REELKEEP_REDIS_URL=""
        )
    assert run.returncode == 1
    assert run.stderr == (
        f"reelkeep: port {ports[option]} cannot be had: Address already in use; "
        f"stop what listens there, or name another with {option} (0: a free one)\n"
    )


@pytest.mark.parametrize("command", [("up", "--port", "0"), ("demo",)])
def test_a_data_folder_has_one_stack_at_a_time(reelkeep: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    with claimed(tmp_path):
        run = reelkeep(*command, "--data", str(tmp_path), REELKEEP_ALLOW_UNSIGNED="1")
    assert run.returncode == 1
    assert run.stderr == (
        f"reelkeep: another `reelkeep up` or demo runs in {tmp_path}: stop it, or name another folder with --data\n"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.json"]
    with claimed(tmp_path):
        pass  # given back


def test_the_demo_empties_no_folder_of_somebody_else(reelkeep: Run, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("mine")
    run = reelkeep("demo", "--data", str(tmp_path / "precious"))
    assert run.returncode == 2
    assert (tmp_path / "precious" / "file").read_text() == "mine"
