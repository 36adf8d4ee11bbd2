from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.containers import container_of, workload

UID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
ID = "c0ffee00" * 8


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("checkout-7d9c5b8f4d-x2x7k", "checkout"),
        ("checkout-api-6bb4cf9f5-zzv4w", "checkout-api"),
        ("node-exporter-4vj2k", "node-exporter"),
        ("job-mgr-4vj2k", "job-mgr"),
        ("postgres-0", "postgres"),
        ("report-29401320-wq8zx", "report"),
        ("etcd-control-plane", "etcd-control-plane"),
        ("nginx", "nginx"),
        ("web-nginx", "web-nginx"),
    ],
)
def test_the_service_of_a_pod_is_what_made_it(pod: str, service: str) -> None:
    assert workload(pod) == service


def test_the_path_of_a_pod_says_namespace_pod_container_and_restarts() -> None:
    found = container_of(f"/var/log/pods/shop_checkout-7d9c5b8f4d-x2x7k_{UID}/app/3.log")

    assert found.attributes == {
        "k8s.namespace.name": "shop",
        "k8s.pod.name": "checkout-7d9c5b8f4d-x2x7k",
        "k8s.container.name": "app",
        "k8s.pod.uid": UID,
        "k8s.container.restart_count": 3,
    }
    assert found.service == "checkout"


def test_a_rotated_file_of_a_static_pod_is_of_its_pod() -> None:
    found = container_of(
        "/var/log/pods/kube-system_etcd-node1_5dbd4fb1b0c5b9e3a1b2c3d4e5f60718/etcd/0.log.20261130-194007"
    )

    assert found.attributes["k8s.pod.name"] == "etcd-node1"


def test_a_link_of_kubernetes_adds_the_id_to_what_its_pod_says(tmp_path: Path) -> None:
    pod = tmp_path / "pods" / f"shop_cart-0_{UID}" / "app"
    pod.mkdir(parents=True)
    (pod / "0.log").touch()
    link = tmp_path / "containers" / f"cart-0_shop_app-{ID}.log"
    link.parent.mkdir()
    link.symlink_to(pod / "0.log")

    found = container_of(str(link))

    assert (found.attributes["container.id"], found.attributes["k8s.pod.uid"]) == (ID, UID)
    assert found.service == "cart"


def docker(folder: Path, config: object) -> str:
    home = folder / "containers" / ID
    home.mkdir(parents=True)
    (home / "config.v2.json").write_text(config if isinstance(config, str) else json.dumps(config))
    log = home / f"{ID}-json.log"
    log.touch()
    return str(log)


def test_docker_says_name_image_and_service_of_compose(tmp_path: Path) -> None:
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "maintainer": "x"}
    path = docker(tmp_path, {"Name": "/shop-web-1", "Config": {"Image": "nginx:1.29", "Labels": labels}, "State": {}})

    found = container_of(path)

    assert found.attributes == {
        "container.id": ID,
        "container.name": "shop-web-1",
        "container.image.name": "nginx:1.29",
        "container.label.com.docker.compose.project": "shop",
        "container.label.com.docker.compose.service": "web",
    }
    assert found.service == "web"


@pytest.mark.parametrize("config", ["", "{", "[]", {"Name": 7}, {"Name": "/x", "Config": None}])
def test_a_damaged_description_leaves_the_id(tmp_path: Path, config: object) -> None:
    assert container_of(docker(tmp_path, config)).attributes == {"container.id": ID}


@pytest.mark.parametrize("path", ["/var/log/syslog", "/srv/a_b_c/d/0.log", "/var/log/containers/x.log", "/x_y_z-1.log"])
def test_other_files_say_nothing(path: str) -> None:
    assert container_of(path).attributes == {}
    assert container_of(path).service == ""
