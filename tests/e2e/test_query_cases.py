"""Each case of `tests/cases/queries` as a user meets it: sent over HTTP to a running platform, asked in every tier."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from contracts.tenants import Role, Tenant
from tests.cases.reading import Case, Clock, cases, difference
from tests.headwater.platform import Platform, platform
from tests.waiting import until
from web.keys import create_key

TIERS = ("hot,lake", "lake", "hot")
CASES = cases()


class Sender:
    """One case's records, as a tenant of their own."""

    def __init__(self, up: Platform, case: Case) -> None:
        self._up = up
        self._case = case
        self._tenant = Tenant(f"case-{case.name}")
        self.clock = Clock.at(time.time())

    def client(self, role: Role) -> httpx.Client:
        token = create_key(self._up.settings.keys_file, self._tenant, role).token
        return httpx.Client(base_url=self._up.url, headers={"X-API-Key": token}, timeout=60)

    def send(self) -> None:
        records = [self.clock.set(record) for record in self._case.records]
        with self.client(Role.INGEST) as client:
            for number, part in enumerate([[one] for one in records] if self._case.apart else [records]):
                key = {"Idempotency-Key": f"{self._case.name}-{number}"}
                post = partial(client.post, f"/{self._case.kind}", json=part, headers=key)
                until(lambda post=post: post().status_code != 401, "the new key being known")  # type: ignore[misc]  # mypy types no default
                answer = post()
                assert (answer.status_code, answer.json().get("rejected")) == (202, []), answer.text

    def is_stored(self, client: httpx.Client) -> bool:
        """Whether both stores have all of it."""
        answer = client.get("/conservation")
        accounts = answer.json()["accounts"] if answer.status_code == 200 else []  # 401 until the new key is known
        account = next((one for one in accounts if one["kind"] == self._case.kind), None)
        if account is None or account["visible"] < len(self._case.records):
            return False
        return not any(lag["messages"] for lag in account["lag"].values())


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, dict[str, Sender]]]:
    """A platform to which the records of every case were sent."""
    with platform(tmp_path_factory.mktemp("cases")) as up:
        sent = {case.name: Sender(up, case) for case in CASES}
        for sender in sent.values():
            sender.send()
        yield up, sent


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_every_question_of_a_case_is_answered_right_in_every_tier(
    clocks: tuple[Platform, dict[str, Sender]], case: Case
) -> None:
    sender = clocks[1][case.name]
    wrong: list[str] = []
    with sender.client(Role.READ) as client:
        until(partial(sender.is_stored, client), "the records being stored", timeout_s=60)
        for ask in case.asks:
            params: dict[str, Any] = sender.clock.set(ask["params"])
            for tiers in [params["tiers"]] if "tiers" in params else TIERS:
                answer = client.get(ask["path"], params={**params, "tiers": tiers})
                if tell := difference(answer, ask["want"], sender.clock):
                    wrong.append(f"{ask['params']} in {tiers}: {tell}")
    assert not wrong, "\n".join(wrong)
