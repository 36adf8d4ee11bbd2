"""The supervisor of `headwater up`: a plan -> children kept alive, and stopped in order.

    python -m headwater.supervision.supervisor PLAN   (JSON; written and started by `headwater up`)

If a child dies or cannot be started, the supervisor starts it again after a pause, for ever; the pause doubles up to
30 s. The supervisor prints the reason of every death and every failed start. SIGTERM or Ctrl-C stops the children in
the order of the plan; a child that exceeds its time is killed. A second signal kills all at once. Standard library
only, one thread: the supervisor takes about 10 MiB and no CPU.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from headwater.supervision.plan import StartPlan, read_plan
from headwater.supervision.supervised import Child, exit_reason

TURN_S = 0.2
MANY_DEATHS = 4
COLOURS = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "": "0"}


class Supervisor:
    """Starts and stops the children; `run` returns when all are stopped."""

    def __init__(self, plan: StartPlan) -> None:
        self._plan = plan
        self._children = [Child(spec) for spec in plan.children]
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._greeted = False

    def run(self) -> int:
        """Run until a signal; 0 after a clean stop, 1 if a child had to be killed."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_signal)
        began_s = time.monotonic()
        while not self._signals:
            now_s = time.monotonic()
            for child in self._children:
                if self._greeted or not child.spec.late:
                    self._care(child, now_s)
            if not self._greeted and all(child.told_ready or child.spec.late for child in self._children):
                self._greeted = True
                self._say("up", f"everything is ready after {time.monotonic() - began_s:.1f} s", "good")
                self._print(self._plan.greeting)
            self._listen(TURN_S)
        return self._stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _care(self, child: Child, now_s: float) -> None:
        if child.process is None:
            if now_s >= child.next_start_s:
                self._start(child, now_s)
        elif (code := child.process.poll()) is not None:
            self._bury(child, code, now_s)
        elif not child.told_ready and child.probe():
            child.told_ready = True
            again = " again" if child.deaths else ""
            self._say(child.spec.name, f"ready{again} after {time.monotonic() - child.started_s:.1f} s", "good")

    def _start(self, child: Child, now_s: float) -> None:
        try:
            self._selector.register(child.start(now_s), selectors.EVENT_READ, child)
        except OSError as error:  # perhaps the machine lacks memory, or the command is being upgraded
            self._wait(child, f"cannot be started: {error}", now_s)

    def _bury(self, child: Child, code: int, now_s: float) -> None:
        self._forget(child)
        words = child.last_words()
        self._wait(child, f"died ({exit_reason(code)}){': ' + words if words and code > 0 else ''}", now_s)

    def _wait(self, child: Child, reason: str, now_s: float) -> None:
        pause_s = child.buried(now_s)
        self._say(child.spec.name, f"{reason}; restart in {pause_s:.1f} s", "bad")
        if child.deaths >= MANY_DEATHS:
            where = f"; see its log {child.spec.log}" if child.spec.log else ""
            self._say(child.spec.name, f"has died {child.deaths} times in a row; restarts continue{where}", "warn")

    def _forget(self, child: Child) -> None:
        if child.output >= 0:
            child.pump()
            self._selector.unregister(child.output)
            child.close_output()

    def _listen(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            child: Child = key.data
            if not child.pump():
                self._selector.unregister(child.output)
                child.close_output()

    def _stop(self) -> int:
        self._print("")
        self._say("up", "stopping; press Ctrl-C again to kill", "dim")
        deadline_s = time.monotonic()
        clean = []
        for child in self._children:
            deadline_s += child.spec.stop_s
            clean.append(self._end(child, deadline_s))
        self._say("up", "stopped" if all(clean) else "stopped, not cleanly; nothing is lost", "dim")
        return 0 if all(clean) else 1

    def _end(self, child: Child, deadline_s: float) -> bool:
        """Send SIGTERM, and SIGKILL after the deadline. The output of all children is read, so none blocks on its pipe.

        Children inherit unused time of those before: on a busy machine the flow needs longer to commit.
        """
        if child.process is None:
            return True
        child.process.terminate()
        began_s = time.monotonic()
        while child.process.poll() is None and time.monotonic() < deadline_s and self._signals < 2:
            self._listen(0.05)
        killed = child.process.poll() is None
        if killed:
            child.process.kill()
        code = child.process.wait()
        self._forget(child)
        how = f"{'killed after' if killed else 'stopped in'} {time.monotonic() - began_s:.1f} s"
        self._say(
            child.spec.name, how if code in (0, -9) else f"{how} ({exit_reason(code)})", "warn" if killed else "dim"
        )
        return not killed

    def _say(self, name: str, text: str, tone: str = "") -> None:
        line = f"{name:<5} {text}"
        if self._plan.colour:
            line = f"\033[1m{name:<5}\033[0m \033[{COLOURS[tone]}m{text}\033[0m"
        self._print(f"{time.strftime('%H:%M:%S')} {line}")

    @staticmethod
    def _print(text: str) -> None:
        """Print, and ignore a closed console, as the children must go on."""
        with contextlib.suppress(OSError, ValueError):
            print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    return Supervisor(read_plan(arguments[0])).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
