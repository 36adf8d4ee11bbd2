"""Health: named checks -> `/health/live`, `/health/ready`."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from web.problems import encode

Check = Callable[[], str]
CHECK_TIMEOUT_S = 5.0
CHECK_THREADS = 8  # separate from the threads that answer requests, as a check may hang

router = APIRouter(prefix="/health", tags=["health"])


def add_check(app: FastAPI, name: str, check: Check) -> None:
    """Make readiness of `app` depend on `check`, which returns "" or the reason why not ready. It may block."""
    app.state.checks[name] = check


@router.get("/live", summary="The process runs")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get("/ready", summary="All parts that the service needs answer; otherwise 503 with the reasons")
async def ready(request: Request) -> Response:
    checks: dict[str, Check] = dict(request.app.state.checks)
    threads: anyio.CapacityLimiter = request.app.state.check_threads
    reasons: dict[str, str] = {}

    async def run(name: str, check: Check) -> None:
        reasons[name] = await _reason(check, threads)

    async with anyio.create_task_group() as group:
        for name, check in checks.items():
            group.start_soon(run, name, check)
    results = {name: {"ready": not reasons[name], "reason": reasons[name]} for name in checks}
    good = not any(reasons.values())
    body = encode({"status": "ready" if good else "unavailable", "checks": results})
    return Response(body, 200 if good else 503, media_type="application/json")


async def _reason(check: Check, threads: anyio.CapacityLimiter) -> str:
    try:
        with anyio.fail_after(CHECK_TIMEOUT_S):
            return await anyio.to_thread.run_sync(check, abandon_on_cancel=True, limiter=threads)
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
