"""`headwater keys`: the key file -> keys made, listed, revoked."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.tenants import Role, tenant_named
from headwater.console import err, out, table

if TYPE_CHECKING:
    from contracts.settings import Settings


def create(settings: Settings, tenant: str, role: str) -> int:
    """Print the new key alone on standard output, so that `KEY=$(headwater keys create …)` works."""
    from web.keys import create_key

    made = create_key(settings.keys_file, tenant_named(tenant), _role(role))
    print(made.token, flush=True)
    err.print(f"[dim]key {made.key_id} of tenant {tenant}, role {role}: shown this once, only its hash is kept[/]")
    return 0


def show(settings: Settings, as_json: bool) -> int:
    from web.keys import list_keys

    keys = sorted(list_keys(settings.keys_file), key=lambda key: (key.tenant, key.created_s))
    if as_json:
        entries = [
            {"key_id": key.key_id, "tenant": key.tenant, "role": key.role.value, "created": _when(key.created_s)}
            for key in keys
        ]
        print(json.dumps(entries, indent=2))
        return 0
    if not keys:
        out.print(f"no keys in {settings.keys_file}; make one: headwater keys create --tenant default --role read")
        return 0
    rows = table("key id", "tenant", "role", "created")
    for key in keys:
        rows.add_row(key.key_id, key.tenant, key.role.value, _when(key.created_s))
    out.print(rows)
    return 0


def revoke(settings: Settings, key_id: str) -> int:
    """The id, or the whole key, whose id is in it."""
    from web.keys import revoke_key

    if key_id.startswith("hw_") and key_id.count("_") >= 2:
        key_id = key_id.split("_")[1]
    if not revoke_key(settings.keys_file, key_id):
        raise ConfigError(f'there is no key "{key_id}" in {settings.keys_file}', hint="see: headwater keys list")
    out.print(f"key {key_id} is revoked; running services refuse it from now on")
    return 0


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise ConfigError(f'role "{name}" is not known: use ingest, read or admin') from None


def _when(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
