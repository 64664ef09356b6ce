"""What a field may hold: parsed once, at the edge, alike in requests, events and the command line."""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.config import JsonDict
from pydantic_core import ErrorDetails

#: No date of a membership lies outside these years; it keeps every calendar finite and every instant storable.
FIRST_YEAR, LAST_YEAR = 1900, 2199

#: The most points that one call credits or spends.
MOST_POINTS_AT_ONCE = 10**12

Moment = TypeVar("Moment")

_WHOLE = re.compile(r"-?\d+", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)

#: White space, controls, what Unicode says to ignore where it can not be drawn, and the blank of Braille.
_UNSEEN = (
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    r"\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    # As they are: not every reader of the API document has an escape for these.
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SEEN = re.compile(rf"[^{_UNSEEN}]")
UNSAID = "must say something"


def camel(name: str) -> str:
    """A field's name as it is written under /v1: displayName, externalUserID."""
    first, *others = name.split("_")
    return first + "".join("ID" if other == "id" else other.capitalize() for other in others)


class Body(BaseModel):
    """A JSON object from outside: a field it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class CamelBody(Body):
    """A JSON object from outside under /v1, where fields are written in camelCase."""

    model_config = ConfigDict(alias_generator=camel, validate_by_name=False, validate_by_alias=True)


def complaint(error: ErrorDetails) -> str:
    """What is wrong with one field, in our words."""
    match error["type"]:
        case "extra_forbidden":
            return "unknown field"
        case "missing":
            return "is required"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a JSON object"
    return error["msg"].removeprefix("Value error, ")


def goes_with(limit: str, others: JsonDict, *needed: str) -> JsonDict:
    """How the API document says that a limit which is not null goes only with others, of which some are `needed`."""
    beside: JsonDict = {"properties": others, "required": [*needed]} if needed else {"properties": others}
    return {limit: {"anyOf": [{"properties": {limit: {"type": "null"}}}, beside]}}


def storable(text: str) -> str:
    """A text that PostgreSQL can keep. Raises ValueError."""
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    return text


def says_something(text: str) -> bool:
    """Whether a text has a character that can be seen."""
    return _SEEN.search(text) is not None


def _said(text: str) -> str:
    if not says_something(text):
        raise ValueError(UNSAID)
    return text


def _date(value: object) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        day = _real(date.fromisoformat, value)
        if FIRST_YEAR <= day.year <= LAST_YEAR:
            return day
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    raise ValueError("must be a date: YYYY-MM-DD")


def _instant(value: object) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        instant = _real(datetime.fromisoformat, value.upper())
        if FIRST_YEAR <= instant.year <= LAST_YEAR:
            return instant.astimezone(UTC)
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    raise ValueError("must be an RFC 3339 instant with an offset, such as 2031-04-01T00:00:00Z")


def date_or_instant(value: object) -> date | datetime:
    """Either, told apart by their form."""
    try:
        return _date(value) if isinstance(value, str) and _DATE.fullmatch(value) else _instant(value)
    except ValueError as error:
        raise ValueError(f"{error} (or a date)" if "RFC 3339" in str(error) else str(error)) from None


def _real(parse: Callable[[str], Moment], value: str) -> Moment:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"is not on the calendar or the clock: {error}") from None


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("must be an IANA time zone, such as Europe/Lisbon")
    return name


def _whole(value: object) -> object:
    # JSON has only one kind of number: 5.0 is 5.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _digits(value: object) -> object:
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ValueError("must be a whole number")
    return value


def _flag(value: object) -> object:
    if isinstance(value, str) and value.lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise ValueError("must be a number")
    return value


def _plain_json(value: Any) -> Any:
    match value:
        case str():
            storable(value)
        case float() if not math.isfinite(value):
            raise ValueError("must hold finite numbers only")
        case dict():
            for name, part in value.items():
                storable(name)
                _plain_json(part)
        case list():
            for part in value:
                _plain_json(part)
    return value


def alike(one: object, other: object) -> bool:
    """Whether two values say the same as JSON, as PostgreSQL compares it: the order of names says nothing, 1.0 is 1,
    and true is not 1."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(map(alike, one.values(), map(other.get, one)))
        case list(), list():
            return len(one) == len(other) and all(map(alike, one, other))
        case (bool(), _) | (_, bool()):
            return one is other
        case (float(), int() | float()) | (int(), float()):
            return _exact(one) == _exact(other)
    return one == other


def _exact(number: object) -> object:
    return Decimal(repr(number)) if isinstance(number, float) else number  # as it is written, not as it is in binary


# The length comes first: it is what the API document shows, with what the validators after it refuse.
_Storable = AfterValidator(storable)
SHOWN_PATTERN = r"^[^\u0000]*$"
_Shown = Field(json_schema_extra={"pattern": SHOWN_PATTERN})
#: Days and instants of FIRST_YEAR to LAST_YEAR, as the API document says them.
DAYS = r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
INSTANTS = DAYS + r"[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
Name = Annotated[StrictStr, StringConstraints(min_length=1, max_length=255), _Storable, _Shown]
#: An id that others gave: a member's, a charge's, an event's.
Identifier = Annotated[StrictStr, StringConstraints(min_length=1, max_length=255), _Storable, _Shown]
CouponName = Annotated[StrictStr, StringConstraints(min_length=1, max_length=120), _Storable, _Shown]
Description = Annotated[StrictStr, StringConstraints(max_length=4000), _Storable, _Shown]
Reference = Annotated[StrictStr, StringConstraints(max_length=255), _Storable, _Shown]
#: Why somebody does something: it can be read (SEMANTICS 15).
REASON_PATTERN = rf"^[^\u0000]*[^{_UNSEEN}][^\u0000]*$"
Reason = Annotated[
    StrictStr,
    StringConstraints(min_length=1, max_length=500),
    _Storable,
    AfterValidator(_said),
    Field(json_schema_extra={"pattern": REASON_PATTERN}),
]
Email = Annotated[StrictStr, StringConstraints(max_length=320), _Storable, _Shown]
DisplayName = Annotated[StrictStr, StringConstraints(max_length=255), _Storable, _Shown]
Tier = Annotated[StrictStr, StringConstraints(max_length=255), _Storable, _Shown]
Offer = Annotated[StrictStr, StringConstraints(max_length=255), _Storable, _Shown]
TimeZone = Annotated[StrictStr, AfterValidator(_timezone)]
CalendarDate = Annotated[date, BeforeValidator(_date), Field(json_schema_extra={"pattern": f"{DAYS}$"})]
Instant = Annotated[datetime, BeforeValidator(_instant), Field(json_schema_extra={"pattern": INSTANTS})]
Amount = Annotated[
    Decimal,
    Field(ge=0, max_digits=18, decimal_places=6),  # before what follows, so that it costs no call
    BeforeValidator(_number),
    PlainSerializer(lambda amount: format(amount.normalize(), "f"), return_type=str),  # 90.0 is 90
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}),
]
#: The use at which a multi-use credit is redeemed, and into how many further periods a credit rolls over (SEMANTICS 6).
MaxUses = Annotated[int, Field(strict=True, ge=2, le=1000), BeforeValidator(_whole)]
RollOverLimit = Annotated[int, Field(strict=True, ge=1, le=60), BeforeValidator(_whole)]
#: Credits of a rule in a day, and months of a preview.
PerDay = Annotated[int, Field(strict=True, ge=1, le=2_000_000_000), BeforeValidator(_whole)]
Months = Annotated[int, Field(strict=True, ge=1, le=60), BeforeValidator(_whole)]
Points = Annotated[StrictInt, Field(ge=1, le=MOST_POINTS_AT_ONCE, examples=[100]), BeforeValidator(_whole)]
VersionNumber = Annotated[int, Field(strict=True, ge=1, le=2_000_000_000), BeforeValidator(_whole)]
#: In a query, where all is text: a whole number in digits (its bounds stand before this, or the API document has none),
#: and a flag.
IN_DIGITS = BeforeValidator(_digits)
QueryFlag = Annotated[bool, BeforeValidator(_flag)]
#: Any JSON that PostgreSQL can keep.
PlainJson = Annotated[Any, AfterValidator(_plain_json)]
PlainObject = Annotated[dict[str, Any], AfterValidator(_plain_json)]
