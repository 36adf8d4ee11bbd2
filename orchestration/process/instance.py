"""Dagster's storage: settings -> `<data>/dagster/dagster.yaml`, written at each start.

`DAGSTER_HOME=<data>/dagster dagster dev -m orchestration.definitions` reads the same file.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.settings import Settings

POSTGRES_URL = "HEADWATER_DAGSTER_POSTGRES_URL"
MONITOR_S = 30  # also the delay of a retry after a killed run, which waits for its slot in the pool
TICK_DAYS = {"started": 2, "skipped": 2, "success": 14, "failure": 90}

_SQLITE = {
    "run_storage": ("dagster._core.storage.runs", "SqliteRunStorage", "history"),
    "event_log_storage": ("dagster._core.storage.event_log", "ConsolidatedSqliteEventLogStorage", "history"),
    "schedule_storage": ("dagster._core.storage.schedules", "SqliteScheduleStorage", "schedules"),
}


def dagster_home(settings: Settings) -> Path:
    return settings.data / "dagster"


def prepare(settings: Settings) -> Path:
    """Write the file, let this process and its children use it, and return the folder.

    Raises:
        ConfigError: The folder cannot be written, or Postgres is set and its adapter is not installed.
    """
    home = dagster_home(settings)
    text = json.dumps(configuration(settings), indent=2)  # JSON is YAML
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(f"# Written by headwater at each start from HEADWATER_DAGSTER_*.\n{text}\n")
    except OSError as error:
        raise ConfigError(
            f'cannot write "{home}": {error.strerror}', hint="choose another folder with HEADWATER_DATA_DIR"
        ) from error
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    if url := settings.dagster_postgres_url.get_secret_value():
        os.environ[POSTGRES_URL] = url  # the setting may come from `.env`, but Dagster reads the environment
    return home


def configuration(settings: Settings) -> dict[str, Any]:
    """Content of the file; the password of Postgres stays in the environment.

    Raises:
        ConfigError: Postgres is set and its adapter is not installed.
    """
    ticks = {"purge_after_days": TICK_DAYS}
    return {
        **_storage(settings),
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "concurrency": {
            "pools": {"default_limit": 1, "granularity": "op"},  # one table is rewritten by one step at a time
            "runs": {"max_concurrent_runs": settings.dagster_runs},
        },
        # A failed step is retried within its run. These retries are for runs whose process was killed.
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "run_monitoring": {
            "enabled": True,
            "poll_interval_seconds": MONITOR_S,
            "start_timeout_seconds": 180,
            "free_slots_after_run_end_seconds": 10,  # else a killed run would hold its slot for ever
        },
        "retention": {"schedule": ticks, "sensor": ticks, "auto_materialize": ticks},
        "auto_materialize": {"enabled": False},
    }


def _storage(settings: Settings) -> dict[str, Any]:
    if not settings.dagster_postgres_url.get_secret_value():
        home = dagster_home(settings)
        return {
            name: {"module": module, "class": kind, "config": {"base_dir": str(home / folder)}}
            for name, (module, kind, folder) in _SQLITE.items()
        }
    if importlib.util.find_spec("dagster_postgres") is None:
        raise ConfigError(
            f"{POSTGRES_URL} is set, but dagster-postgres is not installed",
            hint="install the version for this Dagster: pip install 'dagster-postgres~=0.29.27'; or unset the variable",
        )
    return {"storage": {"postgres": {"postgres_url": {"env": POSTGRES_URL}}}}
