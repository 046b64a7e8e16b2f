# SPDX-License-Identifier: Apache-2.0
"""Families as text, in Prometheus's format or OpenMetrics, as the scraper asks for.

``prometheus_client`` costs 70 ms and 14 MiB to import (stack.md 3.1): import this module at the first scrape, not before.
"""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import exposition
from prometheus_client import metrics_core as core

from tidegate.metrics.values import Family, Histogram, MetricKind


def render(families: Sequence[Family], accept: str = "") -> tuple[bytes, str]:
    """Return (text, its content type). ``accept`` is the scraper's ``Accept`` header; "" gives Prometheus's own text format."""
    encode, content_type = exposition.choose_encoder(accept)
    return encode(_Registry(families)), content_type


class _Registry:
    """What the encoders read: anything that can collect."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[core.Metric]:
        return map(_metric, self._families)


def _metric(family: Family) -> core.Metric:
    made: core.Metric
    match family.kind:
        case MetricKind.HISTOGRAM:
            made = core.HistogramMetricFamily(family.name, family.help)
        case MetricKind.COUNTER:
            made = core.CounterMetricFamily(family.name, family.help)
        case MetricKind.GAUGE:
            made = core.GaugeMetricFamily(family.name, family.help)
    for suffix, labels, value in _samples(family):
        made.add_sample(family.name + suffix, labels, value)
    return made


def _samples(family: Family) -> Iterable[tuple[str, dict[str, str], float]]:
    for sample in family.samples:
        labels = dict(sample.labels)
        if isinstance(sample.value, Histogram):
            for bound, count in sample.value.cumulative():
                yield "_bucket", {**labels, "le": bound}, float(count)
            yield "_count", labels, float(sample.value.count)
            yield "_sum", labels, sample.value.sum
        else:
            yield "_total" if family.kind is MetricKind.COUNTER else "", labels, sample.value
