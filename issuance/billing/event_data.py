"""What events say, type by type: the fields of `data` (INTERFACE 6).

Fields that are not known are left out, and a warning names them.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictStr, model_validator

from issuance.deciding.frequency import BillingFrequency
from issuance.fields import Amount, CalendarDate, Email, Identifier, Name

#: No order has more guests than this; it bounds the work that one event asks for.
MOST_GUESTS = 500
#: How often a membership is billed if its sign-up does not say so.
USUAL_FREQUENCY = "P1M"


def _frequency(text: str) -> str:
    return BillingFrequency.parse(text).text


Frequency = Annotated[
    StrictStr,
    AfterValidator(_frequency),
    Field(
        json_schema_extra={
            "pattern": r"^P(([1-9]|[1-4]\d|5[0-2])W|([1-9]|[12]\d|3[0-6])M|[1-3]Y)$",
            "examples": ["P1M"],
        }
    ),
]


class NamedGuest(BaseModel):
    """A person on the order. `guest_id`: without one, a sign-up's guest gets one that the same event always gives, and
    a later list's guest is recognised by the rest (SEMANTICS 5)."""

    guest_id: UUID | None = None
    name: Name
    email: Email | None = None
    external_user_id: Identifier | None = None
    lead_booker: StrictBool = False


class Data(BaseModel):
    """What every event says: the membership that it is about."""

    membership_id: UUID


class SignedUp(Data):
    """`membership.signed_up`. The billing anchor is `starts_on` unless it says otherwise."""

    membership_type_id: UUID
    external_user_id: Identifier
    starts_on: CalendarDate
    billing_anchor: CalendarDate | None = None
    billing_frequency: Frequency | None = Field(None, description=f"{USUAL_FREQUENCY} if it is not said")
    guests: Annotated[list[NamedGuest], Field(max_length=MOST_GUESTS)] | None = None

    @model_validator(mode="after")
    def _anchored(self) -> "SignedUp":
        _not_before("billing_anchor", self.billing_anchor, "starts_on", self.starts_on)
        return self


class StatusChanged(Data):
    """`membership.status_changed`. `ends_on` is the first day on which the membership is ended; null takes the
    announcement back, except with `cancelled` and `expired`, where it says nothing."""

    status: Literal["active", "needs_attention", "paused", "cancelled", "expired"]
    ends_on: CalendarDate | None = Field(default_factory=lambda: None)


class BillingDateMoved(Data):
    """`membership.billing_date_moved`: from now on it is billed from the new anchor on, and as often as the event
    says."""

    billing_anchor: CalendarDate
    billing_frequency: Frequency | None = None


class StartMoved(Data):
    """`membership.start_moved`: a trial is extended or cut short. The billing anchor is the new start unless it says
    otherwise."""

    starts_on: CalendarDate
    billing_anchor: CalendarDate | None = None

    @model_validator(mode="after")
    def _anchored(self) -> "StartMoved":
        _not_before("billing_anchor", self.billing_anchor, "starts_on", self.starts_on)
        return self


class TypeChanged(Data):
    """`membership.type_changed`: from now on by the rules of another type. `switch`: the running period too."""

    membership_type_id: UUID
    current_period: Literal["keep", "switch"] = "keep"


class GuestsChanged(Data):
    """`membership.guests_changed`: the whole party as it is now."""

    guests: Annotated[list[NamedGuest], Field(max_length=MOST_GUESTS)]


class ChargeData(Data):
    """`charge.*`: one billing period, without `period_end` up to the next boundary."""

    charge_id: Identifier
    period_start: CalendarDate
    period_end: CalendarDate | None = None
    amount: Amount | None = None
    amount_refunded: Amount | None = Field(None, description="The sum so far")

    @model_validator(mode="after")
    def _forward(self) -> "ChargeData":
        _not_before("period_end", self.period_end, "period_start", self.period_start)
        return self


DATA_OF: dict[str, type[Data]] = {
    "membership.signed_up": SignedUp,
    "membership.status_changed": StatusChanged,
    "membership.billing_date_moved": BillingDateMoved,
    "membership.start_moved": StartMoved,
    "membership.type_changed": TypeChanged,
    "membership.guests_changed": GuestsChanged,
    "charge.initiated": ChargeData,
    "charge.succeeded": ChargeData,
    "charge.failed": ChargeData,
    "charge.skipped": ChargeData,
    "charge.refunded": ChargeData,
    "charge.disputed": ChargeData,
}

_FIELDS = {kind: frozenset(kind.model_fields) for kind in DATA_OF.values()}
_OF_GUEST = frozenset(NamedGuest.model_fields)


def unknown_fields(kind: type[Data], data: Mapping[str, Any]) -> dict[str, Any]:
    """What `data`, which is well-formed, says beside the fields of its type, by dotted path."""
    unknown = {name: data[name] for name in data.keys() - _FIELDS[kind]}
    if "guests" in kind.model_fields:
        unknown |= _unknown_of_guests(data.get("guests") or ())
    return unknown


def _unknown_of_guests(guests: Any) -> Iterator[tuple[str, Any]]:
    for index, guest in enumerate(guests):
        for name in guest.keys() - _OF_GUEST:
            yield f"guests.{index}.{name}", guest[name]


def _not_before(name: str, day: date | None, start_name: str, start: date) -> None:
    if day is not None and day < start:
        raise ValueError(f"{name} must not be before {start_name}")
