"""Who asks: request headers -> `Principal`. The tenant comes from the key alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request

from contracts.tenants import Principal, Role
from web.keys import KeyFile
from web.problems import Problem

_HOW = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="headwater"'}


def requires(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency that lets a request through whose key may do `role`, and gives its principal.

    Raises (in the request):
        Problem: 401 `missing_key` or `unknown_key`, 403 `wrong_role`.
    """

    async def principal(request: Request) -> Principal:
        token = _token(request)
        if not token:
            raise Problem(401, "missing_key", f"an API key is needed: {_HOW}", headers=_CHALLENGE)
        keys: KeyFile = request.app.state.keys
        found = keys.principal(token)
        if found is None:
            tell = f"the API key is not known: {_HOW}, and check that it has not been revoked"
            raise Problem(401, "unknown_key", tell, headers=_CHALLENGE)
        request.state.tenant = found.tenant
        if not found.may(role):
            tell = f'the key has the role "{found.role}": use one with the role "{role}" or "admin"'
            raise Problem(403, "wrong_role", tell)
        return found

    return principal


def _token(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key", "").strip()
