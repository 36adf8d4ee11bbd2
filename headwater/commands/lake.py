"""`headwater lake vacuum`: the lake -> what is of no use any more, deleted or only told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.console import counted, out
from headwater.presence import NONE_YET, is_missing

if TYPE_CHECKING:
    from contracts.settings import Settings


def vacuum(settings: Settings, dry_run: bool) -> int:
    """Beside running services: what a reader or writer may still need is left.

    Raises:
        StoreError: It could not be finished; the same may be done again.
    """
    if is_missing(settings.lake):
        out.print(NONE_YET)
        return 0
    from lakehouse import open_lake

    lake = open_lake(settings.lake, settings)
    try:
        done = lake.vacuum(dry_run)
    finally:
        lake.close()
    for path in (*done.files, *done.uploads, *done.probes) if dry_run else ():
        out.print(path, markup=False, highlight=False)
    told = ", ".join(
        (
            counted(len(done.files), "file"),
            counted(len(done.uploads), "unfinished upload"),
            counted(len(done.probes), "key of old probes", "keys of old probes"),
        )
    )
    out.print(f"{'would delete' if dry_run else 'deleted'} {told}, {settings.lake_vacuum_h} h old or more")
    return 0
