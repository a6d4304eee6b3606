"""The command line among shells, scripts and terminals: help, JSON, exit statuses, completion, pipes, colours, Ctrl-C."""

import csv
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from app.adapters.redis_ledger import RedisLedger
from app.cli.commands import Command, Unloaded
from app.cli.main import main
from app.cli.terminal import plural
from app.domain.generation import Generation
from app.domain.ledger import Draft
from app.domain.policy import Policy
from app.domain.states import State
from app.domain.urls import Urls
from app.domain.vendor import Progress, Verdict
from app.embedded import running, s3_environment, s3_server
from app.embedded.service import free_port
from tests.support.waiting import wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
UNLOADED = {name: command for name, command in main.commands.items() if isinstance(command, Unloaded)}
COMMANDS = {name: command.load() for name, command in UNLOADED.items()}
LONG_ID = "c8f30d4e32f937d0a0023fbd46c619b4"
KEYS = {"access_key": "reelkeep", "secret_key": "made-up-secret"}


def keys(text: str) -> set[str]:
    return set(text.split())


GENERATION = keys(
    "id taskId state code msg error mismatch fallback extends old request fingerprint asked labels upgrades trackedAt "
    "verdictAt completeAt verdictFrom callbacks heard creditsReserved creditsConsumed renditions"
)
SUBMISSION = GENERATION | {"sentAt", "nextAt"}
RENDITION = keys("kind index state key bytes sha256 width height seconds audio mismatch attempts storedAt nextAt error")


# --- help --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_each_commands_help_teaches(name: str) -> None:
    shown = CliRunner().invoke(main, [name, "--help"], terminal_width=100).output
    assert "Examples" in shown
    assert "Exit status" in shown
    assert "--json" in shown
    command = COMMANDS[name]
    assert all(
        parameter.help
        for parameter in command.params
        if isinstance(parameter, click.Option)
        if not is_obvious(parameter)
    )
    for line in shown.splitlines():
        assert len(line) <= 110, line


def is_obvious(option: click.Option) -> bool:
    """One whose choices say it all."""
    return isinstance(option.type, click.Choice)


def test_the_list_of_commands_has_a_whole_line_for_each() -> None:
    shown = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    assert "..." not in shown.partition("Commands:")[2]


@pytest.mark.parametrize("name", main.commands)
def test_the_list_says_of_each_command_what_its_own_help_says(name: str) -> None:
    assert (name, UNLOADED[name].short_help) == (COMMANDS[name].name, COMMANDS[name].get_short_help_str(100))


@pytest.mark.parametrize(("said", "meant"), [("lits", "list"), ("generat", "generate"), ("docter", "doctor")])
def test_a_command_that_is_nearly_right_is_named(said: str, meant: str) -> None:
    run = CliRunner().invoke(main, [said])
    assert (run.exit_code, f"Did you mean '{meant}'?" in run.output) == (2, True)


def examples() -> Iterator[tuple[str, str]]:
    for name, command in COMMANDS.items():
        if isinstance(command, Command):
            yield from ((name, line) for line, _ in command.examples if "reelkeep " in line and ";" not in line)


@pytest.mark.parametrize(("name", "line"), list(examples()))
def test_each_example_is_a_command_that_is_understood(name: str, line: str, tmp_path: Path) -> None:
    part = next(part for part in re.split(r"[|>]", line) if part.strip().startswith("reelkeep "))
    _, command, *arguments = shlex.split(part.replace("…", "0" * 32 if "sub_…" in part else ""))
    assert command == name
    for file in ("ids.txt", "log.csv"):
        (tmp_path / file).touch()
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        COMMANDS[name].make_context(name, arguments).close()
    finally:
        os.chdir(here)


# --- JSON --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stocked(redis_url: str) -> str:
    """A ledger with a generation whose video is wanted, and one that is lost."""
    ledger = RedisLedger(redis_url)

    def succeed(draft: Draft) -> None:
        draft.generation = Generation.track(LONG_ID, draft.now, Policy())
        urls = Urls(result=("https://tempfile.aiquickdraw.com/v/a.mp4",))
        draft.generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=urls), "poll", draft.now)

    def lose(draft: Draft) -> None:
        draft.generation = Generation.track("lost-1", draft.now, Policy())
        urls = Urls(result=("https://tempfile.aiquickdraw.com/v/b.mp4",))
        draft.generation.hear(Verdict(Progress.SUCCEEDED, 200, urls=urls), "poll", draft.now)
        draft.generation.fail(draft.generation.renditions[0], "link dead everywhere: " + "long words " * 20, draft.now)

    ledger.change(LONG_ID, succeed)
    ledger.change("lost-1", lose)
    return redis_url


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings for an S3 server with an empty bucket."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    with running(s3_server(folder / "data", port, buckets=["reels"], **KEYS), folder / "log"):
        yield {**s3_environment(port, **KEYS), "REELKEEP_S3_BUCKET": "reels"}


#: how each command is asked for JSON, and what it holds: of one document, or of each line
SHAPES: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "track": (("t1", "--json"), GENERATION),
    "generate": (("a cat", "--json"), SUBMISSION),
    "extend": ((LONG_ID, "it jumps", "--json"), SUBMISSION),
    "show": ((LONG_ID, "--json"), GENERATION),
    "list": (("--json",), GENERATION),
    "retry": (("--failed", "--json"), GENERATION),
    "upgrade": ((LONG_ID, "--json"), GENERATION),
    "import": (("-", "--no-wait", "--json"), keys("new known saved expired unknown failed underWay badLines")),
    "replay": (
        ("--dry-run", "--json"),
        keys("dryRun interrupted generations callbacks skipped credits new changed unsettled"),
    ),
    "rebuild": (
        ("--dry-run", "--json"),
        keys("dryRun interrupted rebuilt known unfinished missingObjects withoutManifest unreadable partly"),
    ),
    "audit": (("--json",), keys("rows totals account archived")),
    "doctor": (("--json",), keys("status checks")),
}
#: and of those that stay
PLACES = {
    "up": keys("web flower redis bucket settings logs"),
    "demo": keys("good seconds paths strays bucket"),
    "simulator": {"url"},
}


def test_every_command_has_a_documented_shape() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    shapes = {name: shape for name, (_, shape) in SHAPES.items()} | PLACES
    assert shapes.keys() == COMMANDS.keys()
    for name, shape in shapes.items():
        missing = [key for key in shape if f"`{key}`" not in page]
        assert not missing, (name, missing)


@pytest.mark.parametrize("name", SHAPES)
def test_each_commands_json_has_its_keys(reelkeep: Run, stocked: str, store: dict[str, str], name: str) -> None:
    arguments, shape = SHAPES[name]
    settings = {"REELKEEP_KIE_API_KEY": "key", "REELKEEP_KIE_BASE_URL": f"http://127.0.0.1:{free_port()}"}
    run = reelkeep(name, *arguments, **settings, **store)
    assert run.returncode in (0, 1), run.stderr
    documents: list[dict[str, Any]] = [json.loads(line) for line in run.stdout.splitlines()]
    assert documents, run.stderr
    for document in documents:
        assert document.keys() == shape
        for rendition in document.get("renditions", ()):
            assert rendition.keys() >= RENDITION
    if name == "doctor":
        assert all(row.keys() == {"check", "level", "text", "mend"} for row in documents[0]["checks"])


def test_the_simulator_says_in_json_where_it_is() -> None:
    argv = [sys.executable, "-m", "app.cli", "simulator", "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["url"].startswith("http://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


# --- pages -------------------------------------------------------------------------------------------------------------------


def test_a_list_goes_on_where_a_page_has_ended(reelkeep: Run) -> None:
    ids = [f"t{number}" for number in range(5)]
    reelkeep("track", *ids)
    seen: list[str] = []
    arguments: list[str] = ["list", "--limit", "2"]
    while arguments:
        run = reelkeep(*arguments, "--json")
        assert run.returncode == 0
        seen += [json.loads(line)["taskId"] for line in run.stdout.splitlines()]
        arguments = shlex.split(run.stderr.removeprefix("more: "))[1:]
        assert len(seen) <= 5
    assert sorted(seen) == ids
    run = reelkeep("list", "--all", "--limit", "1", "--json")
    assert [json.loads(line)["taskId"] for line in run.stdout.splitlines()] == seen
    assert run.stderr == ""
    assert "--state waiting" in reelkeep("list", "--limit", "1", "--state", "waiting").stderr
    wrong = reelkeep("list", "--cursor", "nonsense")
    assert (wrong.returncode, "is no cursor of ours" in wrong.stderr) == (2, True)


def test_a_list_is_a_sheet_of_harmless_lines(reelkeep: Run) -> None:
    reelkeep("track", "t1", "--label", 'note==1+1\x1b[31m\r\n@x, "y"')
    reelkeep("track", "--", "-t2", "t3")
    run = reelkeep("list", "--all", "--csv")
    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.stdout.splitlines()) == 4
    assert "\x1b" not in run.stdout
    rows = {row["taskId"]: row for row in csv.DictReader(StringIO(run.stdout))}
    assert rows.keys() == {"t1", "'-t2", "t3"}
    assert "[31m" in rows["t1"]["labels"]
    assert reelkeep("list", "--state", "lost", "--csv").stdout.startswith("taskId,id,state,error,")
    both = reelkeep("list", "--csv", "--json")
    assert (both.returncode, "not both" in both.stderr) == (2, True)


def test_what_was_done_before_an_error_is_shown(reelkeep: Run) -> None:
    reelkeep("track", "t1")
    run = reelkeep("retry", "t1", "nobody")
    assert (run.returncode, "t1" in run.stdout) == (1, True)
    nothing, error = run.stderr.splitlines()
    assert nothing == "t1: nothing had failed, all is as it was"
    assert error.startswith("reelkeep: generation nobody is not known here")


def test_nothing_to_try_again_is_said(reelkeep: Run) -> None:
    run = reelkeep("retry", "--failed")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "nothing is lost or failed\n")


@pytest.mark.parametrize(("number", "said"), [(0, "0 objects"), (1, "1 object"), (2, "2 objects")])
def test_a_number_and_its_noun_agree(number: int, said: str) -> None:
    assert plural(number, "object") == said


# --- pipes and terminals -----------------------------------------------------------------------------------------------------


def test_nothing_is_cut_in_a_pipe(reelkeep: Run, stocked: str) -> None:
    listed = reelkeep("list", COLUMNS="40")
    [line] = [line for line in listed.stdout.splitlines() if line.startswith("lost-1")]
    assert line.endswith("long words")
    assert LONG_ID in listed.stdout
    assert "\x1b" not in listed.stdout
    shown = reelkeep("show", LONG_ID, COLUMNS="40").stdout
    assert "taskId" in shown
    assert [line for line in [*listed.stdout.splitlines(), *shown.splitlines()] if line.endswith(" ")] == []
    assert all(
        len(line.split()) >= 3 for line in reelkeep("audit", COLUMNS="20").stdout.splitlines() if "generations" in line
    )


def on_terminal(arguments: list[str], **env: str) -> tuple[str, int]:
    """What a command shows on a terminal of 80 columns, and its exit status."""
    terminal, end = pty.openpty()
    argv = [sys.executable, "-m", "app.cli", *arguments]
    settings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    with subprocess.Popen(argv, env={**settings, "TERM": "xterm", **env}, stdin=end, stdout=end, stderr=end) as process:
        os.close(end)
        try:
            shown = b""
            while process.poll() is None or select.select([terminal], [], [], 0)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError:  # the other end is closed
                    break
            return shown.decode(), process.wait(60)
        finally:
            process.kill()
            os.close(terminal)


def test_states_have_colours_on_a_terminal_and_ids_stay_whole(stocked: str) -> None:
    shown, status = on_terminal(["list"], REELKEEP_REDIS_URL=stocked)
    assert status == 0
    assert re.search("\x1b\\[31m(?:\x1b\\[\\d+m)*lost", shown)
    assert LONG_ID in shown
    assert len([line for line in shown.splitlines() if line.strip()]) == 3, "a line each, and one of names"


def test_what_is_printed_goes_to_stdout_whatever_stderr_is(stocked: str) -> None:
    """The bar of a long command is on stderr; it takes nothing with it."""
    terminal, end = pty.openpty()
    env = {**os.environ, "REELKEEP_REDIS_URL": stocked, "TERM": "xterm"}
    try:
        for command in ("retry --failed --json", "audit --csv", "audit", "track t1 t2 --json"):
            argv = [sys.executable, "-m", "app.cli", *command.split()]
            run = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=end, text=True, timeout=60)
            assert ("t2" if "track" in command else "lost-1") in run.stdout, command
            assert "\x1b" not in run.stdout
    finally:
        os.close(end)
        os.close(terminal)


def test_no_color_is_heeded(stocked: str) -> None:
    for arguments in (["list"], ["show", "lost-1"], ["doctor"]):
        shown, _ = on_terminal(arguments, REELKEEP_REDIS_URL=stocked, NO_COLOR="1")
        assert not re.search("\x1b\\[(?:\\d+;)*3[0-7]m", shown), arguments
        assert "lost" in shown or "problem" in shown


def test_a_reader_that_has_had_enough_is_no_error(stocked: str, tmp_path: Path) -> None:
    ledger = RedisLedger(stocked)
    for number in range(100):
        ledger.change(
            f"t{number}", lambda draft: setattr(draft, "generation", Generation.track(draft.record_id, 1.0, Policy()))
        )
    for command in ("list --all --json", "list --all --csv", "list --all", "audit", "audit --csv", "audit --json"):
        script = f'set -o pipefail; "$PYTHON" -m app.cli {command} | head -c 1 > /dev/null; echo "${{PIPESTATUS[0]}}"'
        env = {**os.environ, "REELKEEP_REDIS_URL": stocked, "PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
        run = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert run.stderr == "", command
        assert run.stdout.strip() in ("141", "0", "1"), command


def test_a_reader_that_is_gone_before_the_first_word(stocked: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "REELKEEP_REDIS_URL": stocked}
    for command in ("list", "audit", "list --json"):
        argv = [sys.executable, "-m", "app.cli", *command.split()]
        run = subprocess.run(argv, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
        assert (run.returncode, run.stderr) == (141, ""), command
    os.close(writer)


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    """A Redis that says nothing is waited for."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        argv = [sys.executable, "-m", "app.cli", "list"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # Shells have what runs in the background ignore Ctrl-C, and that is handed down.
        heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(
            argv, preexec_fn=heeds, env={**os.environ, "REELKEEP_REDIS_URL": url}, **pipes
        ) as process:  # type: ignore[call-overload]
            try:
                connection, _ = silent.accept()
                assert connection.recv(1)  # it has asked, and waits
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=30)
                connection.close()
            finally:
                process.kill()
    assert (process.returncode, output, errors) == (130, "", "reelkeep: interrupted\n")


# --- completion --------------------------------------------------------------------------------------------------------------


def complete(*words: str, shell: str = "bash") -> list[str]:
    env = {**os.environ, "_REELKEEP_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(("reelkeep", *words))}
    env["COMP_CWORD"] = str(len(words))
    program = "import sys; sys.argv[0] = 'reelkeep'; from app.cli.main import main; main(prog_name='reelkeep')"
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return [line.partition(",")[2] for line in run.stdout.splitlines()]


def test_commands_and_states_are_completed() -> None:
    assert complete("") == sorted(COMMANDS)
    assert complete("re") == ["rebuild", "replay", "retry"]
    assert complete("list", "--state", "") == [str(state) for state in State]
    assert complete("list", "--state", "un") == ["uncertain"]
    assert complete("upgrade", "x", "--kind", "") == ["1080p", "4k"]
    assert "--failed" in complete("retry", "--")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_to_load(shell: str) -> None:
    program = "from app.cli.main import main; main(prog_name='reelkeep')"
    env = {**os.environ, "_REELKEEP_COMPLETE": f"{shell}_source"}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)
    assert "_REELKEEP_COMPLETE" in run.stdout


# --- up ----------------------------------------------------------------------------------------------------------------------


def test_up_says_in_json_where_everything_is_and_ends_well(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "app.cli", "up", "--json", "--data", str(tmp_path / "data")]
    argv += ["--port", "0", "--flower-port", "0", "--redis-port", "0"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("REELKEEP_")}
    env["REELKEEP_ALLOW_UNSIGNED"] = "1"
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            places = json.loads(process.stdout.readline())
            assert places.keys() == PLACES["up"]
            wait_for(lambda: "ready." in (tmp_path / "data" / "logs" / "mirror.log").read_text())
            assert Path(places["settings"]).exists()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, output, errors) == (0, "", "")
    assert not Path(places["settings"]).exists()
