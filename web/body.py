"""Request bodies: a stream from any client -> bytes within limits. Lengths that a client declares are never trusted.

`read_body` (event loop) reads the body as sent, with a size limit, a deadline and a budget of memory over all requests.
`expand` (worker thread) undoes gzip, deflate or zstd in small steps, so that a bomb costs a few MiB at most.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import anyio
import zstandard
from fastapi import Request
from starlette.requests import ClientDisconnect

from web.problems import Problem

_CLOSE = {"Connection": "close"}
_DRAIN_BYTES = 64 << 20
_DRAIN_S = 3.0
_MAX_PARTS = 4096  # gzip members or zstd frames: each costs an object, and an empty one is a dozen bytes
_GZIP_STEP = 64 << 10
_GZIP, _ZLIB, _RAW = 31, 15, -15  # `wbits` of zlib
_ZSTD_STEP = 512  # 4 bytes of zstd can be 128 KiB, so a step gives 16 MiB at the very most


class Budget:
    """Memory that all bodies together may take. Used from the event loop only."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, size: int) -> None:
        if self.used_bytes + size > self.limit_bytes:
            detail = "nothing was stored: request bodies use all memory for them; send the request again later"
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "2", **_CLOSE})
        self.used_bytes += size

    def give_back(self, size: int) -> None:
        self.used_bytes -= size


@dataclass(frozen=True, slots=True)
class Expanded:
    """A body after decompression. `one_frame`: True if the body was one zstd frame that names its size."""

    data: bytes
    one_frame: bool = False


async def read_body(request: Request, budget: Budget, *, limit_bytes: int, timeout_s: float) -> bytes:
    """The whole body as sent. Its size is taken from `budget`, and the caller gives it back.

    Raises:
        Problem: 413, 408, 503 `overloaded`, or 400 if the client disconnected; `budget` has its bytes back.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        with anyio.fail_after(timeout_s):
            if _declared(request) > limit_bytes:
                await _refuse_too_large(request, limit_bytes)
            async for chunk in request.stream():
                budget.take(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
                if size > limit_bytes:
                    chunks.clear()
                    await _refuse_too_large(request, limit_bytes)
        return b"".join(chunks)
    except TimeoutError:
        budget.give_back(size)
        detail = f"the body did not arrive within the deadline of {timeout_s:g} s: send smaller batches"
        raise Problem(408, "body_too_slow", detail, headers=_CLOSE) from None
    except ClientDisconnect:
        budget.give_back(size)
        raise Problem(400, "client_gone", "the body ended early: send the request again", headers=_CLOSE) from None
    except BaseException:
        budget.give_back(size)
        raise


def _declared(request: Request) -> int:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else 0


async def _refuse_too_large(request: Request, limit_bytes: int) -> None:
    """Read and drop the rest for a moment, then refuse: a client that is still sending would miss the answer."""
    drained = 0
    if "expect" not in request.headers:
        with anyio.move_on_after(_DRAIN_S):
            async for chunk in request.stream():
                drained += len(chunk)
                if drained > _DRAIN_BYTES:
                    break
    raise too_large(limit_bytes, "as sent")


def too_large(limit_bytes: int, when: str) -> Problem:
    detail = f"the body is larger than {limit_bytes} bytes {when}: send smaller batches"
    return Problem(413, "body_too_large", detail, headers=_CLOSE, limit_bytes=limit_bytes)


def expand(wire: bytes, encoding: str, limit_bytes: int) -> Expanded:
    """Undo `Content-Encoding` (identity, gzip, deflate, zstd). Blocks, but other threads run meanwhile.

    Raises:
        Problem: 413 past `limit_bytes`, 400 `corrupt_body` for damage or truncation, 415 for another encoding.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        if len(wire) > limit_bytes:
            raise too_large(limit_bytes, "after decompression")
        return Expanded(wire)
    if name in ("gzip", "x-gzip"):
        return Expanded(_inflate(wire, "gzip", _GZIP, limit_bytes))
    if name == "deflate":
        return Expanded(_inflate(wire, "deflate", _ZLIB if _is_zlib(wire) else _RAW, limit_bytes))
    if name == "zstd":
        return _unzstd(wire, limit_bytes)
    detail = f'content encoding "{encoding[:40]}" is not supported: use gzip, deflate, zstd or none'
    raise Problem(415, "unsupported_encoding", detail, headers={"Accept-Encoding": "gzip, deflate, zstd"})


def _corrupt(name: str, why: str) -> Problem:
    detail = f"nothing was stored: the body is damaged or truncated {name} ({why}); send the request again"
    return Problem(400, "corrupt_body", detail)


def _is_zlib(wire: bytes) -> bool:
    """True for deflate with the header of zlib, which the standard asks for; some clients send it without."""
    return len(wire) > 1 and wire[0] & 0x8F == 8 and (wire[0] << 8 | wire[1]) % 31 == 0


def _inflate(wire: bytes, name: str, window: int, limit_bytes: int) -> bytes:
    """Undo gzip (of several members) or deflate; `window` is zlib's `wbits`."""
    out = bytearray()
    view, position, members = memoryview(wire), 0, 0
    try:
        while position < len(wire) or members == 0:
            members += 1
            if members > (_MAX_PARTS if window == _GZIP else 1):
                raise _corrupt(name, f"more than {members - 1} members")
            stream = zlib.decompressobj(wbits=window)
            while not stream.eof:
                step = view[position : position + _GZIP_STEP]
                if not step:
                    raise _corrupt(name, "truncated")
                out += stream.decompress(step, limit_bytes - len(out) + 1)
                position += len(step) - len(stream.unconsumed_tail) - len(stream.unused_data)
                if len(out) > limit_bytes:
                    raise too_large(limit_bytes, "after decompression")
    except zlib.error as error:
        raise _corrupt(name, str(error)[:80]) from None
    return bytes(out)


def _unzstd(wire: bytes, limit_bytes: int) -> Expanded:
    try:
        size = zstandard.frame_content_size(wire)
        if size > limit_bytes:
            raise too_large(limit_bytes, "after decompression")
        if size > 0:
            data = _decompressor(limit_bytes).decompress(wire, allow_extra_data=False)
            return Expanded(data, one_frame=True)
    except zstandard.ZstdError:
        pass  # several frames or damage: the slower function below finds out
    try:
        return Expanded(_unzstd_frames(wire, limit_bytes))
    except zstandard.ZstdError as error:
        raise _corrupt("zstd", str(error)[:120]) from None


def _unzstd_frames(wire: bytes, limit_bytes: int) -> bytes:
    out = bytearray()
    view, position, frames = memoryview(wire), 0, 0
    while position < len(wire) or frames == 0:
        frames += 1
        stream = _decompressor(limit_bytes).decompressobj()
        while not stream.eof:
            step = view[position : position + _ZSTD_STEP]
            if not step:
                raise _corrupt("zstd", "truncated")
            out += stream.decompress(step)
            position += len(step) - len(stream.unused_data)
            if len(out) > limit_bytes:
                raise too_large(limit_bytes, "after decompression")
        if frames > _MAX_PARTS:
            raise _corrupt("zstd", f"more than {_MAX_PARTS} frames")
    return bytes(out)


def _decompressor(limit_bytes: int) -> zstandard.ZstdDecompressor:
    """Limits the window, as zstd allocates it before the first byte: to the output limit, but at least 8 MiB."""
    return zstandard.ZstdDecompressor(max_window_size=max(8 << 20, limit_bytes))
