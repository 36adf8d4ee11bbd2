"""The way to OpenSearch: URL and settings -> requests; what fails -> StoreError with what to do.

One try a request: whoever asks knows whether to ask again. Thread-safe.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from opensearchpy import OpenSearch, Urllib3HttpConnection
from opensearchpy import exceptions as failures

from contracts.errors import ConfigError, StoreError
from contracts.settings import Settings

DEFAULT_PORT = 9200
READERS = 16  # connections that are kept
REST_S = 3.0  # how long an engine that did not answer is not asked again by readers

_POOL = re.compile(r"^\w+\(host=.*?\): ")  # what the HTTP client begins its errors with
BLOCK = "cluster_block_exception"  # e.g. read-only, as the disk is full; comes as 403 or 429

_NDJSON = {"content-type": "application/x-ndjson"}
_FULL = "free disk space on the data nodes: the block then goes by itself; until then nothing is written, nor lost"


class EngineError(StoreError):
    """A refusal by the engine: HTTP `status` and its name for it, e.g. "index_not_found_exception"."""

    def __init__(self, message: str, *, status: int, kind: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, retry_after_s=5)
        self.status, self.kind = status, kind

    @property
    def may_pass(self) -> bool:
        """Whether the engine is only overloaded: the same again, a little later, may do."""
        return self.kind != BLOCK and (self.status == 429 or self.status >= 500)

    @property
    def is_of_all(self) -> bool:
        """Whether it is about the index or about us, whatever the document."""
        return self.kind == BLOCK or self.status in (401, 403, 404)


class _Quiet(Urllib3HttpConnection):
    """Says nothing of its own: failures are raised, and said once, by us."""

    def log_request_success(self, *arguments: Any, **named: Any) -> None: ...

    def log_request_fail(self, *arguments: Any, **named: Any) -> None: ...


class _Serializer:
    mimetype = "application/json"

    def loads(self, text: str) -> Any:
        return msgspec.json.decode(text)

    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, bytes) else msgspec.json.encode(data)


def hosts(url: str) -> list[dict[str, Any]]:
    """The nodes of `opensearch://host[:port][,host[:port]…]`, or of `opensearchs://`, which is TLS.

    Raises:
        ConfigError: It is none of both.
    """
    scheme, _, places = url.partition("://")
    found = []
    for place in places.rstrip("/").split(","):
        try:
            parts = urlsplit(f"//{place}")
            port = parts.port or DEFAULT_PORT
        except ValueError as error:
            raise ConfigError(f'hot store URL "{url}": {error}', hint="write opensearch://host:9200") from error
        if parts.username is not None:
            raise ConfigError(
                "the hot store URL holds a user",
                hint="set HEADWATER_OPENSEARCH_USER and HEADWATER_OPENSEARCH_PASSWORD instead: URLs are logged",
            )
        if not parts.hostname or parts.path or parts.query:
            raise ConfigError(f'hot store URL "{url}" names no host', hint="write opensearch://host:9200")
        found.append({"host": parts.hostname, "port": port, "use_ssl": scheme == "opensearchs"})
    return found


class Client:
    """Opens no connection before the first request.

    Args:
        rests: Whether an engine that did not answer is left alone for `REST_S`: then readers fail at once.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        timeout_s: float,
        rests: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s, self._rests, self._clock = timeout_s, rests, clock
        self._rest_until_s, self._lock, self._why = 0.0, threading.Lock(), ("", "")
        nodes = hosts(url)
        self._at = ", ".join(f"{node['host']}:{node['port']}" for node in nodes)
        options: dict[str, Any] = {}
        if settings.opensearch_user:
            secret = f"{settings.opensearch_user}:{settings.opensearch_password.get_secret_value()}"
            options["headers"] = {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
        if nodes[0]["use_ssl"]:
            options |= {"verify_certs": settings.opensearch_verify, "ssl_show_warn": False}
            if settings.opensearch_ca_file is not None:
                options["ca_certs"] = str(settings.opensearch_ca_file)
        self._transport = OpenSearch(
            nodes,
            connection_class=_Quiet,
            serializer=_Serializer(),
            max_retries=0,
            pool_maxsize=READERS,
            timeout=timeout_s,
            **options,
        ).transport

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        absent: Any = None,
        lines: bool = False,
    ) -> Any:
        """The decoded answer. `body` is bytes, or something to encode; `lines`: it is NDJSON.

        Args:
            absent: What to answer when there is no such thing (404); None: that is an error too.

        Raises:
            EngineError: The engine refused.
            StoreError: It did not answer, or not in full.
        """
        self._check_rest()
        try:
            answer = self._transport.perform_request(
                method, path, params=dict(params or {}), body=body, headers=_NDJSON if lines else None
            )
        except failures.TransportError as error:
            if error.status_code == 404 and absent is not None:
                return absent
            raise self._failure(error) from error
        except (failures.SerializationError, msgspec.DecodeError, UnicodeError) as error:
            raise StoreError(f"OpenSearch at {self._at} gave half an answer: {error}"[:300], retry_after_s=1) from error
        return answer

    def _check_rest(self) -> None:
        if self._rests and self._clock() < self._rest_until_s:
            why, hint = self._why
            raise StoreError(why, hint=hint, retry_after_s=REST_S)

    def _failure(self, error: Any) -> StoreError:
        if not isinstance(error.status_code, int):
            return self._silence(error)
        kind, reason = _reason(error.info, error.error)
        return refusal(error.status_code, kind, reason)

    def _silence(self, error: Any) -> StoreError:
        cause, hint = _POOL.sub("", str(error.info or error)), "is it running? see HEADWATER_HOT_URL"
        if isinstance(error, failures.SSLError):
            hint = "set HEADWATER_OPENSEARCH_CA_FILE to the file of the authority that signed its certificate"
        why = f"OpenSearch at {self._at} cannot be reached: {cause}"[:300]
        if isinstance(error, failures.ConnectionTimeout):
            why = f"OpenSearch at {self._at} did not answer within {self._timeout_s:g} s"
        with self._lock:
            self._rest_until_s, self._why = self._clock() + REST_S, (why, hint)
        return StoreError(why, hint=hint, retry_after_s=5)

    def close(self) -> None:
        self._transport.close()


def refusal(status: int, kind: str, reason: str) -> EngineError:
    """An answer of the engine, to a request or to one item of it, as an error with what to do."""
    hint = ""
    if kind == BLOCK:
        hint = _FULL if "read-only" in reason else "see GET _cluster/health of OpenSearch"
    elif status in (401, 403):
        hint = "check HEADWATER_OPENSEARCH_USER, HEADWATER_OPENSEARCH_PASSWORD and what that user may do"
    elif status in (429, 503):
        hint = "OpenSearch is overloaded or has lost nodes: see GET _cluster/health"
    return EngineError(f"OpenSearch answered {status} {kind}: {reason}"[:500], status=status, kind=kind, hint=hint)


def _reason(info: Any, kind: Any) -> tuple[str, str]:
    error = info.get("error") if isinstance(info, dict) else None
    if not isinstance(error, dict):
        return str(error or kind), str(info)
    causes = error.get("root_cause") or [error]
    first = causes[0] if isinstance(causes[0], dict) else error
    return str(first.get("type")), str(first.get("reason"))
