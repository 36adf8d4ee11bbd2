"""A retention policy is read strictly: what is refused is named with file, line and reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError
from contracts.messages import Kind
from lakehouse.upkeep.policy.file import lines_of, load_policy, parse_policy
from lakehouse.upkeep.policy.policy import GIB, Policy
from tests.settings import settings

WHOLE = """
[defaults]
hot_days = 3
archive_after_days = 14
keep_days = 400
hot_max_gib = 0.5
lake_max_gib = 20
archive_max_gib = 100

[[rule]]
kind = ["logs", "events"]
tenant = "acme"
keep_days = 30

[[rule]]
kind = "logs"
tenant = "acme"
service = ["api", "web"]
below = "warn"
at_least = "debug"
keep_days = 7
"""


def test_a_policy_holds_what_its_file_says() -> None:
    policy = parse_policy(WHOLE)
    assert (policy.hot_days, policy.archive_after_days, policy.keep_days) == (3, 14, 400)
    assert (policy.hot_max_bytes, policy.lake_max_bytes, policy.archive_max_bytes) == (GIB // 2, 20 * GIB, 100 * GIB)
    wide, narrow = policy.rules
    assert (wide.line, wide.kinds, wide.tenants, wide.services) == (10, {Kind.LOGS, Kind.EVENTS}, {"acme"}, None)
    assert (narrow.line, narrow.services, narrow.severities) == (15, {"api", "web"}, range(5, 13))
    assert narrow.within(wide)


def test_a_severity_selects_logs_and_a_service_whatever_has_one() -> None:
    (quiet,) = parse_policy('[[rule]]\nbelow = "info"\nkeep_days = 1').rules
    (served,) = parse_policy('[[rule]]\nservice = "api"\nkeep_days = 1').rules
    assert quiet.kinds == {Kind.LOGS}
    assert served.kinds == set(Kind) - {Kind.DEAD_LETTERS}


REFUSED = {
    "hot_days = 3": '1: unknown key "hot_days": known are defaults, rule',
    "[defaults]\n\nhot_dayz = 3": '3: unknown key "hot_dayz": did you mean "hot_days"?',
    "[defaults]\n# none\nkeep_days = -1": "3: keep_days must be a whole number of days from 0 to 36500, not -1",
    "[defaults]\nkeep_days = 1.5": "2: keep_days must be a whole number of days from 0 to 36500, not 1.5",
    "[defaults]\nkeep_days = true": "2: keep_days must be a whole number of days from 0 to 36500, not true",
    '[defaults]\nkeep_days = "7"': '2: keep_days must be a whole number of days from 0 to 36500, not "7"',
    "[defaults]\nhot_max_gib = nan": "2: hot_max_gib must be a number of GiB from 0 to 16777216, not nan",
    "[defaults]\nlake_max_gib = -0.1": "2: lake_max_gib must be a number of GiB from 0 to 16777216, not -0.1",
    "defaults = 3": "1: defaults must be a table: begin it with [defaults]",
    "[rule]\nkeep_days = 3": "1: rule must be a list of tables: begin each with [[rule]]",
    '[[rule]]\nkind = "logs"': "1: a rule needs keep_days: days, or 0 for ever",
    "\n[[rule]]\nkeep_days = 3": "2: a rule without conditions is a default: use keep_days of [defaults]",
    '[[rule]]\nkind = "log"\nkeep_days = 1': '2: no kind is named "log": did you mean "logs"?',
    '[[rule]]\nkeep_days = 1\nkinds = "logs"': '3: unknown key "kinds": did you mean "kind"?',
    '[[rule]]\nkeep_days = 1\ntenant = "A\'; --"': '3: tenant name "A\'; --" is not allowed',
    '[[rule]]\nkeep_days = 1\ntenant = [\n  "acme",\n  3\n]': "3: tenant must be a text, or a list of texts",
    "[[rule]]\nkeep_days = 1\nservice = []": "3: service must be a text, or a list of texts with at least one",
    '[[rule]]\nkeep_days = 1\nbelow = "warning"': "3: below must be one of trace, debug, info, warn, error, fatal",
    '[[rule]]\nbelow = "trace"\nkeep_days = 1': "2: no severity is selected",
    '[[rule]]\nkind = "metrics"\nbelow = "info"\nkeep_days = 1': "2: metrics cannot be selected by a severity",
    '[[rule]]\nkind = "dead_letters"\nservice = "a"\nkeep_days = 1': "2: dead_letters cannot be selected by service",
    "[defaults]\nhot_days =": "2: invalid value",
    "[defaults]\nhot_days = 1\nhot_days = 2": "3: cannot overwrite a value",
    "[defaults\nhot_days = 1": "1: expected ']' at the end of a table declaration",
    '[defaults]\nhot_days = """': "2: ",
    "[defaults]\n\nhot_days = 1\nkeep_days = " + "9" * 5000 + "\n\n[[rule]]\n": "4: exceeds the limit (4300 digits)",
    "# one\n[defaults]\nkeep_days = [\n 1,\n " + "9" * 5000 + "\n]\n# end\n": "5: exceeds the limit (4300 digits)",
    "[defaults]\nkeep_days = 0x"
    + "f" * 5000: "2: keep_days must be a whole number of days from 0 to 36500, not a number",
    "[defaults]\nhot_max_gib = 0x"
    + "f" * 5000: "2: hot_max_gib must be a number of GiB from 0 to 16777216, not a number",
    "[defaults]\nkeep_days = "
    + "9" * 4000: "2: keep_days must be a whole number of days from 0 to 36500, not "
    + "9" * 60,
    "[[rule]]\nkeep_days = 1\nbelow = 0x" + "f" * 5000: "3: below must be one of trace, debug",
    "[defaults]\nkeep_days = " + "[" * 9000 + "\n\n": "2: maximum recursion depth exceeded",
    'rule = [\n  {kind = "logs", keep_days = 1},\n  {kind = "logs", keep = 2},\n]': '1: unknown key "keep"',
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_what_is_not_understood_is_refused_with_line_and_reason(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_policy(text, "/etc/retention.toml")
    assert str(refusal.value).startswith(f"/etc/retention.toml:{REFUSED[text]}")
    assert "docs/tiers.md" in refusal.value.hint
    assert len(str(refusal.value)) < 300
    assert "sys." not in str(refusal.value)


OVERLAPPING = """# two that cross
[[rule]]
kind = "logs"
keep_days = 7

# a comment between
[[rule]]
tenant = "acme"
keep_days = {days}
"""


def test_rules_that_cross_with_different_ages_are_refused_at_the_second() -> None:
    with pytest.raises(
        ConfigError, match=r"^retention.toml:7: this rule \(tenant acme: 9 days\) and the one of line 2"
    ):
        parse_policy(OVERLAPPING.format(days=9))
    assert len(parse_policy(OVERLAPPING.format(days=7)).rules) == 2  # of one age: nothing to decide


def test_two_ages_for_the_same_selection_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^retention.toml:4: "):
        parse_policy('[[rule]]\nkind = "logs"\nkeep_days = 1\n[[rule]]\nkind = ["logs"]\nkeep_days = 2')


def test_lines_are_those_of_statements_whatever_their_text_looks_like() -> None:
    text = '[[rule]]\nservice = """\n[[rule]]\nkeep_days = 9"""\n\nkeep_days = 3\n'
    text += '[[rule]]\nkind = [\n "logs",\n]\nkeep_days=1'
    lines = lines_of(text)
    assert lines[("rule", 0, "service")] == 2
    assert lines[("rule", 0, "keep_days")] == 6
    assert lines[("rule", 1)] == 7
    assert lines[("rule", 1, "keep_days")] == 11


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_statement_of_many_lines_is_read_once(newline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0
    loads = tomllib.loads

    def counting(text: str) -> dict[str, Any]:
        nonlocal read
        read += len(text)
        return loads(text)

    text = "[[rule]]\nkeep_days = 3 # days ]\nservice = [\n" + '"a [",\n' * 2000 + "] # end\n\n\nkind = 'logs'"
    text = text.replace("\n", newline)
    monkeypatch.setattr(tomllib, "loads", counting)
    lines = lines_of(text)
    assert read <= len(text)
    assert lines[("rule", 0, "service")] == 3
    assert lines[("rule", 0, "kind")] == 2007


@pytest.mark.parametrize(
    "value",
    [
        '"""one\n"two"\n""three"""""',
        '"""\n\\"""\n[x\n"""',
        "'''\n\\\n[ # \n'''''",
        '""""""',
        "''",
        '"\\"[{#"',
        "'[{#\\'",
        '[{ a = "]", b = [ [ 1, # ]\n 2 ] ] }, # }\n]',
        "2026-01-01T00:00:00.5Z",
    ],
)
def test_lines_are_right_after_every_kind_of_value(value: str) -> None:
    text = f"[defaults]\nhot_days = {value}\n\n# [x\nkeep_days = 1\n"
    lines = lines_of(text)
    assert lines[("defaults", "hot_days")] == 2
    assert lines[("defaults", "keep_days")] == 5 + value.count("\n")


def test_a_key_of_thousands_of_parts_is_refused_by_its_first() -> None:
    with pytest.raises(ConfigError, match=r'^retention.toml:2: unknown key "b"'):
        parse_policy("[defaults]\n" + "b." * 2000 + "c = 1")


def test_the_file_of_the_data_folder_is_read_when_it_is_there(tmp_path: Path) -> None:
    assert load_policy(settings(data_dir=tmp_path)) == Policy()
    (tmp_path / "retention.toml").write_text("[defaults]\nkeep_days = 9")
    found = load_policy(settings(data_dir=tmp_path))
    assert (found.keep_days, found.source) == (9, str(tmp_path / "retention.toml"))


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file") as refusal:
        load_policy(settings(data_dir=tmp_path, retention_file=str(tmp_path / "absent.toml")))
    assert "HEADWATER_RETENTION_FILE" in refusal.value.hint
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(settings(data_dir=tmp_path, retention_file=str(tmp_path / "latin.toml")))


def test_the_example_of_the_docs_is_a_policy() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "tiers.md").read_text()
    example = page.split("```toml\n", 1)[1].split("```", 1)[0]
    policy = parse_policy(example)
    assert (policy.hot_days, policy.archive_after_days, policy.keep_days, len(policy.rules)) == (7, 30, 0, 2)
    assert policy.keep(Kind.LOGS, "acme", "payments", 5) == 90
    assert policy.keep(Kind.LOGS, "acme", "web", 5) == 14
