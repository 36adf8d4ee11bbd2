"""Care of the Delta table `events`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.expected import OF_RECORDS
from orchestration.table import assets_of

EXPECTATIONS = OF_RECORDS

ASSETS = assets_of(Kind.EVENTS, "Events", EXPECTATIONS)
