"""A process that imports one file of logs and dies at the failpoint that its environment names.

python -m tests.headwater.import_child DATA_DIR FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from headwater.commands.import_files import options_of
from headwater.commands.importing import import_files
from tests.settings import settings

if __name__ == "__main__":
    given = settings(data_dir=Path(sys.argv[1]), lake_commit_rows=6000)
    import_files(given, [Path(sys.argv[2])], "acme", options_of("logs", "auto"))
