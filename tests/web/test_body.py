"""Bodies: what comes over the wire, within limits, whatever it claims to be."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from web.body import expand
from web.problems import Problem

MIB = 1 << 20
TEXT = b"".join(b'{"body":"line %d"}\n' % number for number in range(20_000))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


CHECKED = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(TEXT)


def zstd_without_size(data: bytes) -> bytes:
    stream = zstandard.ZstdCompressor(level=1).compressobj()
    return stream.compress(data) + stream.flush()


def zstd_bomb(mib: int) -> bytes:
    stream = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(mib)), stream.flush()])


def gzip_bomb(mib: int, window: int = 31) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(mib)), stream.flush()])


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("Deflate", zlib.compress(TEXT, 0, wbits=-15)),
        ("deflate", zlib.compress(TEXT, wbits=-15)),
        ("gzip", gzip.compress(TEXT[:5000]) + gzip.compress(b"") + gzip.compress(TEXT[5000:])),
        ("zstd", zstd(TEXT)),
        ("zstd", zstd_without_size(TEXT)),
        ("zstd", zstd(TEXT[:5000]) + zstd(b"") + zstd_without_size(TEXT[5000:])),
        ("zstd", b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zstd(TEXT)),
    ],
)
def test_every_encoding_gives_the_text_back(encoding: str, wire: bytes) -> None:
    assert expand(wire, encoding, 10 * MIB).data == TEXT


def test_only_one_whole_frame_that_names_its_size_may_be_forwarded() -> None:
    assert expand(zstd(TEXT), "zstd", MIB).one_frame
    assert not expand(zstd(TEXT) + zstd(TEXT), "zstd", MIB).one_frame
    assert not expand(zstd_without_size(TEXT), "zstd", MIB).one_frame
    assert not expand(gzip.compress(TEXT), "gzip", MIB).one_frame


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("gzip", b""),
        ("gzip", b"hello"),
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT) + b"more"),
        ("deflate", b""),
        ("deflate", b"hello"),
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("deflate", zlib.compress(TEXT, wbits=-15)[:-1]),
        ("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8),
        ("gzip", gzip.compress(b"") * 5000),
        ("zstd", b""),
        ("zstd", b"hello"),
        ("zstd", zstd(TEXT)[:-1]),
        ("zstd", zstd(TEXT) + zstd(TEXT)[:-1]),
        ("zstd", zstd(TEXT) + b"more"),
        ("zstd", zstd(b"") * 5000),
        ("zstd", CHECKED[:-4] + b"\0\0\0\0"),
    ],
)
def test_damage_is_told(encoding: str, wire: bytes) -> None:
    with pytest.raises(Problem) as caught:
        expand(wire, encoding, MIB)

    assert (caught.value.status, caught.value.code) == (400, "corrupt_body")


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd", "compress"])
def test_another_encoding_is_415(encoding: str) -> None:
    with pytest.raises(Problem) as caught:
        expand(b"x", encoding, MIB)
    assert caught.value.status == 415


def deflate_bomb(mib: int) -> bytes:
    return gzip_bomb(mib, -15)


@pytest.mark.parametrize("make", [zstd_bomb, gzip_bomb, deflate_bomb, lambda mib: zstd(bytes(mib * MIB))])
def test_a_bomb_costs_little_memory(make: object) -> None:
    assert callable(make)
    wire = make(256)
    assert len(wire) < MIB
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            expand(wire, {b"\x28\xb5": "zstd", b"\x1f\x8b": "gzip"}.get(wire[:2], "deflate"), MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.code == "body_too_large"
    assert peak < 40 * MIB


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress, zstd, zstd_without_size])
def test_the_limit_itself_passes_and_a_byte_more_does_not(pack: object) -> None:
    assert callable(pack)
    name = {b"\x28\xb5": "zstd", b"\x1f\x8b": "gzip"}
    wire = pack(TEXT)
    encoding = name.get(wire[:2], "")

    assert len(expand(wire, encoding, len(TEXT)).data) == len(TEXT)
    with pytest.raises(Problem) as caught:
        expand(wire, encoding, len(TEXT) - 1)
    assert caught.value.status == 413
