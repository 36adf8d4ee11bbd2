"""docker-compose.yml against the code: it cannot be started where there is no Docker, so what it names must exist."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from contracts.settings import Settings
from tests.deploy.reading import COMPOSE, ENGINES, ONCE, OURS, ROOT, SERVICES, example, image_environment, variables

TEXT = (ROOT / "docker-compose.yml").read_text()


def is_command(words: list[str]) -> bool:
    """Whether our code has it: a module that can be run, or a command of `headwater`."""
    if words[:2] == ["python", "-m"]:
        spec = importlib.util.find_spec(words[2])
        runs = importlib.util.find_spec(f"{words[2]}.__main__") if spec and spec.submodule_search_locations else spec
        return runs is not None and ROOT in Path(str(runs.origin)).parents
    if words[:1] != ["headwater"]:
        return False
    from headwater.__main__ import app

    command: Any = typer.main.get_command(app)
    for word in words[1:]:
        if word.startswith("-"):
            break
        command = getattr(command, "commands", {}).get(word)
    return command is not None


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened_limited_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"]["max-size"]
    assert service["restart"]
    assert service["tmpfs"]
    check = service["healthcheck"]
    assert check.get("disable", False) is (name in ONCE)
    assert name in ONCE or set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    if name == "bucket":
        assert (service["user"], service["cap_add"], service["network_mode"]) == ("0:0", ["CHOWN"], "none")
    else:
        assert service["user"].partition(":")[0] not in ("", "0", "root")
        assert "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_to_a_whole_version(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), SERVICES[name]["image"]
    assert ("build" in SERVICES[name]) is (name in OURS)


def test_versions_are_those_that_the_tests_run_against() -> None:
    from scripts.engines import kafka, opensearch, s3

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert SERVICES["opensearch"]["image"].endswith(f":{opensearch.VERSION}")
    assert SERVICES["s3"]["image"] == f"versity/versitygw:{s3.VERSION}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_of_ours_exists(name: str) -> None:
    known = {f"HEADWATER_{field.upper()}" for field in Settings.model_fields}
    ours = {key for key in SERVICES[name].get("environment", {}) if key.startswith("HEADWATER_")}
    assert ours <= known
    assert bool(ours) is (name in OURS and name != "bucket")


def test_every_variable_is_in_the_example_and_secrets_have_no_default() -> None:
    used, shown = variables(TEXT), example()
    assert set(used) <= set(shown)
    secrets = {name for name in used if re.search("PASSWORD|SECRET|ACCESS_KEY", name)}
    assert secrets == {"HEADWATER_S3_ACCESS_KEY", "HEADWATER_S3_SECRET_KEY", "GRAFANA_ADMIN_PASSWORD"}
    for name in secrets:
        assert used[name].startswith(":?"), f"{name} must be asked for"
        assert shown[name] == "", f"{name} must be chosen by whoever deploys"
    for name, rest in used.items():
        if rest.startswith(":-") and shown[name]:
            assert rest == f":-{shown[name]}", name


def test_what_the_example_names_is_a_setting_or_used_here() -> None:
    known = {f"HEADWATER_{field.upper()}" for field in Settings.model_fields}
    assert set(example()) <= known | set(variables(TEXT))


def test_every_command_is_one_of_the_code() -> None:
    for name in ("ingest", "query", "flow", "batch", "topics"):
        assert is_command(SERVICES[name]["command"]), SERVICES[name]["command"]
    assert is_command([*SERVICES["cli"]["entrypoint"], *SERVICES["cli"]["command"]])
    assert not is_command(["python", "-m", "no_such_module"])
    assert not is_command(["headwater", "topics", "no_such_command"])


def test_published_ports_are_on_this_machine_alone_and_listened_on() -> None:
    listened = {"ingest": image_environment()["HEADWATER_PORT"], "query": image_environment()["HEADWATER_PORT"]}
    listened["batch"] = str(Settings.model_fields["dagster_port"].default)
    published = []
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            host, inner = re.fullmatch(r"(.+):\$\{\w+:-\d+\}:(\d+)", port).groups()  # type: ignore[union-attr] # fails if not
            assert host == ("127.0.0.1" if name == "batch" else "${PUBLISH_ADDRESS:-127.0.0.1}")
            assert inner == listened.get(name, "3000")
            published.append(name)
    assert published == ["ingest", "query", "batch", "grafana"]
    assert "HEADWATER_PORT" not in {key for service in SERVICES.values() for key in service.get("environment", {})}


def test_engines_are_in_a_network_without_a_way_in_or_out() -> None:
    assert COMPOSE["networks"]["engines"]["internal"] is True
    for name in ENGINES:
        assert SERVICES[name]["networks"] == ["engines"]
        assert "ports" not in SERVICES[name]
    used = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert used == set(COMPOSE["networks"])


def test_the_urls_lead_to_services_that_listen_there() -> None:
    settings = SERVICES["ingest"]["environment"]
    for key in ("HEADWATER_BUS_URL", "HEADWATER_HOT_URL", "HEADWATER_S3_ENDPOINT"):
        host, port = re.fullmatch(r"\w+://([\w-]+):(\d+)", settings[key]).groups()  # type: ignore[union-attr] # fails if not
        assert port in SERVICES[host]["expose"], settings[key]
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith("//kafka:9092")
    assert SERVICES["s3"]["environment"]["VGW_PORT"] == ":7070"
    bucket = settings["HEADWATER_LAKE_URL"].removeprefix("s3://").partition("/")[0]
    assert f"mkdir -p /buckets/{bucket} " in SERVICES["bucket"]["command"][-1]
    assert SERVICES["flow"]["expose"] == [SERVICES["flow"]["environment"]["BYTEWAX_DATAFLOW_API_PORT"]]
    for name in ("query", "flow", "batch", "topics", "cli"):
        assert settings.items() <= SERVICES[name]["environment"].items(), f"{name} has other stores"


def test_every_volume_is_declared_and_used_and_every_file_exists() -> None:
    mounted = {volume for service in SERVICES.values() for volume in service.get("volumes", [])}
    sources = {volume.partition(":")[0] for volume in mounted}
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])
    for source in sources:
        assert not source.startswith("./") or (ROOT / source).is_dir(), source
    for name in ("ingest", "query"):
        assert SERVICES[name]["volumes"] == [f"data:{image_environment()['HEADWATER_DATA_DIR']}:ro"]
    for name in ("flow", "batch", "cli"):
        assert SERVICES[name]["volumes"] == [f"data:{image_environment()['HEADWATER_DATA_DIR']}"]


def test_what_is_waited_for_can_happen() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert not SERVICES[other]["healthcheck"].get("disable")
            else:
                assert how["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"].startswith("on-failure")


def test_queries_fit_into_their_memory() -> None:
    limit = SERVICES["query"]["deploy"]["resources"]["limits"]["memory"]
    fields = Settings.model_fields
    needed = fields["query_concurrency"].default * fields["query_memory_mib"].default
    assert int(limit.removesuffix("M")) >= needed + 256
    for name, heap in (("kafka", "KAFKA_HEAP_OPTS"), ("opensearch", "OPENSEARCH_JAVA_OPTS")):
        assert "-Xmx" in SERVICES[name]["environment"][heap]


def test_grafana_reads_the_indexes_that_the_hot_store_makes() -> None:
    environment = SERVICES["grafana"]["environment"]
    plugin, _, version = environment["GF_PLUGINS_PREINSTALL_SYNC"].partition("@")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/headwater.yaml").read_text())[
        "datasources"
    ]
    prefix = Settings.model_fields["opensearch_prefix"].default
    assert f"-{prefix}-*," in SERVICES["opensearch"]["environment"]["action.auto_create_index"]
    fields = json.loads((ROOT / "lakehouse/hot/opensearch/index_templates/records.json").read_text())["template"][
        "mappings"
    ]["properties"]
    for source, kind in zip(sources, ("logs", "metrics", "events"), strict=True):
        own = json.loads((ROOT / f"lakehouse/hot/opensearch/index_templates/{kind}.json").read_text())["template"][
            "mappings"
        ]["properties"]
        data = source["jsonData"]
        assert source["type"] == plugin
        assert source["url"] == SERVICES["ingest"]["environment"]["HEADWATER_HOT_URL"].replace(
            "opensearch:", "http:", 1
        )
        assert data["database"] == f"{prefix}-{kind}-*"
        assert data["timeField"] in fields
        assert data["logMessageField"] in own
        assert data["version"] == SERVICES["opensearch"]["image"].partition(":")[2]


def test_make_compose_up_without_docker_says_what_to_do(tmp_path: Path) -> None:
    targets = (ROOT / "Makefile").read_text()
    assert re.findall(r"^compose-(\w+):.*\n\t@deploy/compose (\w+)$", targets, re.MULTILINE) == [
        ("up", "up"),
        ("down", "down"),
    ]
    for tool in ("bash", "dirname", "env"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([ROOT / "deploy/compose", "up"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Docker is not installed" in done.stderr
    assert "make run" in done.stderr
