"""Every command that docs/cli.md shows, run as it stands there, in one shell beside a running fleet."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fleet import Fleet

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
#: they stay until they are told to end: what they say first, and how they end then
STAYS = {"demo": ("Reelkeep demo", 130), "up": ("web ", 0), "simulator": ("simulator listening on", 0)}


def read_commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def staying(command: str) -> str | None:
    """The command's name, if it stays."""
    found = re.search(r"(?:^|\s)reelkeep (\w+)", command)
    return found[1] if found and found[1] in STAYS else None


@pytest.fixture(scope="module")
def ground(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with what the page takes for granted, and an environment: PATH as after an installation."""
    folder = tmp_path_factory.mktemp("page")
    task_id = fleet.generate("plain")
    fleet.await_state(task_id)
    (folder / "ids.txt").write_text(f"{task_id}\n")
    settings = {name: value for name, value in fleet.stack.env.items() if name.startswith(("REELKEEP_", "AWS_"))}
    (folder / "reelkeep-data").mkdir()
    (folder / "reelkeep-data" / "env").write_text(
        "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    )
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("REELKEEP_", "AWS_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{outside['PATH']}"
    root = str(PAGE.parents[1])
    return folder, {**outside, "PATH": path, "PYTHONPATH": root, "ID": task_id}


def test_what_the_page_shows_works(ground: tuple[Path, dict[str, str]]) -> None:
    folder, env = ground
    commands = [command for command in read_commands() if not staying(command)]
    assert len(commands) >= 20
    # `audit` and `doctor` may find something; nothing else may end with 1.
    script = "set -o pipefail\n" + "".join(f"{line}\nprintf '\\n@ %s\\n' $?\n" for line in commands)
    run = subprocess.run(["bash", "-c", script], env=env, cwd=folder, capture_output=True, text=True, timeout=240)
    parts = re.split(r"\n@ (\d+)\n", run.stdout)
    statuses = dict(zip(commands, map(int, parts[1::2]), strict=True))
    finds = ("reelkeep audit", "reelkeep doctor")
    assert {line: status for line, status in statuses.items() if status and not line.startswith(finds)} == {}, (
        run.stderr
    )
    assert all(status in (0, 1) for status in statuses.values())
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", [command for command in read_commands() if staying(command)])
def test_what_stays_begins_and_ends_well(ground: tuple[Path, dict[str, str]], tmp_path: Path, command: str) -> None:
    _, env = ground
    name = staying(command)
    assert name is not None
    first, status = STAYS[name]
    ports = " --port 0 --flower-port 0 --redis-port 0" if name == "up" else ""
    set_here, _, program = command.rpartition("reelkeep ")
    line = f"{set_here}exec reelkeep {program}{ports}"
    with subprocess.Popen(
        ["bash", "-c", line], env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith(first)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == status, errors
    assert "Traceback" not in errors
