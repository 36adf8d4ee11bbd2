"""The agent as a whole: files -> requests that a real HTTP server has seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.agents.server import Sink


def test_lines_of_a_file_arrive_in_order_with_the_names_of_their_origin(
    sink: Sink, ship: Callable[..., int], tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("one\ntwo\r\n\nthree\n")

    assert ship(log) == 0

    assert sink.bodies() == ["one", "two", "three"]
    record = sink.taken[0].records()[0]
    assert isinstance(record.pop("observed_timestamp"), int)
    assert record == {
        "body": "one",
        "service": "shop",
        "env": "test",
        "host": "h1",
        "attributes": {"log.file.name": "app.log", "log.file.path": str(log)},
    }
