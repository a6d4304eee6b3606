"""The front door: what is recorded of a callback, and what is refused."""

import json

import pytest

from app.domain.callbacks import UnreadableCallback
from app.domain.ledger import Entry, Route, Trust
from app.pipeline.record import LONGEST_KEPT, Delivery, Unauthorised, record_callback
from tests.unit.pipeline.fakes import MemoryLedger

BODY = b'{"code":200,"msg":"ok","data":{"taskId":"t1"}}'
NAMELESS = b'{"code":500,"msg":"unavailable","data":null}'


def _deliver(raw: bytes, token: str | None = None, route: Route = Route.GENERATION) -> Delivery:
    return Delivery(route, raw, 1234.5, token, "1234", "signature")


def _pad(length: int) -> bytes:
    """A body of exactly so many bytes."""
    opening, end = b'{"code":200,"data":{"taskId":"t1","prompt":"', b'"}}'
    return opening + b"x" * (length - len(opening) - len(end)) + end


def test_a_callback_is_recorded_as_it_came() -> None:
    ledger, judged = MemoryLedger(), []

    def verify(*facts: str | None) -> Trust:
        judged.append(facts)
        return Trust.STALE

    task_id = record_callback(_deliver(BODY), ledger, verify)
    entry = Entry(at=1234.5, route=Route.GENERATION, trust=Trust.STALE, raw=BODY.decode())
    assert (task_id, judged) == ("t1", [("t1", "1234", "signature")])
    assert ledger.recorded == [("t1", None, entry)]


def test_what_is_not_signed_well_is_not_recorded() -> None:
    ledger = MemoryLedger()
    with pytest.raises(Unauthorised):
        record_callback(_deliver(BODY), ledger, lambda *_: None)
    assert ledger.recorded == []


def test_unsigned_callbacks_are_recorded_as_such_where_they_are_allowed() -> None:
    ledger = MemoryLedger()
    record_callback(_deliver(BODY), ledger, None)
    assert ledger.recorded[0][2].trust is Trust.UNSIGNED


def test_a_callback_without_an_id_is_judged_by_its_token() -> None:
    ledger = MemoryLedger(tokens={"tok": "t1/4k/0"})
    record_callback(_deliver(NAMELESS, "tok", Route.UHD), ledger, lambda *_: None)
    (task_id, token, entry) = ledger.recorded[0]
    assert (task_id, token, entry.trust, entry.route) == (None, "tok", Trust.TOKEN, Route.UHD)


def test_a_token_that_nobody_was_given_is_refused() -> None:
    ledger = MemoryLedger()
    with pytest.raises(Unauthorised):
        record_callback(_deliver(NAMELESS, "guess", Route.UHD), ledger, lambda *_: None)


def test_a_body_that_names_nothing_is_refused() -> None:
    ledger = MemoryLedger()
    with pytest.raises(UnreadableCallback):
        record_callback(_deliver(NAMELESS), ledger, None)
    assert ledger.recorded == []


@pytest.mark.parametrize(("length", "whole"), [(LONGEST_KEPT, True), (LONGEST_KEPT + 1, False), (500_000, False)])
def test_a_body_that_is_far_too_long_is_recorded_as_a_reason_to_ask(length: int, whole: bool) -> None:
    assert LONGEST_KEPT == 64 * 1024
    ledger, raw = MemoryLedger(), _pad(length)
    assert len(raw) == length
    assert record_callback(_deliver(raw), ledger, None) == "t1"
    (task_id, _, entry) = ledger.recorded[0]
    assert task_id == "t1"
    assert entry.raw == (raw.decode() if whole else "{}")


def test_the_length_is_counted_in_bytes() -> None:
    ledger = MemoryLedger()
    raw = json.dumps({"taskId": "t1", "prompt": "好" * 30_000}, ensure_ascii=False).encode()
    record_callback(_deliver(raw), ledger, None)
    assert ledger.recorded[0][2].raw == "{}"
