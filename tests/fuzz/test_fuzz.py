"""A short run of what `make fuzz` does for longer."""

from pathlib import Path

from tests.fuzz.run import fuzz


def test_the_server_does_what_its_document_says_whatever_is_sent(tmp_path: Path) -> None:
    found = fuzz(tmp_path, examples=12, seed=1)
    assert found.good, (found.faults, found.told)
