"""docs/api.md: every command on it is run, and does what the page says."""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.web.operations import OPERATIONS, Operation
from tests.support.fleet import TOKEN, WEBHOOK_KEY, Fleet

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


@dataclass(frozen=True)
class Command:
    """What stands in a block, the status that is said beside it, and what is shown of the answer."""

    text: str
    status: int
    shown: Any


def commands() -> list[Command]:
    blocks = re.findall(r"```(\S+)(?: (\d+))?\n(.*?)```", PAGE, re.DOTALL)
    assert PAGE.count("```") == 2 * len(blocks)
    found = []
    for (language, status, text), (next_language, _, next_text) in zip(
        blocks, [*blocks[1:], ("", "", "")], strict=True
    ):
        if language == "sh":
            found.append(Command(text, int(status), json.loads(next_text) if next_language == "json" else {}))
    return found


def keys(value: Any, path: str = "") -> set[str]:
    """The names of all fields, however deep."""
    if isinstance(value, list):
        return {key for inner in value for key in keys(inner, path)}
    if not isinstance(value, dict):
        return set()
    return {f"{path}.{name}" for name in value} | {key for name in value for key in keys(value[name], f"{path}.{name}")}


def test_every_command_on_the_page_does_what_the_page_says(fleet: Fleet, tmp_path: Path) -> None:
    # curl's own settings, so that the commands run as they stand on the page.
    (tmp_path / ".curlrc").write_text('silent\nshow-error\nwrite-out = "\\n%{http_code}"\n')
    own = {
        "URL": fleet.stack.web_url,
        "TOKEN": TOKEN,
        "WEBHOOK_KEY": WEBHOOK_KEY,
        "TASK": fleet.vendor.generate("a dog"),
    }
    env = {**os.environ, **own, "CURL_HOME": str(tmp_path)}
    for command in commands():
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.text], env=env, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, (command.text, ran.stderr)
        body, _, status = ran.stdout.rpartition("\n")
        answer = {} if "/metrics" in command.text else json.loads(body)
        assert int(status) == command.status, (command.text, answer)
        assert keys(command.shown) <= keys(answer), (command.text, answer)
        if "ID" not in env and status == "202":
            env["ID"] = answer["id"]
            fleet.await_state(answer["id"])
    assert "ID" in env


@pytest.mark.parametrize("operation", [it for it in OPERATIONS if "{token}" not in it.path], ids=lambda it: it.name)
def test_no_route_is_missing_from_the_page(operation: Operation) -> None:
    path = re.sub(r"\\{\w+\\}", r"\\$\\w+", re.escape(operation.path))
    texts = [command.text for command in commands() if re.search(rf"\$URL{path}[\"?]", command.text)]
    methods = {(re.findall(r"-X (\w+)", text) or ["POST" if " -d " in text else "GET"])[0] for text in texts}
    assert operation.method.upper() in methods or operation.path == "/callbacks/veo/4k"
