"""`headwater keys`: the key file -> keys made, listed, revoked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contracts.errors import ConfigError
from contracts.tenants import Role, tenant_named
from headwater.console import err, out, table

if TYPE_CHECKING:
    from contracts.settings import Settings
