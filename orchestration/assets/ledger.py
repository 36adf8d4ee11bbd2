"""Care of the Delta table `ledger`: the account of every bus message, kept for ever; it has no topic and no archive."""

from __future__ import annotations

import dagster as dg

from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER
from orchestration.assets.table import closed_day, open_day
from orchestration.names import OWNER, landed, topic

WHAT = "Accounts: what became of the records of each bus message"

ASSETS = [
    dg.AssetSpec(
        landed(LEDGER),
        deps=[topic(kind) for kind in Kind],
        group_name=LEDGER,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        description=f"{WHAT}. Written by the flows after the rows, in a commit of its own.",
    ),
    open_day(LEDGER, WHAT),
    closed_day(LEDGER, WHAT, ()),
]
