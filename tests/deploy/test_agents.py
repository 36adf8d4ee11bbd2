"""The unit and the manifest of agents: what they name must exist, and the config in them must be right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agents import load_config
from contracts.settings import Settings
from headwater.__main__ import app
from tests.deploy.reading import ROOT

UNIT = (ROOT / "deploy" / "headwater-agent.service").read_text()
MANIFEST: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes-agent.yaml").read_text()))
SET, CONFIG = MANIFEST[2], MANIFEST[1]
POD: dict[str, Any] = SET["spec"]["template"]["spec"]
CONTAINER: dict[str, Any] = POD["containers"][0]


def settings_named(names: list[str]) -> set[str]:
    return {name.removeprefix("HEADWATER_").lower() for name in names} - Settings.model_fields.keys()


@pytest.mark.parametrize(
    "command", [re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)[0], " ".join(CONTAINER["command"])]
)
def test_the_command_of_the_agent_exists_with_its_options(command: str) -> None:
    words = shlex.split(command)[1:]
    shown = CliRunner().invoke(app, [*words[:2], "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert not [word for word in words if word.startswith("--") and word not in shown.output]


def test_settings_exist() -> None:
    assert not settings_named(re.findall(r"HEADWATER_[A-Z_]+", UNIT))
    assert not settings_named([each["name"] for each in CONTAINER["env"]])


def test_the_config_of_the_manifest_is_right_and_leaves_out_the_agents_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG["data"]["agent.toml"])

    config = load_config(path)

    assert config.metrics is not None
    assert f"/var/log/containers/{SET['metadata']['name']}-*.log" in config.logs[0].exclude


def test_every_volume_is_mounted_and_the_logs_of_the_node_only_for_reading() -> None:
    mounts = {each["name"]: each for each in CONTAINER["volumeMounts"]}
    assert mounts.keys() == {each["name"] for each in POD["volumes"]}
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} == {"state", "tmp"}
    state = next(each["value"] for each in CONTAINER["env"] if each["name"] == "HEADWATER_AGENT_DIR")
    assert mounts["state"]["mountPath"] == state
    assert SET["spec"]["selector"]["matchLabels"].items() <= SET["spec"]["template"]["metadata"]["labels"].items()


def test_the_key_comes_from_a_secret() -> None:
    key = next(each for each in CONTAINER["env"] if each["name"] == "HEADWATER_API_KEY")
    assert key["valueFrom"]["secretKeyRef"]["name"] == "headwater-agent"
