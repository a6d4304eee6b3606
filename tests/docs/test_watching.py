"""Alerts, the dashboard and the page on metrics speak of what `/metrics` shows, and each alert has its place in the runbook."""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.cli.stack import read_procfile
from app.domain.work import CHECK_TASK, LANES, SWEEP_QUEUE, SWEEP_TASK, task_name
from tests.integration.desk import front_door
from tests.support.metrics import names, scrape
from tests.support.pages import PAGES, ROOT
from tests.tools import metrics_reference

PROMETHEUS = ROOT / "deploy/prometheus"
ALERTS, ALERTS_TEST = PROMETHEUS / "alerts.yml", ROOT / "tests/docs/alerts_test.yml"
DASHBOARD = ROOT / "deploy/grafana/reelkeep.json"
FLOWER = (ROOT / "docs/flower.md").read_text()
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
#: words with the same beginning that are no metrics
OTHERS = {"reelkeep_data"}
RULES: list[dict[str, Any]] = YAML(typ="safe").load(ALERTS.read_text())["groups"][0]["rules"]

every_alert = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def named(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"\breelkeep_[a-z0-9_]+\b", text)) - OTHERS


@pytest.fixture
def shown(redis_url: str) -> set[str]:
    """What a web process shows that runs on a new ledger."""
    return names(scrape(front_door(redis_url)))


@pytest.mark.parametrize("path", [ALERTS, ALERTS_TEST, DASHBOARD, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_that_is_named_is_shown(path: Path, shown: set[str]) -> None:
    assert named(path.read_text()) <= shown


def test_the_page_has_every_metric(shown: set[str]) -> None:
    rows = re.findall(r"^\| `(reelkeep_\w+)`", metrics_reference.PAGE.read_text(), re.MULTILINE)
    parts = {name for name in shown if re.search(r"_seconds_(bucket|count|sum)$", name)}
    assert sorted(rows) == sorted(shown - parts)


def test_the_page_is_up_to_date() -> None:
    page = metrics_reference.PAGE.read_text()
    assert metrics_reference.render() in page, "python -m tests.tools.metrics_reference --write"


def test_the_alerts_and_the_dashboard_use_what_they_should() -> None:
    assert len(RULES) > 10
    assert len(named(ALERTS.read_text())) > 15
    assert len(named(DASHBOARD.read_text())) > 30


# --- alerts ------------------------------------------------------------------------------------------------------------------


@every_alert
def test_an_alert_leads_to_its_place_in_the_runbook(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert f"\n### {name}\n" in RUNBOOK
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^### (Reelkeep\w+)$", RUNBOOK, re.MULTILINE)) == {rule["alert"] for rule in RULES}


@every_alert
def test_an_alert_comes_once_however_many_web_processes_there_are(rule: dict[str, Any]) -> None:
    whole = (
        "absent(",
        "max by (",
        "min by (",
        "sum by (job) (max by (",
        "(max by (",
        "histogram_quantile(0.95, max by (",
    )
    assert rule["expr"].startswith(whole)


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", str(ALERTS)), ("check", "config", str(PROMETHEUS / "prometheus.yml"))],
    ids=["rules", "config"],
)
def test_prometheus_takes_the_files(arguments: tuple[str, ...]) -> None:
    done = _promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_come_when_they_should_and_not_otherwise() -> None:
    done = _promtool("test", "rules", str(ALERTS_TEST))
    assert done.returncode == 0, done.stdout + done.stderr


# --- the dashboard -----------------------------------------------------------------------------------------------------------


def test_no_panel_lies_over_another(board: dict[str, Any]) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = (one["x"] + one["w"] <= other["x"], other["x"] + other["w"] <= one["x"])
        below = (one["y"] + one["h"] <= other["y"], other["y"] + other["h"] <= one["y"])
        assert any((*apart, *below))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def test_panels_ask_the_chosen_source_for_the_chosen_installation(board: dict[str, Any]) -> None:
    assert [variable["name"] for variable in board["templating"]["list"]] == ["source", "job"]
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${source}"
        for target in panel["targets"]:
            assert target["expr"].count('job=~"$job"') == len(re.findall(r"\breelkeep_", target["expr"]))


def test_prometheus_takes_the_queries_of_the_dashboard_and_of_the_page(board: dict[str, Any], tmp_path: Path) -> None:
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    page = metrics_reference.PAGE.read_text()
    queries += re.findall(r"^\| [a-z][^|]+ \| `([^`]+)` \|$", page, re.MULTILINE)
    # As rules, for that is what promtool reads.
    plain = [query.replace("$__rate_interval", "1m").replace("$job", ".*") for query in queries]
    rules = [{"record": f"query:{place}", "expr": query} for place, query in enumerate(plain)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = _promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries)} rules found" in done.stdout
    assert len(queries) > 35


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool on this machine (Debian: prometheus)")
    return subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60)


# --- Flower ------------------------------------------------------------------------------------------------------------------


def test_the_page_on_flower_has_every_task_and_its_queue() -> None:
    rows = re.findall(r"^\| `(reelkeep\.\w+)` \| .+ \| `(reelkeep\.\w+)` \| (\w+) \|$", FLOWER, re.MULTILINE)
    there = {task_name(step): lane.queue for step, lane in LANES.items()} | {
        SWEEP_TASK: SWEEP_QUEUE,
        CHECK_TASK: SWEEP_QUEUE,
    }
    assert {task: queue for task, queue, _ in rows} == there
    for _, queue, process in rows:
        assert queue in read_procfile()[process]
