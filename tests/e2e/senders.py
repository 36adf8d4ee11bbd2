"""Senders of the crash test: the oracle's records -> HTTP, each kind of client with the outcome it can know."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable

import httpx

from tests.e2e.oracle import Oracle

Post = Callable[[httpx.Client, dict[str, str], str], httpx.Response | None]


def ndjson(bodies: list[str]) -> str:
    return "\n".join(json.dumps({"body": body, "service": "crash", "env": "test"}) for body in bodies)


class Sender(threading.Thread):
    """Posts batches until told to stop, through `port`; a batch that has begun is brought to an end first."""

    def __init__(self, name: str, oracle: Oracle, port: int, key: str, pause_s: float = 0.02) -> None:
        super().__init__(name=name, daemon=True)
        self.oracle = oracle
        self.stopping = threading.Event()
        self._url = f"http://127.0.0.1:{port}/logs"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
        self._pause_s = pause_s
        self._rng = random.Random(f"{oracle.seed}/{name}")
        self.sent = 0
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with httpx.Client(timeout=10) as client:
                while not self.stopping.is_set():
                    count = self._rng.randrange(1, 60)
                    bodies = self.oracle.bodies(self.name, self.sent, count)
                    self.send(client, bodies)
                    self.sent += count
                    self.stopping.wait(self._pause_s)
        except Exception as error:
            self.failure = error

    def send(self, client: httpx.Client, bodies: list[str]) -> None:
        raise NotImplementedError

    def post(self, client: httpx.Client, headers: dict[str, str], content: str) -> httpx.Response | None:
        """One try; None when no answer came."""
        try:
            return client.post(self._url, content=content, headers={**self._headers, **headers})
        except httpx.HTTPError:
            return None

    def post_until_heard(self, client: httpx.Client, headers: dict[str, str], content: str) -> httpx.Response:
        """The same request again and again until an answer other than 429 or 5xx."""
        while True:
            response = self.post(client, headers, content)
            if response is not None and response.status_code != 429 and response.status_code < 500:
                return response
            self._pause_between_tries()

    def _pause_between_tries(self) -> None:
        threading.Event().wait(0.05 + 0.1 * self._rng.random())


class Producer(Sender):
    """A client with an id and contiguous sequence numbers; retries until it hears."""

    def send(self, client: httpx.Client, bodies: list[str]) -> None:
        headers = {
            "X-Headwater-Producer": self.name,
            "X-Headwater-Epoch": "0",
            "X-Headwater-Stream": "main",
            "X-Headwater-Sequence": str(self.sent),
        }
        response = self.post_until_heard(client, headers, ndjson(bodies))
        assert response.status_code == 202, response.text
        self.oracle.acknowledge(bodies)


class KeyedClient(Sender):
    """A client that sends an Idempotency-Key, and one bad record in some batches; retries until it hears."""

    def send(self, client: httpx.Client, bodies: list[str]) -> None:
        good, content = bodies, ndjson(bodies)
        if self._rng.random() < 0.2:
            good, bad = bodies[1:], bodies[0]
            content = json.dumps({"body": bad, "timestamp": "no time"}) + "\n" + ndjson(good)
            self.oracle.refuse([bad])
        headers = {"Idempotency-Key": f"{self.name}-{self.sent}"}
        response = self.post_until_heard(client, headers, content)
        assert response.status_code == (202 if good else 400), response.text
        self.oracle.acknowledge(good)


class PlainClient(Sender):
    """A client with neither; never retries: without an answer it does not know."""

    def send(self, client: httpx.Client, bodies: list[str]) -> None:
        response = self.post(client, {}, ndjson(bodies))
        if response is None:
            self.oracle.lose_sight(bodies)
            self._pause_between_tries()
        elif response.status_code == 202:
            self.oracle.acknowledge(bodies)
        elif response.status_code == 503 and response.json().get("code") == "outcome_unknown":
            self.oracle.lose_sight(bodies)
        else:
            self.oracle.refuse(bodies)


class Stranger(Sender):
    """A client whose key is not known: nothing of it may ever be seen."""

    def send(self, client: httpx.Client, bodies: list[str]) -> None:
        response = self.post(client, {"Authorization": "Bearer hw_nobody_nothing"}, ndjson(bodies))
        assert response is None or response.status_code in (401, 403, 503), response.text
        self.oracle.refuse(bodies)
