"""What Flower gives to whom, started as the Procfile does: docs/flower.md and docs/security.md rely on it."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from flower.urls import handlers

from app.cli.stack import NOTHING_SET, read_procfile
from app.embedded.service import Service, free_port, running

#: these ask for no password, and no setting of Flower's makes them; `/logout` only leads to the first page
OPEN = {"/metrics", "/healthcheck", "/static/css/flower.css", "/logout"}
#: an address for a pattern that stands for many
FILLED = {"/static/(.*)": "/static/css/flower.css", "/login/?": "/login", ".*": "/nowhere"}
PATTERNS = [it[0] if isinstance(it, tuple) else it.regex.pattern.rstrip("$") for it in handlers]
ADDRESSES = [FILLED.get(pattern, re.sub(r"\(.*?\)", "x", pattern)) for pattern in PATTERNS]


@contextmanager
def running_flower(redis_url: str, folder: Path, password: str) -> Iterator[str]:
    """Its address."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    env = {**os.environ, **NOTHING_SET, "REELKEEP_REDIS_URL": redis_url, "FLOWER_PORT": str(port)}
    env |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}", "REELKEEP_S3_BUCKET": "videos"}
    env |= {"FLOWER_BASIC_AUTH": password} if password else {}

    def answers() -> bool:
        try:
            return requests.get(f"{url}/healthcheck", timeout=3).ok
        except requests.RequestException:
            return False

    command = ("/bin/sh", "-c", f"exec {read_procfile()['flower']}")
    with running(Service("flower", command, env, answers), folder / "flower.log"):
        yield url


def find_open(url: str) -> set[str]:
    """What is answered without a password, by whatever method."""
    asked = {
        (path, method): requests.request(method, url + path, timeout=20)
        for path in ADDRESSES
        for method in ("GET", "POST")
    }
    return {path for (path, _), answer in asked.items() if answer.status_code < 400}


def test_a_password_closes_all_but_counts_and_styles(redis_url: str, tmp_path: Path) -> None:
    with running_flower(redis_url, tmp_path, "user:password") as url:
        assert find_open(url) == OPEN
        assert requests.get(f"{url}/tasks", auth=("user", "password"), timeout=20).ok
        assert requests.get(f"{url}/tasks", auth=("user", "passwor"), timeout=20).status_code == 401


def test_without_a_password_its_pages_are_open_and_its_buttons_are_not(redis_url: str, tmp_path: Path) -> None:
    with running_flower(redis_url, tmp_path, "") as url:
        found = find_open(url)
    assert {"/", "/tasks", "/broker"} <= found
    assert not [path for path in found if path.startswith("/api/")]
