"""Traces, by OpenTelemetry: the optional extra `otel`. docs/traces.md says what they show.

All spans of one generation are in one trace, whichever process they are from: the trace's id follows from the generation's, so
that nothing has to be stored or sent along. Until `start_traces` finds the extra and an endpoint, nothing of OpenTelemetry is
imported and a span is an empty context.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from app.logs import log_event
from app.version import own_version

#: OpenTelemetry's own settings: without one of them there are no traces
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OFF = nullcontext()
_tracer: Any = None
#: the id of the trace that is begun next
_begun: ContextVar[int | None] = ContextVar("begun", default=None)


def start_traces() -> bool:
    """Begin to trace, if an endpoint is set. Once in each process, after it was forked. Gives whether there will be traces."""
    if not any(map(os.environ.get, ENDPOINTS)):
        return False
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logging.getLogger("reelkeep").warning("traces.off: OpenTelemetry is not installed (extra otel)")
        return False
    trace_to(BatchSpanProcessor(OTLPSpanExporter()))
    log_event("traces.on")
    return True


def trace_to(processor: Any) -> None:
    """Hand all spans to a processor of OpenTelemetry's; None: to nobody, at no cost."""
    global _tracer
    if processor is None:
        _tracer = None
        return
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):  # type: ignore[misc]  # mypy does not see the extra
        def generate_trace_id(self) -> int:
            return _begun.get() or super().generate_trace_id()

    named = Resource({SERVICE_NAME: "reelkeep", SERVICE_VERSION: own_version()}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=named, id_generator=Ids())
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("reelkeep", own_version())


def trace_id(record_id: str) -> int:
    """The id of the trace of a generation, or of a submission."""
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:16], "big")


def work_span(name: str, record_id: str | None, **facts: str | int | None) -> AbstractContextManager[None]:
    """A piece of work on a generation: the top of what a process does about it. None: of which, nobody knows."""
    return _OFF if _tracer is None or not record_id else _work(name, record_id, {"reelkeep.id": record_id, **facts})


def span(name: str, **facts: str | int | None) -> AbstractContextManager[None]:
    """A part of the present piece of work. Outside of any there is none."""
    return _OFF if _tracer is None else _part(name, facts)


@contextmanager
def _work(name: str, record_id: str, facts: Mapping[str, Any]) -> Iterator[None]:
    from opentelemetry.context import Context

    token = _begun.set(trace_id(record_id))
    try:
        # An empty context: it is a beginning, whatever else may be traced here.
        with _noting(name, facts, Context()):
            yield
    finally:
        _begun.reset(token)


@contextmanager
def _part(name: str, facts: Mapping[str, Any]) -> Iterator[None]:
    if _begun.get() is None:
        yield
        return
    with _noting(name, facts, None):
        yield


@contextmanager
def _noting(name: str, facts: Mapping[str, Any], context: Any) -> Iterator[None]:
    from opentelemetry.trace import StatusCode

    known = {key: value for key, value in facts.items() if value is not None}
    # An error's own words stay out: they may hold anything.
    started = _tracer.start_as_current_span(
        name, context, attributes=known, record_exception=False, set_status_on_exception=False
    )
    with started as noted:
        try:
            yield
        except BaseException as error:
            noted.set_status(StatusCode.ERROR, type(error).__name__)
            raise
