"""The service on its own: `query_api.app:app` opens its stores on first access and closes them when it stops."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI

import query_api.app as module
from contracts.settings import load_settings
from contracts.tenants import Role, Tenant
from tests.query_api.in_process import client_of
from web.keys import create_key


def test_the_app_is_built_once_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(module, "_apps", [])
    app: FastAPI = module.app
    assert module.app is app
    token = create_key(load_settings().keys_file, Tenant("ours"), Role.READ).token
    with client_of(app, {"Authorization": f"Bearer {token}"}) as client:
        assert client.get("/health/ready").status_code == 200
        assert client.get("/logs/search").json()["records"] == []
        assert client.get("/conservation").json()["accounts"][0]["difference"] == 0

    async def stop() -> None:
        async with app.router.lifespan_context(app):
            pass

    anyio.run(stop)
    with client_of(app, {"Authorization": f"Bearer {token}"}) as client:
        assert client.get("/conservation").status_code == 503


def test_nothing_else_is_made_up() -> None:
    with pytest.raises(AttributeError):
        _ = module.nothing
