"""Programs that measure: each prints a table; none asserts a time. `python -m benchmarks` runs them all, small."""
