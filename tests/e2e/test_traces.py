"""A generation's trace, from the callback to the manifest, out of all the processes that had to do with it."""

from pathlib import Path

from app.traces import trace_id
from tests.support.fleet import TOKEN, VENDOR_KEY, WEBHOOK_KEY, running_fleet
from tests.support.otlp import collecting
from tests.support.waiting import wait_for

PARTS = {"settle": {"ask vendor"}, "mirror": {"fetch", "put"}, "fetch": {"check"}, "manifest": {"put"}}


def test_a_generation_is_one_trace_from_callback_to_manifest(tmp_path: Path) -> None:
    with collecting() as collector, running_fleet(tmp_path / "data", **collector.settings) as fleet:
        task_id = fleet.generate()
        other = fleet.generate()
        for one in (task_id, other):
            fleet.await_state(one)

        def found() -> dict[str, list[object]]:
            own = [one for one in collector.spans if one.trace_id == trace_id(task_id).to_bytes(16, "big")]
            names = {one.span_id: one.name for one in own}
            told: dict[str, list[object]] = {}
            for one in own:
                told.setdefault(names.get(one.parent_span_id, ""), []).append(one.name)
            return told

        def whole() -> bool:
            return {"record", "settle", "mirror", "manifest"} <= set(found().get("", []))

        wait_for(whole)
        told = found()
        for work, parts in PARTS.items():
            assert parts <= set(told[work]), told
        assert set(told) <= {"", *PARTS}
        text = str(collector.spans)
        assert [secret for secret in (TOKEN, VENDOR_KEY, WEBHOOK_KEY, "://") if secret in text] == []
