"""Engines under a benchmark: started by `scripts.engines`, or named by URL -> settings, and what they use themselves.

Names on the engines (prefix of topics, of indexes, of keys) are the run's own. CPU and memory are known of engines on
this machine, which are found by the port that they listen at; disk of those that were started here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.processes import Meter
from scripts.engines import kafka, opensearch, s3

NAMES = ("kafka", "opensearch", "s3")
HEAP_MIB = 1024
_STORES = {"kafka": "bus", "opensearch": "hot", "s3": "lake"}


@dataclass
class Engines:
    """`environment` points our processes at them; `meters` and `homes` are by name, of those on this machine."""

    environment: dict[str, str] = field(default_factory=dict)
    meters: dict[str, Meter] = field(default_factory=dict)
    homes: dict[str, Path] = field(default_factory=dict)

    def cpu_s(self) -> dict[str, float]:
        return {name: meter.cpu_s() for name, meter in self.meters.items()}

    def disk_bytes(self) -> dict[str, int]:
        """By store: "bus", "hot", "lake"; as allocated, since Kafka makes its index files larger than they are."""
        return {_STORES[name]: _allocated(home) for name, home in self.homes.items()}

    def watch(self, name: str, port: int) -> None:
        """Measure who listens at `port` of this machine."""
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.pid and each.laddr and each.laddr.port == port:
                self.meters[name] = Meter()
                self.meters[name].watch(each.pid, name)
                return

    def close(self) -> None:
        for meter in self.meters.values():
            meter.close()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engines",
        nargs="*",
        choices=NAMES,
        metavar="NAME",
        help=f"start these for the run (all of {' '.join(NAMES)})",
    )
    parser.add_argument("--bus-url", default=os.environ.get("HEADWATER_BUS_URL", ""), help="[HEADWATER_BUS_URL]")
    parser.add_argument("--hot-url", default=os.environ.get("HEADWATER_HOT_URL", ""), help="[HEADWATER_HOT_URL]")
    parser.add_argument("--lake-url", default=os.environ.get("HEADWATER_LAKE_URL", ""), help="[HEADWATER_LAKE_URL]")


@contextlib.contextmanager
def engines(options: argparse.Namespace, folder: Path) -> Iterator[Engines]:
    """As the options say; with none of them everything is embedded."""
    found = Engines()
    urls = {"bus": options.bus_url, "hot": options.hot_url, "lake": options.lake_url}
    with contextlib.ExitStack() as stack:
        stack.callback(found.close)
        if options.engines is not None:
            _start(stack, options.engines or NAMES, folder, urls, found)
        _point(urls, found.environment)
        for name, port in _ports(found.environment).items():
            found.watch(name, port)
        yield found


def _start(
    stack: contextlib.ExitStack, names: Sequence[str], folder: Path, urls: dict[str, str], found: Engines
) -> None:
    for name in names:
        home = folder / name
        found.homes[name] = home
        if name == "kafka":
            urls["bus"] = stack.enter_context(kafka.running(home=home, heap_mib=HEAP_MIB)).url
        elif name == "opensearch":
            urls["hot"] = stack.enter_context(opensearch.running(home=home, heap_mib=HEAP_MIB)).url
        else:
            server = stack.enter_context(s3.running(home=home))
            urls["lake"] = server.url
            found.environment.update(server.environment)


def _point(urls: dict[str, str], environment: dict[str, str]) -> None:
    run = f"bench{secrets.token_hex(4)}"
    bus, hot, lake = urls["bus"], urls["hot"], urls["lake"]
    if bus.startswith("kafka://"):
        environment |= {"HEADWATER_BUS_URL": f"{bus.rstrip('/')}/{run}", "HEADWATER_BUS_GROUP": run}
    if hot.startswith("opensearch"):
        environment |= {"HEADWATER_HOT_URL": hot, "HEADWATER_OPENSEARCH_PREFIX": run}
    if lake.startswith("s3"):
        environment["HEADWATER_LAKE_URL"] = f"{lake.rstrip('/')}/{run}"
    # Nothing embedded is taken from the caller's environment: it would be the caller's data.
    for name, url in (("BUS", bus), ("HOT", hot), ("LAKE", lake)):
        if not url or f"HEADWATER_{name}_URL" not in environment:
            environment[f"HEADWATER_{name}_URL"] = ""


def _ports(environment: dict[str, str]) -> dict[str, int]:
    """Of engines on this machine, by name."""
    places = {"kafka": environment["HEADWATER_BUS_URL"], "opensearch": environment["HEADWATER_HOT_URL"]}
    if environment["HEADWATER_LAKE_URL"]:
        seen = {**os.environ, **environment}
        places["s3"] = seen.get("HEADWATER_S3_ENDPOINT") or seen.get("AWS_ENDPOINT_URL", "")
    found = {}
    for name, url in places.items():
        parts = urlsplit(url.split(",")[0])
        if parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port:
            found[name] = parts.port
    return found


def _allocated(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += file.stat().st_blocks * 512 if file.is_file() else 0
    return total
