from __future__ import annotations

from pathlib import Path

from headwater.supervision.logfile import LogFile


def test_a_full_log_is_set_aside_and_the_oldest_removed(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs" / "api.log", limit_bytes=10, keep=2)
    for number in range(4):
        log.write(b"line %d 78901\n" % number)
    log.write(b"now\n")
    log.close()
    texts = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert texts == {"api.log": "now\n", "api.log.1": "line 3 78901\n", "api.log.2": "line 2 78901\n"}


def test_a_line_is_never_cut_by_a_rotation(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "api.log", limit_bytes=4, keep=1)
    log.write(b"half of a long line, ")
    log.write(b"the other half\nx\n")
    log.close()
    assert (tmp_path / "api.log.1").read_text() == "half of a long line, the other half\nx\n"


def test_a_log_goes_on_where_the_last_process_ended(tmp_path: Path) -> None:
    for _ in range(2):
        log = LogFile(tmp_path / "api.log")
        log.write(b"a\n")
        log.close()
    assert (tmp_path / "api.log").read_text() == "a\na\n"
