"""Receipts: facts of an erasure -> a signed file; a signed file -> its facts, if nobody changed them.

The signature is an HMAC-SHA256 over the facts. Its key is created at first use and never leaves
`<data>/keys/receipts.key`. A valid signature shows that this installation wrote the receipt and nobody changed it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import ConfigError
from contracts.files import replace_file
from contracts.settings import Settings

ALGORITHM = "HMAC-SHA256"

_encode = msgspec.json.Encoder(order="deterministic").encode


def key_file(settings: Settings) -> Path:
    return settings.data / "keys" / "receipts.key"


def receipt_file(settings: Settings, erasure: str) -> Path:
    return settings.data / "receipts" / f"{erasure}.json"


def signed(facts: dict[str, Any], key: bytes) -> dict[str, Any]:
    return {**facts, "signature": {"algorithm": ALGORITHM, "key": _name(key), "value": _sign(facts, key)}}


def write(settings: Settings, erasure: str, facts: dict[str, Any]) -> str:
    """Sign the facts, write the file and return its text. Durable on return; a crash leaves no partial file."""
    text = msgspec.json.format(_encode(signed(facts, _key(settings))), indent=2)
    path = receipt_file(settings, erasure)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text + b"\n")
    return text.decode()


def verify(settings: Settings, path: Path) -> dict[str, Any]:
    """The facts of a receipt with a valid signature.

    Raises:
        ConfigError: The signature is wrong, or cannot be checked.
    """
    try:
        receipt = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        signature = receipt.pop("signature")
        given, name = signature["value"], signature["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'"{path}" is no receipt: {error}', hint="give a file of <data>/receipts") from error
    if not key_file(settings).exists():
        raise ConfigError(f'"{key_file(settings)}" is missing', hint="give the data folder of the receipt")
    key = _key(settings)
    if name != _name(key):
        raise ConfigError(
            f'receipt "{path}" was signed with another key ({name})', hint="give the data folder of the receipt"
        )
    if not hmac.compare_digest(str(given), _sign(receipt, key)):
        raise ConfigError(f'receipt "{path}" was changed after signing', hint="use the copy in the table `erasures`")
    return receipt


def _key(settings: Settings) -> bytes:
    path = key_file(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(32).encode())
    return bytes.fromhex(path.read_text())


def _name(key: bytes) -> str:
    """Identifies a key without revealing it."""
    return hashlib.sha256(b"name of " + key).hexdigest()[:16]


def _sign(facts: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, _encode(facts), hashlib.sha256).hexdigest()
