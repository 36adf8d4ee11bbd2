"""Questions to a running service: paths and parameters -> decoded answers, or an error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from contracts.errors import HeadwaterError, QueryError, StoreError
from headwater.running import running

if TYPE_CHECKING:
    from contracts.settings import Settings

PAGE_ROWS = 1000
SILENCE_S = 60.0  # of an answer without end; the service sends something every HEADWATER_TAIL_HEARTBEAT_S
RETRIED = (408, 429, 500, 502, 503, 504)
_HINTS = {
    401: "the keys that the service knows: headwater keys list",
    403: "make one: headwater keys create --tenant default --role read, and set HEADWATER_API_KEY to it",
}


def service_url(settings: Settings) -> str:
    """Where queries go: HEADWATER_QUERY_URL, HEADWATER_INGEST_URL, the `up` of this data folder, or port 8080."""
    given = settings.query_url or settings.ingest_url
    here = running(settings.data)
    return (given or (here.url if here else "") or "http://127.0.0.1:8080").rstrip("/")


class Rest:
    """One connection to one service, speaking for one key."""

    def __init__(self, url: str, key: str, timeout_s: float = 60.0) -> None:
        import httpx

        self.url = url
        self._http = httpx
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Decoded JSON of a success.

        Raises:
            StoreError: The service is not there, or cannot answer.
            QueryError: The question is not one it can answer.
        """
        return self._asked("GET", path, params=params)

    def send(self, path: str, records: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
        """POST `records`; once, however often it is tried with the same idempotency key. Raises as `get`."""
        return self._asked("POST", path, json=list(records), headers={"Idempotency-Key": key})

    def _asked(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **given)
        except self._http.HTTPError as error:
            raise StoreError(
                f"no answer from {self.url}: {error}",
                hint="start it with `headwater up`, or set HEADWATER_QUERY_URL to where it runs",
            ) from error
        if response.is_success:
            answer: dict[str, Any] = response.json()
            return answer
        raise _refusal(response.status_code, response.text, dict(_problem(response)))

    def lines(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Iterator[str]:
        """Lines of an answer without end, until the connection ends.

        Raises:
            StoreError: The service is not there, or cannot answer; `retry_after_s` where another attempt may help.
            QueryError: The question is not one it can answer.
        """
        import httpx

        timeout = httpx.Timeout(10.0, read=SILENCE_S)
        try:
            with self._client.stream("GET", path, params=params, headers=headers, timeout=timeout) as response:
                if response.is_success:
                    yield from _lines(response.iter_bytes())
                    return
                response.read()
        except httpx.HTTPError as error:
            raise StoreError(
                f"no answer from {self.url}: {error}",
                hint="start it with `headwater up`, or set HEADWATER_QUERY_URL to where it runs",
                retry_after_s=1,
            ) from error
        refusal = _refusal(response.status_code, response.text, dict(_problem(response)))
        if isinstance(refusal, StoreError) and response.status_code in RETRIED:
            refusal.retry_after_s = 1
        raise refusal

    def pages(
        self, path: str, params: Mapping[str, str], limit: int = 0, page_rows: int = PAGE_ROWS
    ) -> Iterator[dict[str, Any]]:
        """Answers page by page until the end, or until `limit` records (0: all)."""
        cursor, left = "", limit or None
        while True:
            rows = page_rows if left is None else min(page_rows, left)
            answer = self.get(path, {**params, "limit": str(rows), **({"cursor": cursor} if cursor else {})})
            yield answer
            left = None if left is None else left - len(answer["records"])
            cursor = answer["next_cursor"] or ""
            if not cursor or left == 0:
                return

    def close(self) -> None:
        self._client.close()


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Those that a line feed ends. `httpx` would break them at every sign that Unicode calls an end of a line too."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in lines)


def _problem(response: Any) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refusal(status: int, text: str, problem: dict[str, Any]) -> HeadwaterError:
    detail = str(problem.get("detail") or text[:200] or "no detail")
    hint = str(problem.get("hint") or _HINTS.get(status, ""))
    if status == 400:
        position = problem.get("position")
        return QueryError(detail, position=position if isinstance(position, int) else None, hint=hint)
    return StoreError(f"the service answered {status}: {detail}", hint=hint)
