"""`headwater up`: settings -> a data folder held, first keys, and the supervisor of API and flow.

Everything that can be refused is refused here, before anything starts; then this process becomes
`headwater.supervision.supervisor` (exec), so that what stays in memory is small.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from contracts.errors import ConfigError
from headwater.console import command
from headwater.keyring import default_env, make_first_keys
from headwater.running import hold
from headwater.supervision.child import environment
from headwater.supervision.engines import engines_of, wait_for
from headwater.supervision.flow import STARTED
from headwater.supervision.plan import StartPlan, write_plan
from headwater.supervision.ports import take_port
from headwater.supervision.supervised import Spec
from lakehouse.upkeep.policy.file import load_policy

if TYPE_CHECKING:
    from contracts.settings import Settings

STOP_BATCH_S = 1.0
STOP_API_S = 3.0
STOP_FLOW_S = 5.5  # together under the 10 s in which `up` promises to be gone
LEAN = {"MALLOC_ARENA_MAX": "2"}  # many threads that wait: an arena of each would only hold memory


def up(settings: Settings, verbose: bool, batch: bool = True) -> NoReturn:
    """Does not return: ends in the supervisor.

    Raises:
        ConfigError: The folder cannot be written or is held, the port cannot be had, or an engine can never serve, as
            an S3 server that would lose commits.
    """
    load_policy(settings)  # what it refuses is refused before anything starts
    _make_folder(settings)
    engines = engines_of(settings)
    port = take_port(settings.host, settings.port)
    url = f"http://{_reachable(settings.host)}:{port}"
    ui = _take_batch_port(settings) if batch else 0
    ui_url = f"http://{_reachable(settings.dagster_host)}:{ui}" if ui else ""
    descriptor = hold(settings.data, url, ui_url)
    os.set_inheritable(descriptor, True)
    made = make_first_keys(settings, url)
    print(f"Headwater on {url}, data in {settings.data}", flush=True)
    if any(engine.ask for engine in engines):
        wait_for(engines, say=lambda line: print(line, flush=True))
    if made:
        print(f"first start: made tenant default; its keys are in {default_env(settings)}")
    print("starting the API and the flow …", flush=True)
    plan = StartPlan(children(settings, port, verbose, ui), greeting(settings, url, ui_url), sys.stdout.isatty())
    words = [sys.executable, "-m", "headwater.supervision.supervisor", write_plan(plan)]
    kept = {name: value for name, value in environment().items() if name != "HEADWATER_CHILD_OF"}
    os.execve(sys.executable, words, kept)  # noqa: S606  (our own words, no shell)


def children(settings: Settings, port: int, verbose: bool, batch_port: int = 0) -> tuple[Spec, ...]:
    """In the order in which they are stopped: the API before the flow, so that it can drain what was accepted."""
    env = {
        "HEADWATER_DATA_DIR": str(settings.data),
        "HEADWATER_HOST": settings.host,
        "HEADWATER_PORT": str(port),
    }
    logs = settings.data / "logs"
    apps = tuple(
        Spec(
            name=name,
            command=[sys.executable, "-m", f"headwater.supervision.{module}"],
            env=env,
            log="" if verbose else str(logs / f"{name}.log"),
            probe=(_reachable(settings.host), port) if name == "api" else None,
            ready_line="" if name == "api" else STARTED,
            stop_s=stop_s,
        )
        for name, module, stop_s in (("api", "serve", STOP_API_S), ("flow", "flow", STOP_FLOW_S))
    )
    if not batch_port:
        return apps
    batch = Spec(
        name="batch",
        command=[sys.executable, "-m", "headwater.supervision.batch"],
        env={**env, "HEADWATER_DAGSTER_PORT": str(batch_port), **LEAN},
        log="" if verbose else str(logs / "batch.log"),
        probe=(_reachable(settings.dagster_host), batch_port),
        probe_path="/server_info",
        stop_s=STOP_BATCH_S,
        late=True,
    )
    return (batch, *apps)


def _take_batch_port(settings: Settings) -> int:
    from orchestration.failures.webhook import checked_webhook
    from orchestration.process.instance import configuration

    checked_webhook(settings.alert_webhook_url.get_secret_value())
    configuration(settings)
    try:
        return take_port(settings.dagster_host, settings.dagster_port)
    except ConfigError as error:
        hint = "take another with HEADWATER_DAGSTER_PORT (0 takes a free one), or leave the batch tiers out: --no-batch"
        raise ConfigError(f"the UI of the batch tiers: {error}", hint=hint) from error


def _make_folder(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        (settings.data / "logs").mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f'cannot write the data folder "{settings.data}": {error.strerror}',
            hint="choose another with --data-dir or HEADWATER_DATA_DIR",
        ) from error


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  (compared, not bound)


def greeting(settings: Settings, url: str, batch_url: str = "") -> str:
    """Where to look next."""
    env = default_env(settings)
    keys = str(env) if env.exists() else "headwater keys create --tenant default --role read"
    data = "" if str(settings.data_dir) == "data" else f" --data-dir {settings.data_dir}"
    us = command()
    batch = f"\n  batch UI   {batch_url}" if batch_url else ""
    return f"""
  API page   {url}/docs{batch}
  health     {url}/health/ready    metrics  {url}/metrics
  keys       {keys}
  logs       {settings.data / "logs"}

From another terminal, in this folder:

  load keys  . {env}
  send one   curl {url}/logs -H "X-API-Key: $HEADWATER_INGEST_KEY" -H 'Content-Type: application/json' \\
               -d '[{{"body":"hello","service":"shell","level":"info"}}]'
  ship files HEADWATER_INGEST_URL={url} HEADWATER_API_KEY=$HEADWATER_INGEST_KEY \\
               {us} agent logs --path '/var/log/*.log' --service host
  search     {us} search hello{data}
  status     {us} status{data}

Ctrl-C stops everything.
"""
