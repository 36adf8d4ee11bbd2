"""Prometheus metrics of the batch tiers: files in the data folder -> text of the API's /metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from flows.read.forgotten import forgotten_counts
from orchestration.failures.alert_book import given_up_counts, waiting_counts
from orchestration.failures.bus_alerts import bus_alert_counts
from orchestration.failures.failed_runs import failure_counts


def forgotten_senders(data: Path) -> CounterMetricFamily:
    """Keys and streams that flows of this data folder forgot; a repeated record of these would be stored twice."""
    family = CounterMetricFamily(
        "headwater_repeats_forgotten",
        "Keys and streams that a flow forgot because there were too many.",
        labels=["kind", "what"],
    )
    for (kind, what), count in sorted(forgotten_counts(data).items()):
        family.add_metric([kind, what], count)
    return family


class BatchFailures(Collector):
    """Reads small files at every request; a missing file counts as no failure."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def collect(self) -> Iterator[Metric]:
        yield from self._raised()
        yield from self._untold()
        yield forgotten_senders(self._data)

    def _raised(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "headwater_pipeline_failures", "Runs of the batch tiers that failed for good.", labels=["job"]
        )
        for job, count in sorted(failure_counts(self._data).items()):
            family.add_metric([job], count)
        yield family
        family = CounterMetricFamily(
            "headwater_bus_alerts", "Alerts: the bus lost or may lose messages.", labels=["alert", "topic"]
        )
        for (name, kind), count in bus_alert_counts(self._data).items():
            family.add_metric([name, kind.topic], count)
        yield family

    def _untold(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(
            "headwater_alerts_waiting", "Alerts that webhook or bus did not take yet.", labels=["to"]
        )
        for where, count in waiting_counts(self._data).items():
            waiting.add_metric([where], count)
        yield waiting
        family = CounterMetricFamily(
            "headwater_alerts_given_up", "Alerts that webhook or bus never took.", labels=["to", "reason"]
        )
        for (where, why), count in given_up_counts(self._data).items():
            family.add_metric([where, why], count)
        yield family
