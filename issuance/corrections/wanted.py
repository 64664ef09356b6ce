"""What can be asked for at the desk, and why it is refused."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from issuance.errors import Conflict


@dataclass(frozen=True, slots=True)
class Grant:
    """One credit of a coupon for one guest of a membership; None: the lead booker. `valid_from` is by default now, and
    `expires_at` the coupon's validity later (instants)."""

    membership_id: UUID
    coupon_id: str
    reason: str
    guest_id: UUID | None = None
    valid_from: datetime | None = None
    expires_at: datetime | None = None
    multi_use: bool = False
    max_uses: int | None = None


@dataclass(frozen=True, slots=True)
class Extend:
    """A later expiry for a credit that is not spent and not taken back."""

    code: str
    expires_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Another holder for a live credit: a guest of an order, or a member by the brand's id."""

    code: str
    reason: str
    guest_id: UUID | None = None
    external_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Revoke:
    """A credit is taken back by the operator. If the facts had taken it back before, they restore it no more."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reinstate:
    """The operator's revocation is lifted; one by the facts is not."""

    code: str
    reason: str


Correction = Grant | Extend | Transfer | Revoke | Reinstate


class NotRevoked(Conflict):
    """The credit was not revoked."""

    code = "not_revoked"


class AlreadyHeld(Conflict):
    """They hold the credit already."""

    code = "already_held"
