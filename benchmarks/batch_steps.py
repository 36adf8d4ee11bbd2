"""Steps of the batch benchmark, each a process of its own: a data folder and a day -> one line of JSON.

    python -m benchmarks.batch_steps STEP DATA_DIR DAY

A process of its own has a peak memory of its own: its anonymous memory, looked at every 20 ms, is part of the answer.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from contracts.messages import Kind
from contracts.settings import load_settings
from lakehouse.upkeep.care import Care

LOGS = Kind.LOGS.value


class Peak:
    """Most anonymous memory of this process, MiB, from its making on."""

    def __init__(self) -> None:
        self.mib = 0.0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            self.mib = max(self.mib, *(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")))
            time.sleep(0.02)


def compact(care: Care, day: dt.date) -> Mapping[str, Any]:
    from lakehouse.upkeep.compaction.compact import compact_closed

    done = compact_closed(care, LOGS, day)
    return {"rows": done.rows, "files": done.files_after, "bytes": done.bytes_after, "repeated": done.repeated}


def profile(care: Care, day: dt.date) -> Mapping[str, Any]:
    import orchestration.assets.logs  # noqa: F401  # declares what is expected of the table
    from lakehouse.upkeep.quality.profiles import Profile
    from orchestration.assets.expectations import check_day, declared, validate

    expected = declared(LOGS)
    started_s = time.perf_counter()
    validate(Profile(LOGS, day, 0, {check.frame: [] for check in expected}, {}), expected)  # imports the library
    imported_s = time.perf_counter()
    results = check_day(care, LOGS, day, expected)
    took_s = time.perf_counter() - imported_s
    return {"checks": len(results), "import_s": imported_s - started_s, "warm_s": took_s}


def archive(care: Care, day: dt.date) -> Mapping[str, Any]:
    from lakehouse.upkeep.archive.moves import archive_day

    done = archive_day(care, Kind.LOGS, day)
    return {"rows": done.rows, "bytes": done.bytes_after}


def drop_warm(care: Care, day: dt.date) -> Mapping[str, Any]:
    from lakehouse.delta.notes import RETENTION
    from lakehouse.delta.removal import remove

    gone = remove(care.table(LOGS), f"day = DATE '{day.isoformat()}'", RETENTION)
    return {"rows": sum(gone.values())}


def rebuild(care: Care, day: dt.date) -> Mapping[str, Any]:
    from lakehouse.upkeep.rebuild.hot_day import rebuild_hot

    rebuild_hot(care, Kind.LOGS, day)
    return {}


def drop_hot(care: Care, day: dt.date) -> Mapping[str, Any]:
    hot = care.hot
    held = day in hot.days(Kind.LOGS)
    started_s = time.perf_counter()
    hot.drop_day(Kind.LOGS, day)
    return {"held": held, "drop_s": time.perf_counter() - started_s}


STEPS: Mapping[str, Callable[[Care, dt.date], Mapping[str, Any]]] = {
    step.__name__: step for step in (compact, profile, archive, drop_warm, rebuild, drop_hot)
}


def main() -> None:
    step, folder, day = sys.argv[1:]
    care, peak = Care(load_settings(data_dir=Path(folder))), Peak()
    started_s, cpu_s = time.perf_counter(), time.process_time()
    told = STEPS[step](care, dt.date.fromisoformat(day))
    took_s = time.perf_counter() - started_s
    print(json.dumps({**told, "took_s": took_s, "cpu_s": time.process_time() - cpu_s, "peak_mib": peak.mib}))
    care.close()


if __name__ == "__main__":
    main()
