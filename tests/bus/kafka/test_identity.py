"""Which topic a name stands for, asked of brokers that do not answer in time."""

from __future__ import annotations

import pytest

from bus.kafka import identity
from bus.kafka.config import cluster_of
from bus.kafka.identity import Identities
from contracts.errors import BusError
from contracts.settings import load_settings
from tests.ports import free_port


def test_a_client_that_does_not_come_to_answer_in_time_is_a_bus_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine its thread is later than its own deadline."""
    identities = Identities(cluster_of(f"kafka://127.0.0.1:{free_port()}", load_settings()))
    identities._asker()
    monkeypatch.setattr(identity, "ASK_S", 1e-3)
    with pytest.raises(BusError):
        identities.of("logs.raw")
