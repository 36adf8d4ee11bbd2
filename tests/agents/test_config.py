from __future__ import annotations

from pathlib import Path

import pytest

from agents.config import load_config
from contracts.errors import ConfigError

WHOLE = """\
name = "edge"
env = "prod"
timezone = "Europe/Berlin"
attributes = { site = "b1" }

[[logs]]
path = ["/var/log/nginx/*.log"]
exclude = ["/var/log/nginx/debug*"]
from = "end"
multiline = "none"
service = "nginx"
attributes = { team = "web" }

[[logs]]
path = ["/srv/app/{a,b}.log"]
timezone = "+05:30"
env = "test"

[[journald]]
unit = ["ssh.service"]

[metrics]
interval = 5
"""


def config_of(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_values_at_the_top_hold_for_inputs_that_give_none(tmp_path: Path) -> None:
    config = load_config(config_of(tmp_path, WHOLE))

    nginx, app = config.logs
    assert (nginx.env, nginx.timezone, nginx.attributes) == ("prod", "Europe/Berlin", {"site": "b1", "team": "web"})
    assert (nginx.begin, nginx.multiline, nginx.exclude) == ("end", "none", ("/var/log/nginx/debug*",))
    assert (app.env, app.timezone, app.begin, app.multiline) == ("test", "+05:30", "start", "auto")
    assert config.journald[0].unit == ("ssh.service",)
    assert config.metrics is not None
    assert (config.metrics.interval, config.metrics.env) == (5, "prod")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[[logs]]\npath = ["a"]\n[[logs]]\npaht = ["a"]\n', 4, ['"paht"', "is unknown", "path"]),
        ('pollrate = 1\n[[logs]]\npath = ["a"]\n', 1, ['"pollrate"', "is unknown", "timezone"]),
        ("[[logs]]\nservice = 'x'\n", 1, ['"path"', "is missing"]),
        ("[[logs]]\npath = '/x/*.log'\n", 2, ["is a text", 'path = ["/x/*.log"]']),
        ('[[logs]]\npath = ["a"]\nfrom = "middle"\n', 3, ['"from"', "middle"]),
        ('[[logs]]\npath = ["a"]\nmultiline = "("\n', 3, ['"multiline"']),
        ('[[logs]]\npath = ["a"]\n\n[[logs]]\npath = ["b"]\ntimezone = "Mars/Base"\n', 6, ['"timezone"', "Mars/Base"]),
        ('[[logs]]\npath = ["a", "b"]\nexclude = ["b"]\n', 3, ['"exclude"', '"b"']),
        ('[[logs]]\npath = ["a"]\nattributes = 5\n', 3, ['"attributes"', "object"]),
        ("[metrics]\ninterval = 0\n", 2, ['"interval"', "positive"]),
        ("[metrics]\ninterval = 'soon'\n", 2, ['"interval"', "float"]),
        ("logs = 3\n", 1, ['"logs"', "array"]),
        ("[[journald]]\n[[journald]]\nunit = ['x']\n", 2, ["read by an input above"]),
        ('name = "a/b"\n[metrics]\n', 1, ['"name"', "not allowed"]),
    ],
)
def test_a_wrong_option_is_refused_with_file_line_and_key(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    path = config_of(tmp_path, text)

    with pytest.raises(ConfigError) as refused:
        load_config(path)

    told = f"{refused.value} {refused.value.hint}"
    assert f'config "{path}", line {line}, ' in told, told
    assert not [word for word in words if word not in told], told


@pytest.mark.parametrize(
    ("text", "word"), [("", "no input"), ("[[logs]\n", "is no TOML"), ("name = 'x'\n", "no input")]
)
def test_a_config_that_reads_nothing_is_refused(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        load_config(config_of(tmp_path, text))


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "agent.toml")
