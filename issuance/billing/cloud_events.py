"""Billing events as they come: CloudEvents 1.0 in JSON, parsed whole or refused with a reason (INTERFACE 6)."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, ValidationError, model_validator
from pydantic_core import from_json

from issuance.deciding.frequency import BillingFrequency
from issuance.fields import Amount, Body, CalendarDate, Email, Identifier, Instant, Name, complaint

#: No order has more guests than this; it bounds the work that one event asks for.
MOST_GUESTS = 500
_MOST_MESSAGES = 5

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

Model = TypeVar("Model", bound=BaseModel)


class Refused(Exception):
    """An event that can not be taken in: `code` and the message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """A well-formed event. `data` is what is kept of it; `body_hash` tells another body under the same id."""

    source: str
    event_id: str
    type: str
    time: datetime
    membership_id: UUID
    charge_id: str | None
    data: dict[str, Any]
    body_hash: bytes


class SignedUpGuest(Body):
    """A person on the order. Without an id of their own they get one that the same event always gives them."""

    guest_id: UUID | None = None
    name: Name
    email: Email | None = None
    external_user_id: Identifier | None = None
    lead_booker: StrictBool = False


class NamedGuest(SignedUpGuest):
    guest_id: UUID


class _Data(Body):
    membership_id: UUID


class SignedUp(_Data):
    """`membership.signed_up`. The billing anchor is `starts_on` unless it says otherwise."""

    membership_type_id: UUID
    external_user_id: Identifier
    starts_on: CalendarDate
    billing_anchor: CalendarDate | None = None
    billing_frequency: Annotated[str, AfterValidator(lambda said: BillingFrequency.parse(said).text)] = "P1M"
    guests: Annotated[list[SignedUpGuest], Field(max_length=MOST_GUESTS)] | None = None

    @model_validator(mode="after")
    def _anchored(self) -> "SignedUp":
        _not_before("billing_anchor", self.billing_anchor, "starts_on", self.starts_on)
        return self


class StatusChanged(_Data):
    """`membership.status_changed`. `ends_on` is the first day on which the membership is ended."""

    status: Literal["active", "needs_attention", "paused", "cancelled", "expired"]
    ends_on: CalendarDate | None = None

    @model_validator(mode="after")
    def _ends_when_ended(self) -> "StatusChanged":
        if self.ends_on is not None and self.status not in ("cancelled", "expired"):
            raise ValueError("ends_on goes with cancelled and expired only")
        return self


class BillingDateMoved(_Data):
    """`membership.billing_date_moved`: from now on billed on the anchor and its turns."""

    billing_anchor: CalendarDate


class GuestsChanged(_Data):
    """`membership.guests_changed`: the whole party as it is now."""

    guests: Annotated[list[NamedGuest], Field(max_length=MOST_GUESTS)]


class ChargeData(_Data):
    """`charge.*`: one billing period, without `period_end` up to the next boundary."""

    charge_id: Identifier
    period_start: CalendarDate
    period_end: CalendarDate | None = None
    amount: Amount | None = None
    amount_refunded: Amount | None = None

    @model_validator(mode="after")
    def _forward(self) -> "ChargeData":
        if self.period_end is not None and self.period_end <= self.period_start:
            raise ValueError("period_end must be after period_start")
        return self


class CloudEvent(BaseModel):
    """The envelope. Extension attributes are let through and not kept."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: Identifier
    source: Identifier
    type: Identifier
    time: Instant
    data: dict[str, Any]


DATA_OF: dict[str, type[_Data]] = {
    "membership.signed_up": SignedUp,
    "membership.status_changed": StatusChanged,
    "membership.billing_date_moved": BillingDateMoved,
    "membership.guests_changed": GuestsChanged,
    "charge.initiated": ChargeData,
    "charge.succeeded": ChargeData,
    "charge.failed": ChargeData,
    "charge.skipped": ChargeData,
    "charge.refunded": ChargeData,
    "charge.disputed": ChargeData,
}


def read_json(text: str | bytes) -> object:
    """The JSON value of a text: strict, finite and not too deep. Raises Refused."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refused("malformed", f"this is not JSON: {error}") from None


def parse(body: object) -> BillingEvent:
    """The event that a JSON value is. Raises Refused."""
    if not isinstance(body, dict):
        raise Refused("malformed", "an event is a JSON object")
    envelope = _valid(CloudEvent, body)
    kind = DATA_OF.get(envelope.type)
    if kind is None:
        raise Refused("unknown_type", f"there is no event of the type {envelope.type[:100]!r}")
    data = _valid(kind, envelope.data, within="data.")
    charge_id = data.charge_id if isinstance(data, ChargeData) else None
    kept = data.model_dump(mode="json", exclude={"membership_id", "charge_id"})
    if isinstance(data, SignedUp):
        kept["billing_anchor"] = kept["billing_anchor"] or kept["starts_on"]
        kept["guests"] = _party(data.guests or [], data.membership_id, f"{envelope.source} {envelope.id}")
    if isinstance(data, GuestsChanged):
        if not data.guests:
            raise Refused("lead_booker", "an order has exactly one lead booker, not 0")
        kept["guests"] = _party(data.guests, data.membership_id, "")
    return BillingEvent(
        source=envelope.source,
        event_id=envelope.id,
        type=envelope.type,
        time=envelope.time,
        membership_id=data.membership_id,
        charge_id=charge_id,
        data=kept,
        body_hash=_hash(envelope),
    )


def lead_alone(membership_id: UUID, name: str, external_user_id: str) -> dict[str, Any]:
    """The only guest of an order that was signed up without guests: the member, as lead booker."""
    guest_id = str(uuid5(membership_id, "lead"))
    return {
        "guest_id": guest_id,
        "name": name,
        "email": None,
        "external_user_id": external_user_id,
        "lead_booker": True,
    }


def _valid(model: type[Model], value: object, within: str = "") -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused("malformed", _message(error, within)) from None


def _message(error: ValidationError, within: str) -> str:
    lines = []
    for part in error.errors(include_url=False)[:_MOST_MESSAGES]:
        place = within + ".".join(str(step)[:100] for step in part["loc"])
        lines.append(f"{place.rstrip('.')}: {complaint(part)}")
    # The place may hold whatever a sender called a field.
    return "".join(letter if letter.isprintable() else "?" for letter in "; ".join(lines))


def _party(guests: Sequence[SignedUpGuest], membership_id: UUID, event: str) -> list[dict[str, Any]]:
    leads = sum(guest.lead_booker for guest in guests)
    if guests and leads != 1:
        raise Refused("lead_booker", f"an order has exactly one lead booker, not {leads}")
    party = []
    for index, guest in enumerate(guests):
        guest_id = guest.guest_id or uuid5(membership_id, f"{event} {index}")
        party.append({**guest.model_dump(mode="json"), "guest_id": str(guest_id)})
    if len({guest["guest_id"] for guest in party}) < len(party):
        raise Refused("malformed", "data.guests: two guests have one guest_id")
    return party


def _not_before(name: str, day: date | None, start_name: str, start: date) -> None:
    if day is not None and day < start:
        raise ValueError(f"{name} must not be before {start_name}")


def _hash(envelope: CloudEvent) -> bytes:
    # As it was sent: a default that changes in a later release makes no conflict.
    said = {"type": envelope.type, "time": envelope.time.isoformat(), "data": envelope.data}
    return hashlib.sha256(_CANONICAL.encode(said).encode()).digest()
