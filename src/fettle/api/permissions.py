"""What each route asks of a caller: one permission, declared where the route is."""

from collections.abc import Iterator
from typing import Any

from fastapi import Depends, Request, params
from fastapi.dependencies.models import Dependant

from fettle.errors import Forbidden
from fettle.types.access import Permission, Principal


class Needs:
    """Lets only those pass who have a permission."""

    def __init__(self, permission: Permission) -> None:
        """The rule of a route."""
        self.permission = permission

    def __call__(self, request: Request) -> None:
        """Check the principal that authentication has found.

        Raises:
            Forbidden: its role, or the key's scopes, do not give the permission.
        """
        principal = principal_of(request)
        if self.permission not in principal.permissions:
            told = f"this needs the permission {self.permission!r}, which the API key does not have"
            raise Forbidden(told, hint=f"Its role is {principal.role!r}. Ask an administrator for another key.")


def needs(permission: Permission) -> params.Depends:
    """The rule as a route's dependency: `@router.get("", dependencies=[needs("files:read")])`."""
    return Depends(Needs(permission))  # type: ignore[no-any-return]


def principal_of(request: Request) -> Principal:
    """Whom a request comes from."""
    principal = request.state.principal
    assert isinstance(principal, Principal), "authentication comes first"
    return principal


def permissions_of(dependant: Dependant) -> Iterator[Permission]:
    """The permissions that a route declares."""
    for one in dependant.dependencies:
        if isinstance(one.call, Needs):
            yield one.call.permission
        yield from permissions_of(one)


def check_declared(request: Request, principal: Principal) -> None:
    """Let nobody but administrators call a route that declares nothing.

    Raises:
        Forbidden: it declares nothing.
    """
    if principal.role != "admin" and not needed(request):
        raise Forbidden(f"{request.url.path} is for administrators", hint="Ask one for a key with the role 'admin'.")


def needed(request: Request) -> list[Permission]:
    """The permissions that the route of a request declares."""
    route: Any = request.scope["route"]
    return list(permissions_of(route.dependant))
