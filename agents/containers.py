"""Containers: the path of a log file of Kubernetes, Docker or Podman -> attributes of its container, and a service.

The names are those of OpenTelemetry's resource conventions (`k8s.*`, `container.*`).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agents.lines import Scalar

# /var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log, and rotated: <restarts>.log.20261130-194007[.gz]
_POD = re.compile(
    r"/(?P<namespace>[a-z0-9.-]+)_(?P<pod>[a-z0-9.-]+)_(?P<uid>[0-9a-fA-F-]{16,64})"
    r"/(?P<container>[a-z0-9.-]+)/(?P<restarts>\d+)\.log[^/]*\Z"
)
# /var/log/containers/<pod>_<namespace>_<container>-<id>.log
_LINK = re.compile(
    r"/(?P<pod>[a-z0-9.-]+)_(?P<namespace>[a-z0-9.-]+)_(?P<container>[a-z0-9.-]+)-(?P<id>[0-9a-f]{64})\.log[^/]*\Z"
)
_DOCKER = re.compile(r"/containers/(?P<id>[0-9a-f]{64})/(?P=id)-json\.log[^/]*\Z")
_PODMAN = re.compile(r"/overlay-containers/(?P<id>[0-9a-f]{64})/userdata/ctr\.log[^/]*\Z")

# Kubernetes makes the random ends of names of these letters: no vowels, so that no words come out.
# Source: k8s.io/apimachinery, util/rand.
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
_OWNED = (
    re.compile(
        rf"(?P<owner>.+)-{_RANDOM}{{7,10}}-{_RANDOM}{{5}}\Z"
    ),  # Deployment: hash of the replica set, then the pod
    re.compile(rf"(?P<owner>.+)-\d{{8,10}}-{_RANDOM}{{5}}\Z"),  # CronJob: minute of its run, then the pod
    re.compile(rf"(?P<owner>.+)-{_RANDOM}{{5}}\Z"),  # DaemonSet, Job
    re.compile(r"(?P<owner>.+)-\d{1,4}\Z"),  # StatefulSet
)
_COMPOSE = ("com.docker.compose.project", "com.docker.compose.service")
_MOST_BYTES = 1 << 20  # of Docker's file about a container


@dataclass(frozen=True, slots=True)
class Container:
    """Scalars of a container, and the service that its records belong to if nobody names one ("": unknown)."""

    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    service: str = ""


NOWHERE = Container()


def container_of(path: str) -> Container:
    """The container that writes the log file at `path`; empty for any other file.

    Kubernetes links `/var/log/containers/…` to `/var/log/pods/…`, and with Docker further on to Docker's own file: each
    of these paths adds what it says. Docker's `config.v2.json` beside the log is read if that is allowed.
    """
    found = _of_path(path)
    real = os.path.realpath(path)
    if real == path:
        return found
    behind = _of_path(real)
    attributes = {**behind.attributes, **found.attributes}
    pod = found.service if "k8s.pod.name" in found.attributes else ""
    return Container(attributes, pod or behind.service or found.service)


def _of_path(path: str) -> Container:
    if match := _POD.search(path):
        attributes = {**_pod(match), "k8s.pod.uid": match["uid"], "k8s.container.restart_count": int(match["restarts"])}
        return Container(attributes, workload(match["pod"]))
    if match := _LINK.search(path):
        return Container({**_pod(match), "container.id": match["id"]}, workload(match["pod"]))
    if match := _DOCKER.search(path):
        return _docker(match["id"], str(Path(path).with_name("config.v2.json")))
    if match := _PODMAN.search(path):
        return Container({"container.id": match["id"]})
    return NOWHERE


def _pod(match: re.Match[str]) -> dict[str, Scalar]:
    return {
        "k8s.namespace.name": match["namespace"],
        "k8s.pod.name": match["pod"],
        "k8s.container.name": match["container"],
    }


def workload(pod: str) -> str:
    """The name of what made the pod (Deployment, CronJob, DaemonSet, Job, StatefulSet), as far as its name says."""
    for form in _OWNED:
        if match := form.match(pod):
            return match["owner"]
    return pod


class _Config(msgspec.Struct):
    Image: str = ""
    Labels: dict[str, Any] | None = None


class _Described(msgspec.Struct):
    """The part of `config.v2.json` that is used."""

    Name: str = ""
    Config: _Config = msgspec.field(default_factory=_Config)


_decode = msgspec.json.Decoder(_Described).decode


@functools.lru_cache(maxsize=1024)
def _docker(id_: str, path: str) -> Container:
    attributes: dict[str, Scalar] = {"container.id": id_}
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - bounded read
            described = _decode(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return Container(attributes)
    name = described.Name.removeprefix("/")
    labels = described.Config.Labels or {}
    if name:
        attributes["container.name"] = name
    if described.Config.Image:
        attributes["container.image.name"] = described.Config.Image
    for label in _COMPOSE:
        if type(labels.get(label)) is str:
            attributes[f"container.label.{label}"] = labels[label]
    return Container(attributes, str(attributes.get(f"container.label.{_COMPOSE[1]}", name)))
