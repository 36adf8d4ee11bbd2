"""Tenants and roles. A tenant is a typed value that every storage call takes, without a default."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import NewType

from contracts.errors import ConfigError

Tenant = NewType("Tenant", str)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


def tenant_named(name: str) -> Tenant:
    """The tenant `name` (1-63 of a-z, 0-9, "-", "_"; starts with a letter or digit).

    Raises:
        ConfigError: The name breaks the rule.
    """
    if not _NAME.match(name):
        raise ConfigError(f'tenant name "{name[:80]}" is not allowed: use 1-63 of a-z, 0-9, "-" and "_"')
    return Tenant(name)


class Role(enum.StrEnum):
    """The rights of a key. `admin` includes the other two."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """The owner of a request's key."""

    tenant: Tenant
    role: Role
    key_id: str

    def may(self, role: Role) -> bool:
        return self.role is role or self.role is Role.ADMIN
