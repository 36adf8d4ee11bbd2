from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.supervision.plan import StartPlan, read_plan, write_plan
from headwater.supervision.supervised import LONGEST_PAUSE_S, STEADY_S, Child, Spec, exit_reason
from tests.headwater.processes import is_alive, output, started
from tests.waiting import until

TIE = "from headwater.supervision.child import die_with_parent; die_with_parent()"
STEADY = f"""{TIE}
import os, pathlib, time
pathlib.Path('NAME.pid').write_text(str(os.getpid()))
print('go', flush=True)
time.sleep(60)
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + STEADY


def spec(folder: Path, name: str, code: str, stop_s: float = 3.0) -> Spec:
    command = [sys.executable, "-c", code.replace("NAME", str(folder / name))]
    return Spec(name, command, {}, str(folder / "logs" / f"{name}.log"), ready_line="go", stop_s=stop_s)


@contextlib.contextmanager
def supervised(folder: Path, *specs: Spec) -> Iterator[subprocess.Popen[bytes]]:
    plan = write_plan(StartPlan(specs, "greetings", colour=False))
    with started(folder, "-m", "headwater.supervision.supervisor", plan) as process:
        yield process


def pid_of(folder: Path, name: str, unlike: int = 0) -> int:
    def read() -> int:
        with contextlib.suppress(OSError, ValueError):
            pid = int((folder / f"{name}.pid").read_text())
            return pid if pid != unlike else 0
        return 0

    return int(until(read, f"{name} starting"))


def descriptors(pid: int) -> set[int]:
    """Those that process `pid` has open."""
    return {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}


def test_a_plan_survives_the_trip_through_the_command_line(tmp_path: Path) -> None:
    plan = StartPlan(
        (Spec("api", ["x"], {"A": "b"}, "log", probe=("127.0.0.1", 80)), spec(tmp_path, "b", "")), "hi", True
    )
    assert read_plan(write_plan(plan)) == plan


def test_a_killed_child_is_started_again_and_the_console_says_why(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", STEADY), spec(tmp_path, "b", STEADY)):
        first, other = pid_of(tmp_path, "a"), pid_of(tmp_path, "b")
        until(lambda: "greetings" in output(tmp_path), "both being ready")
        os.kill(first, signal.SIGKILL)
        pid_of(tmp_path, "a", unlike=first)
        until(lambda: "ready again" in output(tmp_path), "the second start being told")
        assert is_alive(other)
    assert "a     died (signal 9, SIGKILL); restart in 0.5 s" in output(tmp_path)
    assert output(tmp_path).count("greetings") == 1


def test_a_child_that_dies_again_and_again_is_retried_with_growing_pauses_and_its_last_words(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", "raise SystemExit('no disk')")):
        until(lambda: "has died 4 times in a row; restarts continue" in output(tmp_path), "four deaths")
    told = [
        line.rpartition("in ")[2] for line in output(tmp_path).splitlines() if "died (exit code 1): no disk" in line
    ]
    assert told == ["0.5 s", "1.0 s", "2.0 s", "4.0 s"]


def test_a_command_that_cannot_be_started_is_retried_leaks_nothing_and_stops_no_other_child(tmp_path: Path) -> None:
    late = tmp_path / "late"
    waiting = replace(spec(tmp_path, "a", ""), command=[str(late)])
    with supervised(tmp_path, waiting, spec(tmp_path, "b", STEADY)) as process:
        other = pid_of(tmp_path, "b")
        until(lambda: "restart in 0.5 s" in output(tmp_path), "the first failed start being told")
        before = len(descriptors(process.pid))
        until(lambda: "restart in 4.0 s" in output(tmp_path), "three more failed starts")
        assert len(descriptors(process.pid)) == before
        late.write_text(f"#!{sys.executable}\n" + STEADY.replace("NAME", str(tmp_path / "a")))
        late.chmod(0o755)
        pid_of(tmp_path, "a")
        until(lambda: "greetings" in output(tmp_path), "both being ready")
        assert is_alive(other)
    assert f"a     cannot be started: [Errno 2] No such file or directory: '{late}'; restart in" in output(tmp_path)
    assert output(tmp_path).splitlines()[-1].endswith("stopped")


def test_a_start_without_free_descriptors_is_retried_when_there_are_some(tmp_path: Path) -> None:
    child = Child(spec(tmp_path, "a", "print('go')"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = descriptors(os.getpid())
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(used) + 4, hard))
    taken = []
    try:
        for leave in (1, 2, 3):  # the pipe needs two, and the library a pipe of its own
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(0))
            for _ in range(leave):
                os.close(taken.pop())
            with pytest.raises(OSError, match="Too many open files"):
                child.start(0.0)
            assert child.process is None
            assert child.output == -1
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    child.start(1.0)
    assert child.process is not None
    assert child.process.wait() == 0
    child.close_output()
    assert descriptors(os.getpid()) <= used


def test_pauses_stop_growing_and_a_long_life_clears_the_slate(tmp_path: Path) -> None:
    child = Child(spec(tmp_path, "a", ""))
    pauses = [child.buried(0.0) for _ in range(12)]
    assert pauses[0] == 0.5
    assert max(pauses) == pauses[-1] == LONGEST_PAUSE_S
    assert child.buried(STEADY_S) == 0.5


def test_sigterm_stops_the_children_in_order(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", STEADY), spec(tmp_path, "b", STEADY)) as process:
        pids = [pid_of(tmp_path, "a"), pid_of(tmp_path, "b")]
        process.terminate()
        assert process.wait(10) == 0
    assert not any(map(is_alive, pids))
    assert output(tmp_path).index("a     stopped") < output(tmp_path).index("b     stopped")


def test_a_child_that_ignores_sigterm_is_killed_after_its_time(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", STUBBORN, stop_s=0.3)) as process:
        pid = pid_of(tmp_path, "a")
        process.terminate()
        assert process.wait(10) == 1
    assert not is_alive(pid)
    assert "a     killed" in output(tmp_path)


def test_a_child_may_use_the_time_that_those_before_it_did_not_need(tmp_path: Path) -> None:
    slow = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), exit()))\n" + STEADY
    with supervised(tmp_path, spec(tmp_path, "a", STEADY), spec(tmp_path, "b", slow, stop_s=0.1)) as process:
        pid_of(tmp_path, "a"), pid_of(tmp_path, "b")
        process.terminate()
        assert process.wait(10) == 0
    assert "b     stopped" in output(tmp_path)


def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", STUBBORN, stop_s=60)) as process:
        pid_of(tmp_path, "a")
        process.terminate()
        until(lambda: "press Ctrl-C again to kill" in output(tmp_path), "the stop being told")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, spec(tmp_path, "a", STUBBORN)) as process:
        pid = pid_of(tmp_path, "a")
        process.kill()
        process.wait()
        until(lambda: not is_alive(pid), "the child dying with it", 5)


def test_what_a_child_writes_goes_to_its_log(tmp_path: Path) -> None:
    code = "print('hello\\n' * 50_000)\n" + STEADY
    with supervised(tmp_path, spec(tmp_path, "a", code)):
        pid_of(tmp_path, "a")
        until(lambda: "greetings" in output(tmp_path), "being ready")
    assert (tmp_path / "logs" / "a.log").read_text().count("hello") == 50_000


def test_the_supervisor_loads_no_library(tmp_path: Path) -> None:
    heavy = "('pydantic', 'rich', 'typer', 'httpx', 'pyarrow')"
    code = f"import headwater.supervision.supervisor, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_exit_codes_are_told_in_words() -> None:
    assert exit_reason(3) == "exit code 3"
    assert exit_reason(-11) == "signal 11, SIGSEGV"
    assert exit_reason(-250) == "signal 250"


def test_a_late_child_starts_when_the_others_are_ready_and_holds_nobody_up(tmp_path: Path) -> None:
    late = replace(spec(tmp_path, "late", STEADY.replace("print('go', flush=True)", "")), late=True)
    with supervised(tmp_path, late, spec(tmp_path, "a", STEADY)):
        until(lambda: "greetings" in output(tmp_path), "the other one being ready")
        assert is_alive(pid_of(tmp_path, "late"))
    assert "a     ready" in output(tmp_path)
    assert "late  ready" not in output(tmp_path)
