"""Small files are whole, listed by name, replaced, and gone without a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import StoreError
from lakehouse.delta.blobs import Blobs, _Bucket, open_blobs
from tests.settings import settings


def look(blobs: Blobs) -> None:
    """What every adapter promises."""
    assert list(blobs.names()) == []
    assert blobs.read("a") is None
    blobs.delete("a")
    large = bytes(range(256)) * 50_000
    for name, content in (("a", b""), ("b-1", b"one"), ("c", large)):
        blobs.write(name, content)
    assert sorted(blobs.names()) == ["a", "b-1", "c"]
    assert [blobs.read(name) for name in ("a", "b-1", "c")] == [b"", b"one", large]
    blobs.write("b-1", b"two")
    blobs.delete("a")
    assert sorted(blobs.names()) == ["b-1", "c"]
    assert [blobs.read("a"), blobs.read("b-1")] == [None, b"two"]


def test_a_folder_holds_them(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "lake"), settings(), "x/logs/0")
    assert not (tmp_path / "lake").exists()
    look(blobs)
    assert sorted(path.name for path in (tmp_path / "lake/x/logs/0").iterdir()) == ["b-1", "c"]


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("no folder")
    blobs = open_blobs(str(tmp_path / "lake"), settings(), "x")

    with pytest.raises(StoreError, match="cannot be written"):
        blobs.write("a", b"")
    with pytest.raises(StoreError, match="cannot be listed"):
        blobs.names()


def test_folders_of_one_bucket_share_a_client(tmp_path: Path) -> None:
    given = settings(data_dir=tmp_path, s3_endpoint="http://127.0.0.1:1", s3_access_key="k", s3_secret_key="s")
    first, second, other = (open_blobs(url, given, "x") for url in ("s3://b/a", "s3://b/a", "s3://c/a"))

    assert isinstance(first, _Bucket)
    assert isinstance(second, _Bucket)
    assert isinstance(other, _Bucket)
    assert first._client is second._client
    assert first._client is not other._client
