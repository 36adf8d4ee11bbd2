"""What is declared of the tables is described, and fits the frames."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.messages import Kind
from orchestration.assets.expectations import declared

ROOT = Path(__file__).resolve().parents[2]
DESCRIBED = re.findall(
    r"^\| `(\w+)` \| ([\w, ]+) \| (ERROR|WARN) \|", (ROOT / "docs/quality.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("kind", Kind)
def test_every_declared_check_is_in_the_docs_with_its_severity_and_tables(kind: Kind) -> None:
    expectations = declared(kind.value)

    described = {name: severity for name, tables, severity in DESCRIBED if tables == "all" or kind.value in tables}
    assert {each.check: each.severity.value for each in expectations} == described
    assert len({each.check for each in expectations}) == len(expectations)
    assert all(each.at_least is not None or each.at_most is not None for each in expectations)
