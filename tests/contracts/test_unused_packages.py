import subprocess
import sys

ARROW = (
    "import pyarrow as pa, pyarrow.compute as pc; pc.sort_indices(pa.array((2, 1))); pa.scalar(0); pa.table({'a': [1]})"
)


def modules_after(code: str) -> str:
    command = [sys.executable, "-c", f"{code}; import sys; print('pandas' in sys.modules)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_arrow_works_without_pandas_where_it_is_refused_and_would_import_it_otherwise() -> None:
    assert modules_after(ARROW) == "True"
    assert modules_after(f"from contracts.unused_packages import refuse_pandas; refuse_pandas(); {ARROW}") == "False"
