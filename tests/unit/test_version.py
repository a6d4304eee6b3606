"""The version, whether or not the project is installed."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from app import version
from app.cli.doctor_checks import check_python


def test_it_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert version.own_version() == project["version"]


def test_where_only_the_requirements_are_installed_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", find)
    assert version.own_version() == "unknown"
    [remark] = check_python()
    assert "reelkeep unknown" in remark.text
