"""Where a membership can stand (SEMANTICS 7)."""

from enum import StrEnum


class Status(StrEnum):
    """Where a membership stands."""

    UPCOMING = "upcoming"
    ACTIVE = "active"
    BILLING = "billing"
    NEEDS_ATTENTION = "needs_attention"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


#: The statuses of memberships that are over.
ENDED = frozenset({Status.CANCELLED, Status.EXPIRED})
