"""Traces: one for each generation, by whichever process; nothing at all where they are off."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app import traces
from app.adapters.redis_ledger import RedisLedger
from app.domain.work import Item, Step
from app.pipeline.settle import settle
from app.simulator.server import Options, Simulator
from app.traces import span, trace_id, work_span
from tests.integration.desk import WEBHOOK_KEY, Desk, front_door
from tests.integration.web import TASK, signed, success
from tests.support import course
from tests.support.otlp import SEARCH_PATH, collecting

# isort: split
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    traces.trace_to(SimpleSpanProcessor(exporter))
    yield exporter
    traces.trace_to(None)


def run(program: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program that could import the extra."""
    argv, settings = [sys.executable, "-c", program], {**os.environ, "PYTHONPATH": SEARCH_PATH, **env}
    return subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=60)


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {one.name: one for one in exporter.get_finished_spans()}


def test_all_work_on_a_generation_is_in_one_trace(redis_url: str, spans: InMemorySpanExporter) -> None:
    headers = signed(TASK, WEBHOOK_KEY)
    client = front_door(redis_url).test_client()
    assert client.post("/callbacks/veo", data=json.dumps(success()), headers=headers).status_code == 200
    with work_span("settle", TASK):
        settle(Item(Step.SETTLE, TASK), RedisLedger(redis_url), course.Answers(), course.POLICY)  # type: ignore[arg-type]
    found = spans.get_finished_spans()
    assert [one.name for one in found] == ["record", "settle"]
    assert {one.context.trace_id for one in found if one.context} == {trace_id(TASK)}
    assert all(one.parent is None for one in found)


def test_parts_of_a_piece_of_work_lie_within_it(spans: InMemorySpanExporter) -> None:
    with work_span("mirror", "t1", kind="result", index=0), span("fetch"), span("check"):
        pass
    found = named(spans)
    work, fetch, check = (found[name] for name in ("mirror", "fetch", "check"))
    assert work.context is not None
    assert fetch.context is not None
    assert fetch.parent is not None
    assert check.parent is not None
    assert (fetch.parent.span_id, check.parent.span_id) == (work.context.span_id, fetch.context.span_id)
    assert fetch.context.trace_id == trace_id("t1")
    assert dict(work.attributes or {}) == {"reelkeep.id": "t1", "kind": "result", "index": 0}


def test_a_question_to_the_vendor_is_a_part_of_the_work(redis_url: str, spans: InMemorySpanExporter) -> None:
    with Simulator(Options(rate_limit=0)) as simulator:
        desk = Desk(simulator, redis_url)
        with work_span("settle", "t1"):
            assert desk.vendor.ask_details("unknown-to-the-vendor")
    asked = named(spans)["ask vendor"]
    assert dict(asked.attributes or {}) == {"path": "/api/v1/veo/record-info"}


def test_what_belongs_to_no_work_is_not_traced(spans: InMemorySpanExporter) -> None:
    with span("fetch"), work_span("record", None):
        pass
    assert spans.get_finished_spans() == ()


def test_an_error_is_told_by_its_name_alone(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="planted"), work_span("mirror", "t1"), span("fetch"):
        raise ValueError("https://host/a.mp4?signature=planted")
    for one in spans.get_finished_spans():
        assert (one.status.is_ok, one.status.description) == (False, "ValueError")
        assert "planted" not in one.to_json()


def test_where_they_are_off_nothing_of_opentelemetry_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in traces.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    # Without redis-py, which looks for it by itself.
    program = (
        "import sys; from app import traces; assert not traces.start_traces()\n"
        "with traces.work_span('mirror', 't1'), traces.span('fetch'): pass\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_without_the_extra_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    assert not traces.start_traces()
    assert "extra otel" in caplog.text


def test_a_process_sends_them_to_the_endpoint_before_it_ends() -> None:
    program = (
        "from app import traces; assert traces.start_traces()\n"
        "with traces.work_span('mirror', 't1'), traces.span('fetch'): pass"
    )
    with collecting() as collector:
        done = run(program, **collector.settings, OTEL_SERVICE_NAME="films")
    assert done.returncode == 0, done.stderr
    assert {path for path, _ in collector.received} == {"/v1/traces"}
    [resource] = [resource for _, sent in collector.received for resource in sent.resource_spans]
    told = {it.key: it.value.string_value for it in resource.resource.attributes}
    assert told["service.name"] == "films"
    found = {one.name: one for one in collector.spans}
    assert found.keys() == {"mirror", "fetch"}
    assert found["mirror"].trace_id == trace_id("t1").to_bytes(16, "big")
    assert found["fetch"].parent_span_id == found["mirror"].span_id
