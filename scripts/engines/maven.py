"""Maven: coordinates → every jar that they need at run time, in a folder, verified."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.engines import cache

PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>headwater</groupId><artifactId>engine</artifactId><version>1</version>
  <dependencies>
{}
  </dependencies>
</project>
"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


def copy_jars(coordinates: Sequence[str], to: Path, pinned: Mapping[str, str]) -> None:
    """Fetch `group:artifact:version` and what they depend on, from wherever Maven is set up to look.

    Raises:
        EngineError: Maven failed, or a jar is not the pinned one.
    """
    goal = [f"{PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={to}"]
    with tempfile.TemporaryDirectory() as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(POM.format("\n".join(DEPENDENCY.format(*each.split(":")) for each in coordinates)))
        cache.run(["mvn", "-q", "-B", "-f", str(pom), *goal], folder=pom.parent)
    cache.verify(to, pinned)
