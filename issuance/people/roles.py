"""Roles: what a person may do in a brand. Each may do what those before it may."""

from typing import Literal, get_args

Role = Literal["viewer", "desk", "manager", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
#: What each is for, in a few words.
MEANINGS: dict[Role, str] = {
    "viewer": "sees everything but the audit, keys and people",
    "desk": "redeems, and corrects credit by credit",
    "manager": "rules, runs and approvals",
    "admin": "keys, people, webhooks and the audit",
}


def may(role: Role, needed: Role) -> bool:
    """Whether a role suffices where `needed` is asked for."""
    return ROLES.index(role) >= ROLES.index(needed)
