"""Vacuum: every table below a URL -> what is old and of no use any more, deleted or only told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.settings import Settings
from lakehouse.delta.layout import WARM, Layout
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.delta.table import Delta
from lakehouse.delta.tables import exists
from lakehouse.s3.store import object_store, writing_options


@dataclass(frozen=True, slots=True)
class Vacuum:
    """What a vacuum deleted, or would: paths of files, and keys of uploads and probes; of a folder there are none."""

    files: Sequence[str]
    uploads: Sequence[str] = ()
    probes: Sequence[str] = ()

    def __add__(self, other: Vacuum) -> Vacuum:
        return Vacuum([*self.files, *other.files], [*self.uploads, *other.uploads], [*self.probes, *other.probes])


def vacuum(url: str, settings: Settings, dry_run: bool, now_s: float, layout: Layout = WARM) -> Vacuum:
    """Delete what is `lake_vacuum_h` old and that no version of that time holds, and log entries that are past their
    time; see `Lake.vacuum`.

    Raises:
        StoreError: It could not be finished; the same call may be repeated.
    """
    age_h, options = settings.lake_vacuum_h, writing_options(url, settings)
    files: list[str] = []
    for name in (each for each in SCHEMAS if exists(url, each, options)):
        table = Delta(url, name, options, layout, False)
        files += [f"{name}/{path}" for path in table.sweep(age_h, dry_run)]
        if not dry_run:
            table.clean_log()  # only the flows do that of theirs
    store = object_store(url, settings)
    if store is None:
        return Vacuum(files)
    from lakehouse.s3.cleanup import abort_uploads, delete_probes

    uploads = abort_uploads(store, SCHEMAS, age_h, dry_run, now_s)  # also of a table that was killed at its first file
    return Vacuum(files, uploads, delete_probes(store, age_h, dry_run, now_s))
