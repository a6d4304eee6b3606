"""Packed texts: short, the same each time, and given back as they were."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.packing import pack, unpack

RECORD = json.dumps(
    {
        "task_id": "0819326cc7fddfd620baf6e1f0db7e2b",
        "tracked_at": 1795420345.505162,
        "verdict": "succeeded",
        "settle": {"fence": 1},
        "manifest": {"fence": 1},
        "heard": ["generation succeeded 200"],
        "renditions": [{"kind": "result", "state": "stored", "sha256": "05080133c68048f18db634b9a9ad94a1" * 2}],
    },
    separators=(",", ":"),
)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_is_given_back(text: str) -> None:
    assert unpack(pack(text)) == text
    assert pack(text).isascii()


def test_a_text_that_was_not_packed_is_given_back_as_it_is() -> None:
    assert unpack(RECORD) == RECORD
    assert unpack("") == ""


def test_a_record_takes_less_than_half_the_room() -> None:
    assert len(pack(RECORD)) < len(RECORD) / 2


def test_what_an_earlier_process_has_packed_can_be_read() -> None:
    """Whoever changes the sample makes this fail: it needs another name then, beside the old one."""
    assert unpack("1:L(b+UhDx|{13Yoo0ss") == '{"task_id":"t1","verdict":"succeeded","code":200}'


@pytest.mark.parametrize("text", ["1:", "1:~~~~~", "1:2mk;7", "1:é", pack(RECORD)[:40]])
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(text)
