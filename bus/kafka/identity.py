"""Identity of topics: topic name -> the id that Kafka gave the topic. A topic that is created again has another id."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from bus.kafka.config import Cluster, identity_options
from bus.kafka.errors import ASK_S, bus_error, client_log, config_error, kafka_error
from contracts.errors import BusError

LOOK_S = 0.1  # between questions for the id while messages trickle in
_NONE = "AAAAAAAAAAAAAAAAAAAAAA"  # 16 zero bytes: brokers before 2.8 give no ids


class Identities:
    """Thread-safe. The first question creates the client: a process that only appends needs none."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._making = threading.Lock()
        self._client: AdminClient | None = None

    def of(self, topic: str) -> str:
        """The id of a topic by its full name; "" if the brokers give no ids.

        Raises:
            BusError: The topic does not exist, or no broker answers.
        """
        try:
            asked = self._asker().describe_topics(TopicCollection([topic]), request_timeout=ASK_S)
            found = str(asked[topic].result(ASK_S * 2).topic_id)
        except KafkaException as error:
            raise bus_error(kafka_error(error), f'topic "{topic}"') from error
        except TimeoutError as error:  # the client's own thread was too slow to say so
            raise BusError(f'topic "{topic}": no broker answered within {ASK_S * 2:g} s', retry_after_s=1) from error
        return "" if found == _NONE else found

    def _asker(self) -> AdminClient:
        with self._making:
            if self._client is None:
                try:
                    self._client = AdminClient(identity_options(self._cluster), logger=client_log("identity"))
                except KafkaException as error:
                    raise config_error(error) from error
            return self._client


class Watch:
    """The id of one topic over time, shared by its readers. Thread-safe.

    A consumer knows a topic by its name only, and silently continues in a new topic of that name. Kafka never reuses an
    id: if the id is the same before and after a fetch, the fetch read this topic.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._last = (float("-inf"), "")

    def now(self) -> str:
        """The id now.

        Raises:
            BusError: No broker answers.
        """
        began_s = time.monotonic()
        found = self._ask()
        self._last = (began_s, found)
        return found

    def since(self, moment_s: float, hurry: bool) -> str | None:
        """The id after `moment_s` (monotonic); None if the last question is too recent and `hurry` is False."""
        asked_s, found = self._last
        if asked_s > moment_s:
            return found
        return self.now() if hurry or time.monotonic() - asked_s >= LOOK_S else None
