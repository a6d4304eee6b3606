"""Every command of the documentation is run: each `sh` block of README.md and docs/, in a folder of its own, beside a running
stack with the vendor's stand-in. What cannot be run here is listed below, with the reason, and shown as skipped."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.embedded.service import free_port
from tests.support.fleet import Fleet, running_fleet
from tests.support.pages import ROOT, Block, read_blocks
from tests.support.waiting import wait_for

#: what a command that is not run has in it, and why it is not
NOT_RUN = {
    r"\bdocker ": "there is no Docker engine",
    r"\bkubectl ": "there is no Kubernetes cluster",
    r"\bsystemctl ": "needs systemd, and root",
    r"\bheroku ": "needs an account there",
    r"\bpip install ": "installs from a package index, as the Makefile does before any test",
    r"\bmake ": "takes minutes; what `make demo` and `make chaos` do is run small by tests/e2e and tests/chaos",
    r"\bpytest ": "is what runs this",
    r" tests\.bench\.": "takes minutes, and gives figures",
}
#: commands that stay until they are stopped, and what they say when they are up
STAYING = {
    "reelkeep up": "Ctrl-C stops it all.",
    "reelkeep simulator": "simulator listening on",
}
#: seconds for one block
LIMIT = 90


def _distinct() -> dict[str, Block]:
    """The blocks by what they do: one that stands on several pages is run once."""
    return {block.text.replace(".venv/bin/", ""): block for block in read_blocks("sh")}


BLOCKS = [pytest.param(text, id=block.name) for text, block in _distinct().items()]


def _why_not_run(text: str) -> str:
    commands = re.sub(r"(^|\s)#.*", "", text)
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, commands)), "")


@dataclass(frozen=True)
class Shell:
    """Where a reader would type: a folder, and the settings of the stack that runs beside it."""

    folder: Path
    env: dict[str, str]

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run a block; it ends at the first command that fails."""
        argv = ["/bin/sh", "-eu", "-c", text]
        return subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("reader")
    with running_fleet(folder / "reelkeep-data") as fleet:
        names = _make_history(fleet)
        fleet.stack.write_settings()
        (folder / "ids.txt").write_text(f"{names['ID']}\n{'0' * 32}\n")
        settings = {
            name: value for name, value in fleet.stack.env.items() if name.startswith(("REELKEEP_", "AWS_", "PATH"))
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REELKEEP_", "AWS_"))}
        yield Shell(folder, {**kept, **settings, **names})


def _make_history(fleet: Fleet) -> dict[str, str]:
    """What the names stand for that the pages use: a generation that is complete, a submission whose answer was lost."""
    complete = fleet.generate()
    wish = {"prompt": "scenario=submit-uncertain-silent a cat"}
    lost = fleet.call("POST", "/generations", json=wish).json()["id"]
    fleet.await_state(complete)
    fleet.await_state(lost, "uncertain")
    [created] = fleet.vendor.books()["generations"].keys() - {complete}
    return {"ID": complete, "SUBMISSION": lost, "TASK_ID": created}


@pytest.mark.parametrize("text", BLOCKS)
def test_a_block_of_commands_does_what_the_page_says(text: str, request: pytest.FixtureRequest) -> None:
    if why := _why_not_run(text):
        for target in re.findall(r"^make (\S+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"make knows no {target}"
        pytest.skip(why)
    if "curl " in text and shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    shell: Shell = request.getfixturevalue("shell")
    staying = [command for command in STAYING if text.startswith(command)]
    if staying:
        _start_and_stop(text, STAYING[staying[0]], shell)
        return
    done = shell.run(text)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def _start_and_stop(text: str, sign: str, shell: Shell) -> None:
    """Run a command that stays until it says that it is up, then stop it. Its ports may be taken here, so it gets free ones."""
    folder = shell.folder / "beside"
    folder.mkdir(exist_ok=True)
    text = re.sub(r"--port \d+", f"--port {free_port()}", text)
    if text.startswith("reelkeep up"):
        text = f"{text.strip()} --port {free_port()} --redis-port {free_port()} --flower-port {free_port()}"
    # As in the first shell of a reader, where no Redis and no bucket are known yet.
    own = {
        name: value for name, value in shell.env.items() if name not in ("REELKEEP_REDIS_URL", "REELKEEP_BROKER_URL")
    }
    del own["REELKEEP_S3_BUCKET"]
    output = folder / "output"
    with output.open("w") as file:
        argv = ["/bin/sh", "-eu", "-c", f"exec {text}"]
        process = subprocess.Popen(argv, cwd=folder, env=own, stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: sign in output.read_text() or process.poll() is not None)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0, output.read_text()
            assert sign in output.read_text()
        finally:
            process.kill()
            process.wait()


def test_the_list_of_what_is_not_run_has_nothing_that_no_page_has() -> None:
    texts = [block.text for block in read_blocks("sh")]
    unused = [pattern for pattern in NOT_RUN if not any(re.search(pattern, text) for text in texts)]
    assert unused == []


def test_the_commands_that_the_tests_run_are_those_of_this_environment() -> None:
    """`reelkeep` is found beside the interpreter that runs the tests, as in a checkout's `.venv/bin`."""
    assert shutil.which("reelkeep", path=str(Path(sys.executable).parent))
