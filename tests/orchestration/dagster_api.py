"""Dagster's GraphQL as its pages use it: to start runs and see how they end."""

from __future__ import annotations

from typing import Any

import httpx

from tests.waiting import until

LOOK_S = 1.0  # each look is an answer of the process that is watched
_LAUNCH = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_TRIES = """query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results { runId status } } } }"""


class DagsterApi:
    def __init__(self, url: str) -> None:
        self._url = f"{url}/graphql"

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = httpx.post(self._url, json={"query": query, "variables": variables}, timeout=30).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def launch(self, job: str, day: str, assets: list[list[str]]) -> str:
        """The id of the run."""
        params = {
            "selector": {
                "repositoryLocationName": "headwater",
                "repositoryName": "__repository__",
                "jobName": job,
                "assetSelection": [{"path": path} for path in assets],
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
            "runConfigData": {},
        }
        done = self.ask(_LAUNCH, p=params)["launchPipelineExecution"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def status(self, run: str) -> str:
        return str(self.ask(_STATUS, id=run)["runOrError"]["status"])

    def ended(self, run: str, timeout_s: float = 90) -> str:
        until(lambda: self.status(run) in ("SUCCESS", "FAILURE", "CANCELED"), "the run ending", timeout_s, LOOK_S)
        return self.status(run)

    def tries(self, run: str) -> dict[str, str]:
        """The run and those that tried it again: their states by id, the newest first."""
        tag = [{"key": "dagster/root_run_id", "value": run}]
        again = self.ask(_TRIES, f={"tags": tag})["runsOrError"]["results"]
        return {**{each["runId"]: each["status"] for each in again}, run: self.status(run)}
