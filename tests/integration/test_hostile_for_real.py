"""The same names and redirects by the system's resolver, on port 443, at public and private addresses, with nothing handed in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.hostile import namespace

ROOT = Path(__file__).parents[2]


def test_in_a_network_of_its_own_nothing_leads_where_nobody_may_go(tmp_path: Path) -> None:
    if namespace() is None:
        pytest.skip(
            "no network namespace can be made here; the other tests of hostile names hand in a resolver instead"
        )
    command = [sys.executable, "-m", "tests.bench.hostile", "reelkeep", "--only", "names,redirects"]
    subprocess.run([*command, "--json", str(tmp_path / "counts.json")], cwd=ROOT, check=True, timeout=120)
    (count,) = json.loads((tmp_path / "counts.json").read_text())
    assert count["cases"] > 150
    assert count["names"] == {}
