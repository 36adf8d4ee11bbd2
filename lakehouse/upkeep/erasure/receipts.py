"""Receipts: what an erasure removed where -> a signed file, and whether such a file is still what was signed.

HMAC-SHA256 over the text of everything but the signature, with a key that is made at its first use and never leaves
`<data>/keys/receipts.key`: it shows that this installation wrote the receipt and that nobody changed it since.
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
    """Sign, and write the file; its text. Durable on return, whole or not at all."""
    text = msgspec.json.format(_encode(signed(facts, _key(settings))), indent=2)
    path = receipt_file(settings, erasure)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text + b"\n")
    return text.decode()


def verify(settings: Settings, path: Path) -> dict[str, Any]:
    """The facts of a receipt that is as it was signed.

    Raises:
        ConfigError: It is not, or cannot be told.
    """
    try:
        receipt = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        signature = receipt.pop("signature")
        given, name = signature["value"], signature["key"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f'"{path}" is no receipt: {error}', hint="give a file of <data>/receipts") from error
    if not key_file(settings).exists():
        raise ConfigError(f'"{key_file(settings)}" is missing', hint="give the data folder that the receipt is of")
    key = _key(settings)
    if name != _name(key):
        raise ConfigError(
            f'receipt "{path}" was signed with another key ({name})', hint="give the data folder it is of"
        )
    if not hmac.compare_digest(str(given), _sign(receipt, key)):
        raise ConfigError(f'receipt "{path}" is not what was signed', hint="take the copy in the table `erasures`")
    return receipt


def _key(settings: Settings) -> bytes:
    path = key_file(settings)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, secrets.token_hex(32).encode())
    return bytes.fromhex(path.read_text())


def _name(key: bytes) -> str:
    """Tells keys apart, and nothing about them."""
    return hashlib.sha256(b"name of " + key).hexdigest()[:16]


def _sign(facts: dict[str, Any], key: bytes) -> str:
    return hmac.new(key, _encode(facts), hashlib.sha256).hexdigest()
