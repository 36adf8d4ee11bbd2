"""Care of the Delta table `dead_letters`, one UTC arrival day at a time."""

from __future__ import annotations

from contracts.messages import Kind
from orchestration.assets.expected import OF_EVERY_TABLE
from orchestration.assets.table import assets_of

EXPECTATIONS = OF_EVERY_TABLE

ASSETS = assets_of(Kind.DEAD_LETTERS, "Records that could not be used", EXPECTATIONS)
