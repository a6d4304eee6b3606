"""The vendor's callback signature (veo-api: callback signatures)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.adapters.signature import MAX_AHEAD, sign, verify
from app.domain.ledger import Trust

KEY, TASK, SENT = "test-webhook-key", "2b1b13eca3e8b8bbd5a88610d29dfd51", 1769670760
SIGNATURE = "VldPXhS8qX3KpadU9xMEuyc0rlsxkrW8VtP4wBaPovU="


def _judge(
    signature: str | None = SIGNATURE,
    *,
    timestamp: str | None = str(SENT),
    keys: tuple[str, ...] = (KEY,),
    task_id: str = TASK,
    now: float = SENT,
) -> Trust | None:
    return verify(keys, task_id, timestamp, signature, now=now, max_age=900)


def test_the_published_vector_is_reproduced() -> None:
    assert sign(KEY, TASK, str(SENT)) == SIGNATURE


def test_the_published_vector_is_good() -> None:
    assert _judge() is Trust.SIGNED


@pytest.mark.parametrize("keys", [(KEY, "new-key"), ("new-key", KEY), ("a", "b", KEY)])
def test_either_key_is_good_while_keys_are_rotated(keys: tuple[str, ...]) -> None:
    assert _judge(keys=keys) is Trust.SIGNED


@pytest.mark.parametrize("keys", [(), ("wrong",), (KEY.upper(),), (KEY + " ",), ("",), ("a", "b")])
def test_any_other_key_is_not(keys: tuple[str, ...]) -> None:
    assert _judge(keys=keys) is None


def test_a_key_may_hold_any_text() -> None:
    assert _judge(sign("schlüssel 🔑", TASK, str(SENT)), keys=("schlüssel 🔑",)) is Trust.SIGNED


@pytest.mark.parametrize("age", [0, 900, 899.5, -MAX_AHEAD])
def test_a_signature_within_the_window_is_taken_at_its_word(age: float) -> None:
    assert _judge(now=SENT + age) is Trust.SIGNED


@pytest.mark.parametrize("age", [900.5, 1e9, -MAX_AHEAD - 1, -1e9])
def test_a_signature_outside_the_window_is_stale(age: float) -> None:
    assert _judge(now=SENT + age) is Trust.STALE


def test_a_wrong_signature_is_never_merely_stale() -> None:
    assert _judge("A" * 43 + "=", now=SENT + 1e6) is None


def test_a_signature_of_another_generation_is_not_good() -> None:
    assert _judge(task_id="t1") is None


def test_a_signature_of_another_time_is_not_good() -> None:
    assert _judge(timestamp=str(SENT + 1)) is None


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        " ",
        SIGNATURE.rstrip("="),
        SIGNATURE.lower(),
        SIGNATURE + "\n",
        f" {SIGNATURE}",
        f"sha256={SIGNATURE}",
        f"{SIGNATURE},{SIGNATURE}",
        f"{SIGNATURE}, {SIGNATURE}",
        "é" * 44,
        "签",
        "\udc80" * 44,
        "\x00",
        "A" * 100_000,
    ],
)
def test_any_other_signature_is_refused(signature: str | None) -> None:
    assert _judge(signature) is None


@pytest.mark.parametrize(
    "timestamp",
    [
        None,
        "",
        " ",
        "now",
        f" {SENT}",
        f"{SENT} ",
        f"+{SENT}",
        f"-{SENT}",
        f"{SENT}.0",
        "1e9",
        f"{SENT},{SENT}",
        f"{SENT}, {SENT}",
        "9" * 13,
        "9" * 5000,
        "١٧٦٩٦٧٠٧٦٠",
        "²",
        "\x00",
        f"{SENT}\n",
        "0x10",
        "é",
    ],
)
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(timestamp: str | None) -> None:
    assert _judge(sign(KEY, TASK, timestamp or ""), timestamp=timestamp) is None


def test_the_largest_timestamp_is_stale() -> None:
    assert _judge(sign(KEY, TASK, "9" * 12), timestamp="9" * 12) is Trust.STALE


@given(st.text(), st.text() | st.from_regex(r"\A[0-9]{1,14}\Z"), st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_header_raises_and_none_is_good_by_chance(task_id: str, timestamp: str, signature: str) -> None:
    assert verify([KEY], task_id, timestamp, signature, now=SENT, max_age=900) is None
