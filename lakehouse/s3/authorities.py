"""Authorities: the authorities that this machine trusts, and the private one of S3 -> one PEM file with both.

Delta's client takes its authorities from `SSL_CERT_FILE` alone, and every other TLS client of the process reads that
variable too. If it named the private authority only, no client of the process would trust a public server any more.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import ConfigError
from contracts.files import replace_file

FOLDER = "authorities"
FILE, DIR = "SSL_CERT_FILE", "SSL_CERT_DIR"
GIVEN = "SSL_CERT_FILE_GIVEN"  # earlier value of `SSL_CERT_FILE`; children inherit both variables

_HINT = "give a PEM file of the authority that signed the certificate of the S3 server, or unset it"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----")
# Paths of the distributions' files of authorities. Source: the list of the `openssl-probe` library.
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)


def trust_too(ca_file: str, data: Path) -> Path:
    """Write a file with the authorities of `ca_file` and the trusted ones; return its path. Idempotent.

    Args:
        ca_file: PEM file of one or more authorities.
        data: Data folder; the file is written to a subfolder that only this user can enter.

    Raises:
        ConfigError: `ca_file` cannot be read or holds no certificate, or the data folder cannot be written.
    """
    given, folders = os.environ.get(GIVEN, os.environ.get(FILE, "")), os.environ.get(DIR, "")
    content = _together(ca_file, _changed_ns(ca_file), given, folders)
    # Named by its content: a process with other settings keeps its own file.
    path = data / FOLDER / f"{hashlib.sha256(content).hexdigest()[:16]}.pem"
    try:
        if not path.exists():
            _write(path, content)
    except OSError as error:
        raise ConfigError(
            f'the authorities for S3 cannot be written to "{path}": {error.strerror or error}',
            hint="make the data folder (HEADWATER_DATA_DIR) writable, or unset HEADWATER_S3_CA_FILE and add the"
            " authority to those of the system",
        ) from error
    return path


def use(path: Path) -> None:
    """Let Delta's client of this process, and of its children, trust the authorities in `path`. Idempotent."""
    if os.environ.get(FILE) != str(path):
        if GIVEN not in os.environ:
            os.environ[GIVEN] = os.environ.get(FILE, "")
        os.environ[FILE] = str(path)


def _changed_ns(ca_file: str) -> int:
    try:
        return Path(ca_file).stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f'HEADWATER_S3_CA_FILE: "{ca_file}" cannot be read: {error.strerror}', hint=_HINT) from error


@functools.lru_cache(maxsize=8)  # settings are read for every table that is opened
def _together(ca_file: str, _changed_ns: int, given: str, folders: str) -> bytes:
    private = _private(ca_file)
    return b"\n".join(dict.fromkeys([*_public(given, folders), *private])) + b"\n"


def _private(ca_file: str) -> list[bytes]:
    try:
        found = _certificates(Path(ca_file))
        if found:
            ssl.create_default_context(cadata=b"\n".join(found).decode())
            return found
        reason = "holds no certificate"
    except ssl.SSLError:
        reason = "holds no certificate that can be read"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise ConfigError(f'HEADWATER_S3_CA_FILE: "{ca_file}" {reason}', hint=_HINT)


def _public(given: str, folders: str) -> Iterator[bytes]:
    """The operator's choice if set, else the authorities of the system and of `httpx`."""
    import certifi

    chosen = [*([given] if given else []), *_files_of(folders)]
    for path in chosen if given or folders else (*_SYSTEM, certifi.where()):
        with contextlib.suppress(OSError):
            yield from _certificates(Path(path))


def _files_of(folders: str) -> Iterator[str]:
    for folder in filter(None, folders.split(os.pathsep)):
        with contextlib.suppress(OSError):
            yield from sorted(str(path) for path in Path(folder).iterdir() if path.is_file())


def _certificates(path: Path) -> list[bytes]:
    return [found.replace(b"\r\n", b"\n") for found in _CERTIFICATE.findall(path.read_bytes())]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, content, shared=True)
