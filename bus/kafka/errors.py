"""Errors of the Kafka clients -> our errors with a remedy; librdkafka's log lines -> our log, at a limited rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from contracts.errors import BusError, ConfigError, TooLarge

SAY_AGAIN_S = 10.0
ASK_S = 3.0  # deadline for an answer of a broker
ASK_AGAIN_S = 0.05
APPLY = "create it with: headwater topics apply"

T = TypeVar("T")

GONE = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        100,  # UNKNOWN_TOPIC_ID: the topic was deleted and created again
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    )
)
TOO_LARGE = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE))
DENIED = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    )
)
AWAY = frozenset((KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE))
UNUSABLE = frozenset((KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL))
MOVING = frozenset(  # the leader is new, or some brokers do not know it yet
    (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    )
)
OUT_OF_RANGE = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))
# Errors of a broker that refused, or of the client before it sent: nothing was stored. Other errors leave this open.
REFUSED = GONE | TOO_LARGE | DENIED | {KafkaError.POLICY_VIOLATION, KafkaError.INVALID_RECORD}


def kafka_error(error: KafkaException) -> KafkaError:
    """The `KafkaError` inside the exception."""
    carried = error.args[0]
    return carried if isinstance(carried, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def asked(question: Callable[[], T]) -> T:
    """The answer to `question`; retried for `ASK_S` while leaders move.

    Raises:
        KafkaException: No answer, or an error that a retry does not help.
    """
    until_s = time.monotonic() + ASK_S
    while True:
        try:
            return question()
        except KafkaException as error:
            if kafka_error(error).code() not in MOVING or time.monotonic() >= until_s:
                raise
            time.sleep(ASK_AGAIN_S)


def bus_error(error: KafkaError, what: str) -> BusError:
    """Our error for `error`. `what` is the subject of its message: "topic x", "Kafka at host:9092"."""
    code = error.code()
    if code in GONE:
        return BusError(f"{what} does not exist", hint=APPLY)
    if code in TOO_LARGE:
        return TooLarge(
            f"a message is larger than {what} allows",
            hint="raise max.message.bytes of the topic: headwater topics apply",
        )
    if code in DENIED:
        hint = "give HEADWATER_BUS_SASL_USER the rights that docs/settings.md names"
        return BusError(f"{what} may not be used: {error.str()}", hint=hint)
    if code == KafkaError._AUTHENTICATION:
        hint = "check HEADWATER_BUS_SASL_MECHANISM, HEADWATER_BUS_SASL_USER and HEADWATER_BUS_SASL_PASSWORD"
        return BusError(f"{what} refused the log-in: {error.str()}", hint=hint)
    if code == KafkaError._SSL:
        return BusError(f"{what}: TLS failed: {error.str()}", hint="check HEADWATER_BUS_TLS_CA and the brokers' names")
    if code in AWAY:
        hint = "check that the brokers of HEADWATER_BUS_URL run and can be reached"
        return BusError(f"{what} does not answer: {error.str()}", hint=hint, retry_after_s=2)
    return BusError(f"{what}: {error.str()}", retry_after_s=2)


def config_error(error: KafkaException) -> ConfigError:
    """Our error for a client that could not be created: an option of its configuration cannot work."""
    text = kafka_error(error).str()
    name = "HEADWATER_BUS_TLS_CA, _CERTIFICATE or _KEY" if "ssl" in text.lower() else "HEADWATER_BUS_KAFKA_OPTIONS"
    return ConfigError(f"{name}: {text}", hint="see docs/settings.md, and librdkafka's list of options")


class Rare(logging.Filter):
    """Passes one line of a kind in `SAY_AGAIN_S`; the next such line gives the number of lines left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._logged: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.args[0]) if isinstance(record.args, tuple) and record.args else record.msg
        now_s = self._clock()
        logged_s, left_out = self._logged.get(kind, (float("-inf"), 0))
        if now_s - logged_s < SAY_AGAIN_S:
            self._logged[kind] = (logged_s, left_out + 1)
            return False
        self._logged[kind] = (now_s, 0)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more like it)"
            record.args = ()
        return True


def client_log(name: str) -> logging.Logger:
    """The logger that a client of librdkafka writes to."""
    logger = logging.getLogger(f"headwater.bus.{name}")
    if not any(isinstance(each, Rare) for each in logger.filters):
        logger.addFilter(Rare())
    return logger
