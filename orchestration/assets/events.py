"""Care of the Delta table `events`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.assets.expected import OF_RECORDS
from orchestration.assets.table import assets_of

EXPECTATIONS = OF_RECORDS

ASSETS = assets_of(Kind.EVENTS, "Events", EXPECTATIONS)
