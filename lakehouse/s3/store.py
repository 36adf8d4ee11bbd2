"""Object store: `HEADWATER_LAKE_URL` and the S3 settings -> options for Delta, and a client for everything else.

All code that accesses the lake's files takes address, credentials and timeouts from here. Without keys in the settings,
both libraries use the usual sources of credentials: environment, shared files, the machine's role.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from contracts.errors import ConfigError
from contracts.settings import Settings
from lakehouse.s3.authorities import trust_too, use

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

QUERY_RETRIES = 2  # few, as a query can answer without the lake and say so
WRITE_RETRIES = 5
FIRST_BACKOFF_S = 0.1
CONNECTIONS = 64  # of one client; they are opened as threads need them
DEFAULT_REGION = "us-east-1"  # other servers than AWS accept this region


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A bucket on an S3 server.

    Attributes:
        prefix: Prefix of every key of the lake, without slashes at its ends; may be "".
        endpoint: Base URL of the server; "" means AWS.
        access_key, secret_key: "" means that the libraries use the usual sources of credentials.
        ca_file: PEM file of all trusted authorities, the system's and the private one; "" means the system's.
    """

    bucket: str
    prefix: str
    endpoint: str
    region: str
    path_style: bool
    access_key: SecretStr
    secret_key: SecretStr
    ca_file: str
    connect_timeout_s: float

    @property
    def name(self) -> str:
        """Name of the store in messages."""
        return f'bucket "{self.bucket}" at {self.endpoint or "AWS " + self.region}'

    def options(self, timeout_s: float, retries: int) -> dict[str, str]:
        """Options for Delta. A failing request ends after about `timeout_s`, a silent one after at most twice that."""
        given = {
            "aws_region": self.region,
            "aws_virtual_hosted_style_request": str(not self.path_style).lower(),
            "aws_conditional_put": "etag",  # not left to the environment: without it, commits overwrite each other
            "connect_timeout": _duration(self.connect_timeout_s),
            "timeout": _duration(timeout_s),
            "max_retries": str(retries),
            "retry_timeout": _duration(timeout_s),
            "backoff_config.init_backoff": _duration(FIRST_BACKOFF_S),
        }
        if self.endpoint:
            given["aws_endpoint_url"] = self.endpoint if self.path_style else _with_bucket(self.endpoint, self.bucket)
            given["allow_http"] = str(self.endpoint.startswith("http://")).lower()
        if self.access_key.get_secret_value():
            given["aws_access_key_id"] = self.access_key.get_secret_value()
            given["aws_secret_access_key"] = self.secret_key.get_secret_value()
        return given

    def client(self, timeout_s: float) -> S3Client:
        """Client for everything but Delta. One attempt per request; thread-safe."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint or None,
            region_name=self.region,
            aws_access_key_id=self.access_key.get_secret_value() or None,
            aws_secret_access_key=self.secret_key.get_secret_value() or None,
            verify=self.ca_file or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if self.path_style else "virtual"},
                retries={"total_max_attempts": 1},
                max_pool_connections=CONNECTIONS,
                connect_timeout=self.connect_timeout_s,
                read_timeout=timeout_s,
                # Older servers refuse the newer checksums, and this client sends only small bodies.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


def object_store(url: str, settings: Settings) -> ObjectStore | None:
    """The object store that `url` names; None if it names a folder.

    Raises:
        ConfigError: The URL names neither a folder nor a bucket, or the S3 settings cannot work.
    """
    if "://" not in url and not url.startswith(("s3:", "s3a:")):
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("s3", "s3a") or not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        tier = "archive" if url == settings.archive_url else "lake"
        hint = f"set HEADWATER_{tier.upper()}_URL"
        raise ConfigError(f'{tier} URL "{url}" is neither a folder nor s3://bucket/prefix', hint=hint)
    access, secret = settings.s3_access_key, settings.s3_secret_key
    if bool(access.get_secret_value()) != bool(secret.get_secret_value()):
        missing = "HEADWATER_S3_SECRET_KEY" if access.get_secret_value() else "HEADWATER_S3_ACCESS_KEY"
        raise ConfigError(f"{missing} is missing", hint="give both keys, or none to use the AWS environment")
    ca_file = str(trust_too(settings.s3_ca_file, settings.data)) if settings.s3_ca_file else ""
    return ObjectStore(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        endpoint=_endpoint(settings),
        region=settings.s3_region or _environment("AWS_REGION", "AWS_DEFAULT_REGION") or DEFAULT_REGION,
        path_style=settings.s3_path_style,
        access_key=access,
        secret_key=secret,
        ca_file=ca_file,
        connect_timeout_s=settings.s3_connect_timeout_s,
    )


def reading_options(url: str, settings: Settings) -> dict[str, str]:
    """Options of Delta for queries, with few retries: an outage is reported within seconds. {} for a folder."""
    store = _trusted(url, settings)
    return store.options(settings.s3_query_timeout_s, QUERY_RETRIES) if store else {}


def writing_options(url: str, settings: Settings) -> dict[str, str]:
    """Options of Delta for the flow's writer and for upkeep, which can wait. {} for a folder."""
    store = _trusted(url, settings)
    return store.options(settings.s3_write_timeout_s, WRITE_RETRIES) if store else {}


def _trusted(url: str, settings: Settings) -> ObjectStore | None:
    store = object_store(url, settings)
    if store and store.ca_file:  # Delta has no option for authorities
        use(Path(store.ca_file))
    return store


def _endpoint(settings: Settings) -> str:
    endpoint = (settings.s3_endpoint or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")).rstrip("/")
    parts = urlsplit(endpoint)
    if endpoint and (parts.scheme not in ("http", "https") or not parts.netloc or parts.path):
        raise ConfigError(
            f'HEADWATER_S3_ENDPOINT: "{endpoint}" is not http://host:port or https://host:port',
            hint="give the bucket in HEADWATER_LAKE_URL",
        )
    return endpoint


def _environment(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _with_bucket(endpoint: str, bucket: str) -> str:
    """URL with the bucket in the host name; Delta's client expects that in virtual-hosted style."""
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{bucket}.{host}"


def _duration(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"
