"""What a mapping's values are in a webhook. Each has a bounded length, so that a megabyte that twenty fields name stays
one megabyte."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from issuance.billers.adapter import Json, Known, NotReadable
from issuance.billers.mapped.mapping import Said, Value, first
from issuance.deciding.calendar import day_of
from issuance.deciding.frequency import BillingFrequency

#: Characters of a field's text, and of a name: of a membership or a price.
LONGEST_TEXT, LONGEST_NAME = 1024, 255
#: The most digits of a number.
_MOST_DIGITS = 40
_UNITS = {"week": "W", "month": "M", "year": "Y"}


def said(name: str, value: Said, body: Json, known: Known) -> Any:
    """What the field `name` of a fact says; None: it says nothing. Raises NotReadable."""
    if not isinstance(value, Value):
        found = first(value, body) if isinstance(value, str) and value.startswith("$") else value
    elif value.read_as == "text":
        return text_of(value_at(value, body), name)
    else:
        found = value_at(value, body)
        if value.read_as == "date":
            return _date(found, known)
        if value.read_as == "frequency":
            return _frequency(found, name)
    return text_of(found, name) if isinstance(found, str) else found


def value_at(value: Value, body: Json) -> Any:
    """What a value's path finds, put through its table. Raises NotReadable if there is a table and no text to look up
    in it."""
    found = first(value.path, body) if isinstance(value.path, str) else _joined(value.path, body)
    if value.map is not None:
        key = str(found).lower() if isinstance(found, bool) else text_of(found, "/".join(value.paths))
        return None if key is None else value.map.get(key)
    return found


def _joined(paths: Sequence[str], body: Json) -> str | None:
    """What several paths find, as one text; None where one finds nothing. Raises NotReadable."""
    found = [text_of(first(path, body), path, LONGEST_NAME) for path in paths]
    return None if None in found else "/".join(map(str, found))


def _frequency(found: Any, name: str) -> str | None:
    """A billing frequency: a unit, or a number and a unit. Raises NotReadable if no membership can be billed so: it
    would be taken as billed every month."""
    text = text_of(found, name)
    if text is None:
        return None
    number, _, unit = text.rpartition("/")
    try:
        return BillingFrequency.parse(f"P{number or 1}{_UNITS.get(unit.lower().removesuffix('s'), '')}").text
    except ValueError:
        raise NotReadable(f"{name[:100]} is no number of weeks, months or years that a membership may have") from None


def text_of(found: Any, name: str, most: int = LONGEST_TEXT) -> str | None:
    """What was found, as a text of at most so many characters; None if nothing was. Raises NotReadable."""
    if isinstance(found, (dict, list)):
        raise NotReadable(f"{name[:100]} is {'an object' if isinstance(found, dict) else 'a list'}, not a text")
    if isinstance(found, int) and found.bit_length() > 3 * _MOST_DIGITS:
        raise NotReadable(f"{name[:100]} is a number of more than {_MOST_DIGITS} digits")
    text = None if found is None else str(found)
    if text is not None and len(text) > most:
        raise NotReadable(f"{name[:100]} has more than {most} characters")
    if text is not None and "\x00" in text:
        raise NotReadable(f"{name[:100]} has a character that can not be stored")
    return text


def instant(found: Any) -> datetime | None:
    """An instant in seconds, or in milliseconds where it would be too far ahead, or as ISO 8601 says it (UTC without an
    offset)."""
    try:
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000 if found > 100_000_000_000 else found, UTC)
        if isinstance(found, str):
            read = datetime.fromisoformat(found)
            return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _date(found: Any, known: Known) -> str | None:
    """A date as it is, or the date of an instant in the brand's zone."""
    if isinstance(found, str):
        try:
            return date.fromisoformat(found).isoformat()
        except ValueError:
            pass
    at = instant(found)
    return None if at is None else day_of(at, known.zone).isoformat()
