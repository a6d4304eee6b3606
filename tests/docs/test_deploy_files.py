"""The files under deploy/ run what the Procfile runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.stack import read_procfile
from app.settings import EXIT_CONFIG
from tests.support.pages import ROOT, read_blocks

UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
BIN = "/opt/reelkeep/.venv/bin/"


def _process(unit: Path) -> str:
    return unit.stem.removeprefix("reelkeep-").rstrip("@")


def _plain(command: str) -> list[str]:
    """A command line's words, without what each way to run it writes in its own way: numbers of threads, addresses, names."""
    kept = re.sub(
        r"--(concurrency|hostname|address|port)[ =]\S+", r"--\1", command.removeprefix("exec ").removeprefix(BIN)
    )
    return [word for word in kept.split() if word not in ("--address", "--port")]


def test_there_is_a_unit_for_each_process() -> None:
    assert sorted(map(_process, UNITS)) == sorted(read_procfile())


@pytest.mark.parametrize("unit", UNITS, ids=_process)
def test_a_unit_runs_what_the_procfile_runs(unit: Path) -> None:
    [command] = re.findall(r"^ExecStart=(.+)$", unit.read_text(), re.MULTILINE)
    assert _plain(command) == _plain(read_procfile()[_process(unit)])


@pytest.mark.parametrize("unit", UNITS, ids=_process)
def test_a_unit_starts_again_what_ends_but_not_what_is_set_up_wrongly(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for line in ("Restart=always", f"RestartPreventExitStatus={EXIT_CONFIG}", "TimeoutStopSec=30", "KillMode=mixed"):
        assert line in lines


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze on this machine")
    names = []
    for file in (ROOT / "deploy/systemd").iterdir():
        # It wants the programs and the user to be there.
        text = file.read_text().replace(BIN, f"{Path(sys.executable).parent}/").replace("User=reelkeep", "User=root")
        (tmp_path / file.name).write_text(text)
        names.append(file.name.replace("@.", "@1."))
    done = subprocess.run([analyze, "verify", *names], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_for_kubernetes_runs_what_the_procfile_runs() -> None:
    [example] = [block.text for block in read_blocks("yaml")]
    [command] = re.findall(r">-\n((?: {14}.+\n)+)", example)
    assert _plain(" ".join(command.split())) == _plain(read_procfile()["mirror"])


def test_platforms_that_look_for_requirements_find_the_lock_file() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-r requirements/runtime.lock"]
