"""What `/metrics` says, as Prometheus reads it."""

from collections.abc import Mapping

from flask import Flask
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def scrape(app: Flask) -> dict[str, Metric]:
    """The families by their names, those of counters with `_total`."""
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {f"{family.name}_total" if family.type == "counter" else family.name: family for family in families}


def read(families: Mapping[str, Metric], name: str, **labels: str) -> float:
    """One sample, by the name that a query has."""
    samples = (sample for family in families.values() for sample in family.samples)
    [value] = [sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)]
    return value


def names(families: Mapping[str, Metric]) -> set[str]:
    """All that a query may name: the families, and what a histogram is made of."""
    parts = (f"{name}{end}" for name, it in families.items() if it.type == "histogram" for end in ENDS)
    return {*families, *parts}


ENDS = ("_bucket", "_count", "_sum")
