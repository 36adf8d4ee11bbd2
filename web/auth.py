"""Authentication: request headers -> `Principal`. The tenant comes from the key alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from contracts.tenants import Principal, Role
from web.keys import KeyFile
from web.problems import Problem

_HOW = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headwater"'}


def requires(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that gives the principal of a request, and refuses a key without the role `role`.

    Raises (in the request):
        Problem: 401 `missing_key` or `unknown_key`, 403 `wrong_role`.
    """

    async def principal(request: Request) -> Principal:
        token = _token(request)
        if not token:
            raise Problem(401, "missing_key", f"the request has no API key: {_HOW}", headers=_CHALLENGE)
        keys: KeyFile = request.app.state.keys
        found = keys.principal(token)
        if found is None:
            detail = f"the API key is unknown or was revoked: {_HOW}, or create a new key"
            raise Problem(401, "unknown_key", detail, headers=_CHALLENGE)
        request.state.tenant = found.tenant
        if not found.may(role):
            detail = f'the key has the role "{found.role}": use one with the role "{role}" or "admin"'
            raise Problem(403, "wrong_role", detail)
        return found

    return principal


def _token(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key", "").strip()
