"""Conditions that SQL is not sure of -> SQL that is: their values are looked at, and those that match are named.

For records whose values are few: series of metrics share their attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from contracts.errors import QueryError
from contracts.messages import Kind
from contracts.query import Node
from lakehouse.conditions import ATTRIBUTES, Clause, Leaf, Writer, compiled
from lakehouse.lake.snapshot import Snapshot
from lakehouse.match import tree_test
from lakehouse.sql.literals import FALSE, text_literal
from lakehouse.sql.query import WRITER, written_leaf

MOST_VALUES = 50_000  # of one condition that are looked at

_decode = msgspec.json.Decoder(dict).decode


def settled_sql(node: Node, kind: Kind, snapshot: Snapshot, table: str, conditions: Sequence[str]) -> str:
    """`node` as SQL that holds exactly for the rows of `table` that match, of those that meet `conditions`.

    Raises:
        QueryError: See `conditions.compiled`; or a condition has too many values.
        StoreError: The table cannot be read.
    """
    tree = compiled(node, kind)
    whole = WRITER.write(tree)
    if whole.possible is None:
        return whole.sure

    def leaf(leaf: Leaf) -> Clause[str]:
        clause = written_leaf(leaf)
        if clause.possible is None:
            return clause
        wanted = [*conditions, whole.upper, clause.possible, f"NOT {clause.sure}"]
        sql = f"SELECT DISTINCT {leaf.field} FROM {table} WHERE {' AND '.join(wanted)} LIMIT {MOST_VALUES + 1:d}"
        values: list[Any] = snapshot.query(sql).column(0).to_pylist()
        if len(values) > MOST_VALUES:
            raise QueryError(f"a condition has more than {MOST_VALUES} values to look at: narrow it", code="bad_value")
        fitting = ", ".join(text_literal(value) for value in values if _holds(leaf, value))
        return Clause(f"({clause.sure} OR {f'{leaf.field} IN ({fitting})' if fitting else FALSE})")

    return Writer(leaf, WRITER.all_of, WRITER.any_of, WRITER.none_of).write(tree).sure


def _holds(leaf: Leaf, value: str) -> bool:
    row: Any = SimpleNamespace(**{leaf.field: _decode(value) if leaf.field == ATTRIBUTES else value})
    return tree_test(leaf)(row, row)
