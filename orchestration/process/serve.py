"""The batch tiers as one process: settings -> Dagster's daemon, its code server and its UI, as threads.

    python -m orchestration

One process, because each process that imports Dagster costs 110 MiB. Every run has its own process. Delivery: the next
start reports interrupted runs as failed and retries them; every job may be repeated. A second process on the same data
folder is refused. Not handled: keys, which is why the UI listens on 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import FuturesAwareThreadPoolExecutor
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.controller import DagsterDaemonController, create_daemons_from_instance
from dagster._grpc.server import DagsterApiServer, DagsterGrpcServer
from dagster._utils.log import configure_loggers
from dagster_webserver.cli import host_dagster_ui_with_workspace_process_context

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.upkeep.care import Care
from orchestration.days import first_day, note_first_day
from orchestration.failures.alerts import post_due, tell_untold
from orchestration.failures.retries import retry_passed_over
from orchestration.failures.ticks import tell_failed_ticks
from orchestration.holder import hold
from orchestration.process.instance import prepare
from orchestration.process.leftovers import end_leftovers
from orchestration.resources import Upkeep

LOCATION = "headwater"
MODULE = "orchestration.definitions"
ROOT = Path(__file__).resolve().parents[2]
CODE_THREADS = 8  # for evaluations of schedules and sensors, and for requests of the UI
LOOK_S = 1.0
LOOKS_OF_FAILURES = 60


class _OurCode(WorkspaceLoadTarget):
    """The one code location, behind a socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create_origins(self) -> list[GrpcServerCodeLocationOrigin]:
        return [GrpcServerCodeLocationOrigin(host="localhost", socket=str(self._path), location_name=LOCATION)]


def serve(settings: Settings) -> int:
    """Block until SIGTERM or SIGINT (0), or until a part has ended by itself (1).

    Raises:
        ConfigError: Another process holds this folder, or the storage cannot be used.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    port = settings.dagster_port or _free_port(settings.dagster_host)
    os.environ["HEADWATER_DAGSTER_PORT"] = str(port)  # runs link to this port, and a restart keeps it
    hold(settings.data, f"http://{settings.dagster_host}:{port}")
    home = prepare(settings)
    _note_first_day(settings)
    warnings.simplefilter("ignore")
    configure_loggers(formatter="json", log_level="INFO")
    with ExitStack() as stack:
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        end_leftovers(instance, "the process of this run ended without a result")
        path = home / "code.sock"
        path.unlink(missing_ok=True)
        code = _code_server(instance, path)
        parts = [_thread("code", code.serve)]
        workspace = stack.enter_context(WorkspaceProcessContext(instance, _OurCode(path)))
        controller = DagsterDaemonController(workspace, create_daemons_from_instance(instance))
        parts.append(_thread("daemon", controller.check_daemon_loop))
        host = settings.dagster_host
        parts.append(
            _thread("ui", lambda: host_dagster_ui_with_workspace_process_context(workspace, host, port, "", "warning"))
        )
        _thread("alerts", lambda: _post_alerts(settings, stop))
        gc.freeze()
        _watch(settings, workspace, parts, stop)
        ended = [part.name for part in parts if not part.is_alive()]
        if ended:
            logging.getLogger("dagster").error("%s ended by itself; see the lines above", ", ".join(ended))
        _end_now(instance, 1 if ended and not stop.is_set() else 0)
    return 0


def _watch(
    settings: Settings, workspace: WorkspaceProcessContext, parts: Sequence[threading.Thread], stop: threading.Event
) -> None:
    """Watch until the stop, or until a part has ended. Restarts this process after an import of older days."""
    began, looks = first_day(settings), 0
    while not stop.wait(LOOK_S) and all(part.is_alive() for part in parts):
        if first_day(settings) < began and not multiprocessing.active_children():
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  (the same command)
        looks += 1
        if looks % LOOKS_OF_FAILURES == 0:
            _look_for_failures(workspace)


def _look_for_failures(workspace: WorkspaceProcessContext) -> None:
    """Look for failures and raise alerts. An exception is logged, and the daemon goes on."""
    upkeep = Upkeep()
    looks: Mapping[str, Callable[[], int]] = {
        "runs that were passed over": lambda: retry_passed_over(workspace, upkeep),
        "failed schedules and sensors": lambda: tell_failed_ticks(workspace.instance, upkeep),
        "undelivered alerts": lambda: tell_untold(upkeep),
    }
    for what, look in looks.items():
        try:
            look()
        except Exception:
            logging.getLogger("dagster").exception("%s could not be handled", what)


def _post_alerts(settings: Settings, stop: threading.Event) -> None:
    """Post alerts on an own thread, so that a webhook without an answer delays nothing else."""
    while not stop.wait(LOOK_S):
        try:
            post_due(settings)
        except Exception:
            logging.getLogger("dagster").exception("alerts could not be posted")


def _note_first_day(settings: Settings) -> None:
    with contextlib.suppress(StoreError), contextlib.closing(Care(settings)) as care:  # lake outage: the old note stays
        note_first_day(care)


def _end_now(instance: dg.DagsterInstance, code: int) -> None:
    """Kill the runs, which may be repeated, and exit without waiting for open pages."""
    for process in multiprocessing.active_children():
        process.kill()
    end_leftovers(instance, "the batch tiers were stopped while this run was at work", canceled=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _code_server(instance: dg.DagsterInstance, path: Path) -> DagsterGrpcServer:
    logger = logging.getLogger("dagster.code_server")
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE, working_directory=str(ROOT))
    end = threading.Event()
    threads = FuturesAwareThreadPoolExecutor(max_workers=CODE_THREADS)
    api = DagsterApiServer(end, logger, threads, target, instance_ref=instance.get_ref(), location_name=LOCATION)
    return DagsterGrpcServer(end, api, logger, threads, socket=str(path))


def _thread(name: str, work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
