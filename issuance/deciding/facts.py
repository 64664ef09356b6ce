"""What is known of one membership: plain, immutable facts, as decisions read them.

No ids: a guest is known by its place on the order, a charge by its number, a credit by its key. So memberships that
differ only in ids have equal facts and one decision. All instants are aware datetimes in UTC, all dates are in the
brand's zone.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from issuance.deciding.archivings import GuestArchiving
from issuance.deciding.frequency import BillingFrequency, IssuingFrequency, Validity
from issuance.deciding.statuses import Status


class ChargeState(StrEnum):
    """What the latest fact about a charge says, in the order in which facts of one instant happened."""

    INITIATED = "initiated"
    FAILED = "failed"
    SKIPPED = "skipped"
    SUCCEEDED = "succeeded"
    DISPUTED = "disputed"
    REFUNDED = "refunded"


class Moment(NamedTuple):
    """When a fact happened, and its place among the membership's facts, which tells facts of one instant apart
    (SEMANTICS 7)."""

    at: datetime
    place: float


class Guest(NamedTuple):
    """A guest on a party list. `place`: 0, 1, 2 … in the order in which the order's guests were first named."""

    place: int
    lead_booker: bool


@dataclass(frozen=True, slots=True)
class SignedUp:
    moment: Moment
    guests: tuple[Guest, ...]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """`ends_on`: the first day on which the membership is ended, None if it was not said. `takes_end_back`: it cancels
    an end that was announced."""

    moment: Moment
    status: Status
    ends_on: date | None
    takes_end_back: bool = False


@dataclass(frozen=True, slots=True)
class BillingDateMoved:
    """`billing_frequency`: how often it is billed from then on; None: as before."""

    moment: Moment
    billing_anchor: date
    billing_frequency: BillingFrequency | None = None


@dataclass(frozen=True, slots=True)
class StartMoved:
    """It changes the sign-up's dates, if it is told before the start (SEMANTICS 7)."""

    moment: Moment
    starts_on: date
    billing_anchor: date


@dataclass(frozen=True, slots=True)
class TypeChanged:
    """The membership is of another type from then on. `automatic`: that type's `billing: automatic`. `switches`:
    periods that are running go over to it (SEMANTICS 18)."""

    moment: Moment
    membership_type_id: UUID
    automatic: bool
    switches: bool


@dataclass(frozen=True, slots=True)
class GuestsChanged:
    """The whole party from then on."""

    moment: Moment
    guests: tuple[Guest, ...]


@dataclass(frozen=True, slots=True)
class ChargeTold:
    """One fact about one charge. `number`: the place of the first fact about it; -1, -2 … those that `billing:
    automatic` makes. `period_end` is exclusive, and None if it was not said."""

    moment: Moment
    number: int
    state: ChargeState
    period_start: date
    period_end: date | None
    amount: Decimal | None
    amount_refunded: Decimal | None


Fact = SignedUp | StatusChanged | BillingDateMoved | StartMoved | TypeChanged | GuestsChanged | ChargeTold


class CreditKey(NamedTuple):
    """A credit of a membership is unique on this (SEMANTICS 8). `place`: of the guest who is entitled to it."""

    credit_rule_id: UUID
    place: int
    period_start: date
    reissue: int


class HeldState(StrEnum):
    """The state of a credit that a guard holds back. LAPSED: it was no longer owed, or expired, before anybody decided.
    If it is owed again, it keeps its date."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A credit that a guard held back when it was owed (SEMANTICS 17). `manual`: an issue by hand."""

    key: CreditKey
    at: datetime
    state: HeldState
    manual: bool = False


@dataclass(frozen=True, slots=True)
class MembershipFacts:
    """Everything that is known of a membership except its credits, future facts included.

    Type, dates and frequency are those of the sign-up.
    """

    membership_type_id: UUID
    zone: ZoneInfo
    #: The type's `billing: automatic`: charges need no biller (SEMANTICS 7).
    automatic: bool
    starts_on: date
    billing_anchor: date
    billing_frequency: BillingFrequency
    #: In the order in which they happened, whenever they arrived.
    told: tuple[Fact, ...]
    #: When the member was archived, or None.
    archived_at: datetime | None = None
    #: When the member was last brought back after an archiving.
    returned_at: datetime | None = None
    #: The archivings of guests who are members: the one that stands, and the last one that is over.
    archived_guests: tuple[GuestArchiving, ...] = ()
    #: What a guard held back, and what became of it, by its key.
    held: tuple[Held, ...] = ()

    @property
    def types(self) -> tuple[UUID, ...]:
        """All types that the membership ever has, the sign-up's first."""
        changed = (fact.membership_type_id for fact in self.told if isinstance(fact, TypeChanged))
        return tuple(dict.fromkeys([self.membership_type_id, *changed]))

    @property
    def signed_up_at(self) -> datetime:
        """When the membership was signed up."""
        return self.sign_up.moment.at

    @property
    def sign_up(self) -> SignedUp:
        """The fact that began the membership."""
        return next(fact for fact in self.told if isinstance(fact, SignedUp))


@dataclass(frozen=True, slots=True)
class Coupon:
    coupon_id: str
    validity: Validity | None
    #: Whether it was saved again since it was made: its validity may have been another.
    edited: bool = False
    #: The validities that it had before, each until an instant (the brand's clock), the first ones first.
    former: tuple[tuple[datetime, Validity | None], ...] = ()

    def validity_at(self, instant: datetime) -> Validity | None:
        """The validity that it had at an instant: its first one, if it was not made yet."""
        return next((validity for until, validity in self.former if instant < until), self.validity)


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """An immutable state of a credit rule (SEMANTICS 4)."""

    version: int
    created_at: datetime
    membership_type_id: UUID
    coupon_id: str
    coupon_name: str
    #: None if the coupon is not there: nothing can be issued then.
    coupon: Coupon | None
    roll_over: bool
    issue_on_signup: bool
    multi_use: bool
    for_lead_booker_only: bool
    frequency: IssuingFrequency
    include_upcoming: bool
    #: The use at which a multi-use credit is redeemed, or None if it never is.
    max_uses: int | None = None
    #: Into how many further periods a credit rolls over at most, or None if into any number.
    roll_over_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A credit rule: its versions, 1 first, without the deletion, which `deleted_at` tells.

    `made_at`: when it was made, where version 1 counts as created before that (`effective_from`).
    """

    credit_rule_id: UUID
    versions: tuple[RuleVersion, ...]
    deleted_at: datetime | None
    made_at: datetime | None = None

    @property
    def latest(self) -> RuleVersion:
        return self.versions[-1]

    def version(self, number: int) -> RuleVersion:
        return self.versions[number - 1]


#: In the key of a grant: it is under no rule, and takes no period's key (SEMANTICS 15). Its number is a `reissue`.
NO_RULE, NO_PERIOD = UUID(int=0), date.min


@dataclass(frozen=True, slots=True)
class Credit:
    """An issued credit."""

    key: CreditKey
    #: 0 of a grant, which no version decided.
    rule_version: int
    period_end: date | None
    roll_over: bool
    multi_use: bool
    valid_from: datetime
    expires_at: datetime | None
    validity_ends_at: datetime | None
    issued_at: datetime
    manual: bool
    max_uses: int | None = None
    uses: int = 0
    redeemed_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    expired_at: datetime | None = None
    flagged_at: datetime | None = None
    #: Until when a person extended it: no fact makes it expire before that (SEMANTICS 15).
    extended_to: datetime | None = None
    extended_at: datetime | None = None

    @property
    def is_grant(self) -> bool:
        """Whether a person gave it, under no rule."""
        return self.key.credit_rule_id == NO_RULE

    @property
    def is_a_persons(self) -> bool:
        """Whether a person gave it, or extended it."""
        return self.manual or self.extended_to is not None

    @property
    def is_over_for_good(self) -> bool:
        """Whether it had expired when an archiving or an undo would have revoked it: no fact restores it (decision 56).
        Any other credit is found expired later than its validity began."""
        return self.expired_at == self.valid_from

    @property
    def is_open(self) -> bool:
        """Neither redeemed, nor revoked, nor found expired."""
        return self.redeemed_at is None and self.revoked_at is None and self.expired_at is None

    def is_held_at(self, now: datetime) -> bool:
        """Unredeemed, unexpired and unrevoked; one not yet valid counts too (SEMANTICS 9)."""
        return (
            self.redeemed_at is None and self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
        )
