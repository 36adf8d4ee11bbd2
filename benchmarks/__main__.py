"""All benchmarks, small: one table each.

python -m benchmarks
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STAGES = ("agent", "accept", "bus", "parse", "erasures", "hot", "lake")


def main() -> int:
    root = Path(__file__).resolve().parents[1]
    failed = 0
    for stage in STAGES:
        print(f"\n== {stage}", flush=True)
        failed += bool(subprocess.run([sys.executable, "-m", f"benchmarks.{stage}"], cwd=root, check=False).returncode)
    print("\n== end to end", flush=True)
    command = [sys.executable, "-m", "benchmarks.end_to_end", "--records", "200000", "--seconds", "10"]
    failed += bool(subprocess.run(command, cwd=root, check=False).returncode)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
