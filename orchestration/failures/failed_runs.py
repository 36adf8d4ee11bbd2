"""Failed runs: a run that failed for good -> an alert `pipeline.failure`. Imports no Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.failures import alerts
from orchestration.failures.alert_book import Alert, counts_of

if TYPE_CHECKING:
    from orchestration.resources import Upkeep

EVENT = "pipeline.failure"


@dataclass(frozen=True, slots=True)
class Failure:
    """One run that failed and gets no retry.

    Attributes:
        partition: Arrival day of the run; "" for none.
        url: Page of the run in the UI.
        at_ns: End of the run, Unix nanoseconds UTC.
    """

    run_id: str
    job: str
    partition: str
    step: str
    reason: str
    url: str
    at_ns: int


def tell(failure: Failure, upkeep: Upkeep) -> bool:
    """Raise the alert; True: for the first time. After a failure, `alerts.tell_untold` retries."""
    return alerts.tell(alert_of(failure), upkeep)


def alert_of(failure: Failure) -> Alert:
    about = f" of {failure.partition}" if failure.partition else ""
    return Alert(
        name=EVENT,
        key=failure.run_id,
        label=failure.job,
        body=f"{failure.job}{about} failed: {failure.reason}",
        attributes={name: value for name, value in asdict(failure).items() if name != "at_ns"},
        at_ns=failure.at_ns,
    )


def failure_counts(data: Path) -> Mapping[str, int]:
    """Numbers of runs that failed for good since the data folder exists, by job."""
    return counts_of(data, EVENT)
