"""Coverage: which raw points another table has counted, by their places on the bus -> SQL that finds the others.

A table notes next offsets of `kind` under the same names as the raw table does: everything before them is in it.
Imported rows have a bus partition of their own and another name.
"""

from __future__ import annotations

from collections.abc import Mapping

from contracts.batches import IMPORTED
from contracts.messages import Kind
from lakehouse.delta.table import Delta

IMPORTS_NEXT = "imports:next"


def places(table: Delta, kind: Kind) -> dict[int, int]:
    """Next offset by bus partition, as of this handle's version."""
    found = table.landed(kind.value)
    imported = table.noted(IMPORTS_NEXT)
    return found if imported is None else found | {IMPORTED: imported}


def numbers(places: Mapping[int, int], kind: Kind) -> dict[str, int]:
    """What a commit notes, so that `places` are found again."""
    bus = {partition: offset for partition, offset in places.items() if partition != IMPORTED}
    noted = {f"{kind.value}:{partition}": offset for partition, offset in bus.items()}
    if bus:
        noted[f"{kind.value}:partitions"] = max(bus) + 1
    return noted | ({IMPORTS_NEXT: places[IMPORTED]} if IMPORTED in places else {})


def past_sql(places: Mapping[int, int]) -> str:
    """Rows at or past `places`; ranges only, so that files are pruned by it."""
    parts, after = [], -1
    for partition, offset in sorted(places.items()):
        if partition > after + 1:
            parts.append(f"(bus_partition > {after:d} AND bus_partition < {partition:d})")
        parts.append(f"(bus_partition = {partition:d} AND bus_offset >= {offset:d})")
        after = partition
    return f"({' OR '.join([*parts, f'bus_partition > {after:d}'])})"


def between_sql(before: Mapping[int, int], after: Mapping[int, int]) -> str:
    """Rows at or past `before`, and before `after`."""
    parts = [
        f"(bus_partition = {part:d} AND bus_offset >= {before.get(part, 0):d} AND bus_offset < {offset:d})"
        for part, offset in sorted(after.items())
        if offset > before.get(part, 0)
    ]
    return f"({' OR '.join(parts)})" if parts else "FALSE"
