"""Care of the Delta table `ledger`: the accounts of all bus messages, kept for ever, without topic and archive."""

from __future__ import annotations

import dagster as dg

from contracts.messages import Kind
from lakehouse.delta.schemas import LEDGER
from orchestration.assets.table import closed_day, open_day
from orchestration.names import OWNER, landed, topic

WHAT = "Accounts: results for the records of every bus message"

ASSETS = [
    dg.AssetSpec(
        landed(LEDGER),
        deps=[topic(kind) for kind in Kind],
        group_name=LEDGER,
        owners=[OWNER],
        kinds={"deltalake", "parquet"},
        description=f"{WHAT}. The flows write an account after its rows, in another commit.",
    ),
    open_day(LEDGER, WHAT),
    closed_day(LEDGER, WHAT, ()),
]
