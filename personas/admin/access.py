"""Who may use a route: each route of a section states the least role, or the console does not start.

@router.get(PATH, dependencies=EDITOR) ──▶ signed in? ──▶ role enough? ──▶ the page, or a page that names the role
"""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from personas.accounts import User
from personas.admin.session import signed_in
from personas.roles import Role


class Needs:
    """Dependency of a route: only users of a role, or of one that includes it, come in."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, user: Annotated[User, Depends(signed_in)]) -> None:
        if not user.role.includes(self.role):
            who = "The provider that you sign in by says so" if user.is_sso else "An admin can change that, under Users"
            text = f"This needs the role {self.role}, and yours is {user.role}. {who}."
            raise HTTPException(403, text)


ANALYST: Sequence[Dependency] = (Depends(Needs(Role.ANALYST)),)
EDITOR: Sequence[Dependency] = (Depends(Needs(Role.EDITOR)),)
ADMIN: Sequence[Dependency] = (Depends(Needs(Role.ADMIN)),)


def role_of(route: BaseRoute) -> Role:
    """Return the least role that a route states.

    Raises:
        ValueError: it states none.
    """
    if isinstance(route, APIRoute):
        for dependency in route.dependencies:
            if isinstance(dependency.dependency, Needs):
                return dependency.dependency.role
    path = getattr(route, "path", route)
    raise ValueError(f"The route {path} states no role; give it dependencies=ANALYST, EDITOR or ADMIN.")
