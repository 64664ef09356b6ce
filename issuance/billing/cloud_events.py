"""Billing events as they come: CloudEvents 1.0 in JSON, parsed whole or refused with a reason (INTERFACE 6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from issuance.billing.event_data import (
    DATA_OF,
    USUAL_FREQUENCY,
    ChargeData,
    Data,
    GuestsChanged,
    NamedGuest,
    SignedUp,
    StatusChanged,
    unknown_fields,
)
from issuance.deciding.statuses import ENDED, Status
from issuance.fields import Identifier, Instant, PlainObject, complaint
from issuance.shown import shown

_MOST_MESSAGES = 5
#: Bytes, as JSON, of what an event says beside the fields of its type. What is more is not kept.
MOST_UNKNOWN = 8_192

Model = TypeVar("Model", bound=BaseModel)


#: Why an event can be refused.
RefusalCode = Literal[
    "already_signed_up",
    "event_conflict",
    "lead_booker",
    "malformed",
    "too_large",
    "two_guests_of_one_member",
    "unknown_membership_type",
    "unknown_type",
]


class Refused(Exception):
    """An event that can not be taken in: `code` and the message say why."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class EventWarning(NamedTuple):
    """Why the sender of an event that is accepted may have meant something else: a code and a message."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """A well-formed event. `data` is what is understood of it, in the form in which it is kept."""

    source: str
    event_id: str
    type: str
    time: datetime
    membership_id: UUID
    charge_id: str | None
    data: dict[str, Any]
    #: What it says beside that, by dotted path.
    unknown_fields: dict[str, Any] = field(default_factory=dict)
    #: What its own words give rise to.
    warnings: tuple[EventWarning, ...] = ()
    #: What it said as it came, if it named somebody who was forgotten.
    as_told: tuple[object, ...] | None = None
    #: Since when it is here, if not since now: what a biller sent was kept before it was translated.
    received_at: datetime | None = None

    @property
    def said(self) -> tuple[object, ...]:
        """What the event says, in a form that compares equal where it says the same."""
        return meaning(self.type, self.time, self.membership_id, self.charge_id, self.data)


class CloudEvent(BaseModel):
    """The envelope. Extension attributes are let through and not kept."""

    model_config = ConfigDict(extra="allow")

    specversion: Literal["1.0"]
    id: Identifier
    source: Identifier
    type: Identifier
    time: Instant
    data: dict[str, Any]


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
    unknown = unknown_fields(kind, envelope.data)
    kept = _storable(unknown) if unknown else {}
    if len(to_json(kept)) > MOST_UNKNOWN:
        kept = {}
    return BillingEvent(
        source=envelope.source,
        event_id=envelope.id,
        type=envelope.type,
        time=envelope.time,
        membership_id=data.membership_id,
        charge_id=data.charge_id if isinstance(data, ChargeData) else None,
        data=_understood(data, f"{envelope.source} {envelope.id}"),
        unknown_fields=kept,
        warnings=tuple(_warnings(data, unknown, is_kept=bool(kept))),
    )


def meaning(
    event_type: str, time: datetime, membership_id: UUID, charge_id: str | None, data: Mapping[str, Any]
) -> tuple[object, ...]:
    """What a kept event says, in a form that is equal for events that say the same.

    Null says nothing, except where it takes an end back. A lead booker who is alone was told by nobody: their name is
    the one that the member had that day.
    """
    said = {name: value for name, value in data.items() if value is not None or name == "ends_on"}
    if "guests" in said:
        alone = str(_lone_lead(membership_id))
        said["guests"] = [guest for guest in said["guests"] if guest["guest_id"] != alone]
    for name in ("amount", "amount_refunded"):
        if name in said:
            said[name] = Decimal(said[name])
    return event_type, time, membership_id, charge_id, said


def lead_alone(membership_id: UUID, name: str, external_user_id: str) -> dict[str, Any]:
    """The only guest of an order that was signed up without guests: the member, as lead booker."""
    return {
        "guest_id": str(_lone_lead(membership_id)),
        "name": name,
        "email": None,
        "external_user_id": external_user_id,
        "lead_booker": True,
    }


def _lone_lead(membership_id: UUID) -> UUID:
    return uuid5(membership_id, "lead")


def _understood(data: Data, event: str) -> dict[str, Any]:
    """The data as they are kept. Raises Refused."""
    kept = data.model_dump(mode="json", exclude={"membership_id", "charge_id"})
    match data:
        case SignedUp():
            kept["billing_anchor"] = kept["billing_anchor"] or kept["starts_on"]
            kept["billing_frequency"] = kept["billing_frequency"] or USUAL_FREQUENCY
            kept["guests"] = _party(data.guests or [])
            for index, guest in enumerate(kept["guests"]):
                guest["guest_id"] = guest["guest_id"] or str(uuid5(data.membership_id, f"{event} {index}"))
        case GuestsChanged():
            if not data.guests:
                raise Refused("lead_booker", "an order has exactly one lead booker, not 0")
            kept["guests"] = _party(data.guests)
        case StatusChanged():
            takes_back = "ends_on" in data.model_fields_set and Status(data.status) not in ENDED
            if data.ends_on is None and not takes_back:
                del kept["ends_on"]
    return kept


def _party(guests: Sequence[NamedGuest]) -> list[dict[str, Any]]:
    leads = sum(guest.lead_booker for guest in guests)
    if guests and leads != 1:
        raise Refused("lead_booker", f"an order has exactly one lead booker, not {leads}")
    if _twice([guest.guest_id for guest in guests]):
        raise Refused("malformed", "data.guests: two guests have one guest_id")
    if _twice([guest.external_user_id for guest in guests]):
        raise Refused("two_guests_of_one_member", "data.guests: two guests have one external_user_id")
    return [guest.model_dump(mode="json") for guest in guests]


def _twice(ids: Sequence[object]) -> bool:
    given = [one for one in ids if one is not None]
    return len(set(given)) < len(given)


def _warnings(data: Data, unknown: Mapping[str, Any], *, is_kept: bool) -> list[EventWarning]:
    warnings = []
    if unknown:
        names = shown(", ".join(name[:100] for name in sorted(unknown)[:_MOST_MESSAGES]))
        what = "kept and not read" if is_kept else f"neither read nor kept, over {MOST_UNKNOWN:,} bytes"
        warnings.append(EventWarning("unknown_field", f"{what}: {names}"))
    if isinstance(data, SignedUp) and data.billing_frequency is None:
        warnings.append(EventWarning("billing_frequency_missing", f"it is {USUAL_FREQUENCY}"))
    return warnings


_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(PlainObject)


def _storable(unknown: dict[str, Any]) -> dict[str, Any]:
    try:
        return _OBJECT.validate_python(unknown)
    except ValidationError as error:
        raise Refused("malformed", _message(error, "data.")) from None


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
    return shown("; ".join(lines))
