"""Roles of the console's users: what each may do, from least to most."""

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may."""

    ANALYST = "analyst"
    EDITOR = "editor"
    ADMIN = "admin"

    def includes(self, needed: "Role") -> bool:
        """Return whether this role may do what ``needed`` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


MEANINGS = {
    Role.ANALYST: "reads calls, personas and customers, listens to recordings",
    Role.EDITOR: "and writes personas, customers and numbers, talks to personas, ends and hands over live calls",
    Role.ADMIN: "and manages users and reads the audit log",
}
