"""The ways to run it agree with each other and with the code."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.cli.stack import read_procfile
from app.domain.work import SWEEP_QUEUE, Lane

ROOT = Path(__file__).parents[2]
PROCESSES = {"web", "worker", "mirror", "beat", "flower"}
QUEUES = {*(lane.queue for lane in Lane), SWEEP_QUEUE}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    compose: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    return dict(compose["services"])


def queues(commands: list[str]) -> list[str]:
    return [
        queue for command in commands for names in re.findall(r"--queues (\S+)", command) for queue in names.split(",")
    ]


def test_the_procfile_names_the_five_processes() -> None:
    assert set(read_procfile()) == PROCESSES


def test_the_compose_file_runs_the_same_processes_beside_redis_and_s3(services: dict[str, Any]) -> None:
    assert set(services) == PROCESSES | {"redis", "s3"}


def test_every_queue_is_served_once(services: dict[str, Any]) -> None:
    by_procfile = queues(list(read_procfile().values()))
    by_compose = queues([" ".join(services[name]["command"]) for name in ("worker", "mirror")])
    assert sorted(by_procfile) == sorted(by_compose) == sorted(QUEUES)


def test_every_service_is_started_again_when_it_ends(services: dict[str, Any]) -> None:
    assert {name: service["restart"] for name, service in services.items()} == dict.fromkeys(services, "always")


def test_every_process_of_ours_is_given_the_time_that_it_takes_to_stop(services: dict[str, Any]) -> None:
    """30 s, as on Heroku and in Kubernetes: test_graceful_stop.py has each process leave within that."""
    assert {services[name]["stop_grace_period"] for name in PROCESSES} == {"30s"}
    [answers] = re.findall(r"^graceful_timeout = (\d+)$", (ROOT / "app/web/gunicorn_conf.py").read_text(), re.MULTILINE)
    assert int(answers) < 30


def test_flower_needs_a_password_and_is_reached_from_this_host_alone(services: dict[str, Any]) -> None:
    flower = services["flower"]
    assert flower["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    assert all(port.startswith("127.0.0.1:") for port in flower["ports"])
    assert "--address=${FLOWER_ADDRESS:-127.0.0.1}" in read_procfile()["flower"]


def test_flower_remembers_so_much_and_no_more(services: dict[str, Any]) -> None:
    """By itself it keeps 100,000 tasks, which take 290 MiB."""
    for command in (read_procfile()["flower"], " ".join(services["flower"]["command"])):
        assert "--max_tasks=10000" in command


def test_redis_keeps_everything(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert services["redis"]["volumes"]


def test_no_service_listens_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", ["runtime", "dev", "build"])
def test_lock_files_hold_hashes_and_name_no_index(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    pins = re.findall(r"^\S+==", text, re.MULTILINE)
    assert pins
    assert len(re.findall(r"^\S.*(?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*)+", text, re.MULTILINE)) == len(pins)
    assert "://" not in text


def test_the_extra_for_traces_is_what_the_tests_are_given() -> None:
    """The group is the extra once more, for the lock file that is put beside the environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["optional-dependencies"]["otel"] == project["dependency-groups"]["otel"]
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements/otel.lock").read_text(), re.MULTILINE))
    assert {re.split("[>=]", name)[0] for name in project["dependency-groups"]["otel"]} <= locked


def test_what_runs_without_the_extra_is_locked_without_it() -> None:
    for name in ("runtime", "dev"):
        assert "opentelemetry" not in (ROOT / f"requirements/{name}.lock").read_text()
