"""API keys: key file -> principals. The file holds only SHA-256 hashes of 256-bit random secrets.

The file is JSON, mode 0600. Commands replace it atomically under a lock file, and a running service reads it again
after a change: a new or revoked key takes effect at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from contracts.errors import ConfigError
from contracts.files import replace_file
from contracts.locks import lock
from contracts.tenants import Principal, Role, Tenant, tenant_named

_PREFIX = "hw"


class StoredKey(msgspec.Struct, frozen=True):
    """One key in the file. `hash` is the SHA-256 of the secret in hex; `created_s` is Unix seconds."""

    key_id: str
    tenant: str
    role: Role
    hash: str
    created_s: int


class _File(msgspec.Struct):
    keys: list[StoredKey] = []
    version: int = 1


class NewKey(msgspec.Struct, frozen=True):
    """A new key. The client sends `token`, which is shown once and stored nowhere."""

    key_id: str
    token: str


def create_key(path: Path, tenant: Tenant, role: Role) -> NewKey:
    """Add a key to the file; create a missing file.

    Raises:
        ConfigError: The file cannot be read or written, or the tenant's name is not allowed.
    """
    tenant_named(tenant)
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with _locked(path):
        stored = StoredKey(key_id, tenant, role, _hash(secret), int(time.time()))
        _write(path, [*_read(path), stored])
    return NewKey(key_id, f"{_PREFIX}_{key_id}_{secret}")


def list_keys(path: Path) -> list[StoredKey]:
    """All keys of the file, oldest first; [] if the file does not exist.

    Raises:
        ConfigError: The file cannot be read.
    """
    return _read(path)


def revoke_key(path: Path, key_id: str) -> bool:
    """Remove a key; False if the file has no such key.

    Raises:
        ConfigError: The file cannot be read or written.
    """
    with _locked(path):
        keys = _read(path)
        rest = [key for key in keys if key.key_id != key_id]
        if len(rest) < len(keys):
            _write(path, rest)
    return len(rest) < len(keys)


class KeyFile:
    """The keys of a running service. Costs one `stat` a request; thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, StoredKey] = {}

    def principal(self, token: str) -> Principal | None:
        """The owner of the key `token`; None if the token is not a valid key.

        Raises:
            ConfigError: The file has changed and cannot be read.
        """
        self._refresh()
        prefix, _, rest = token.partition("_")
        key_id, _, secret = rest.partition("_")
        known = self._keys.get(key_id)
        # Compare for an unknown id too, so that the time of the answer does not reveal which ids exist.
        right = hmac.compare_digest(_hash(secret), known.hash if known else "0" * 64)
        if known is None or not right or prefix != _PREFIX:
            return None
        return Principal(Tenant(known.tenant), known.role, known.key_id)

    def _refresh(self) -> None:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            self._keys, self._seen = {}, None
            return
        except OSError as error:
            raise ConfigError(f'key file "{self.path}" cannot be read: {error.strerror}') from error
        seen = (now.st_mtime_ns, now.st_size, now.st_ino)
        if seen != self._seen:
            self._keys = {key.key_id: key for key in _read(self.path)}
            self._seen = seen


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> list[StoredKey]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f'key file "{path}" cannot be read: {error}', hint="restore it, or delete it and create new keys"
        ) from error


def _write(path: Path, keys: list[StoredKey]) -> None:
    text = msgspec.json.format(msgspec.json.encode(_File(keys)), indent=2)
    try:
        replace_file(path, text)
    except OSError as error:
        raise ConfigError(f'key file "{path}" cannot be written: {error.strerror}') from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file beside `path`, so that two commands do not overwrite each other's change."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = lock(path.with_name(f".{path.name}.lock"))
    except OSError as error:
        raise ConfigError(f'key file "{path}" cannot be locked: {error.strerror}') from error
    try:
        yield
    finally:
        os.close(descriptor)
