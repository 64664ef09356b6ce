"""A calendar that shares no code with the product: it counts days, and reads the zones' files itself.

It knows no `datetime`, `zoneinfo` or `calendar`: days are counted from 1970-01-01, instants in seconds from then.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

DAY = 86_400
#: Rules that go on for ever are written out up to here.
LAST_YEAR = 2060

_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def length_of(year: int, month: int) -> int:
    """The days of a month."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else _LENGTHS[month - 1]


def number_of(year: int, month: int, day: int) -> int:
    """A date's number: 0 is 1970-01-01. By the count of leap days, in years that begin in March."""
    year, month = (year - 1, month + 9) if month < 3 else (year, month - 3)
    return year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 1 - 719_468


def later(year: int, month: int, day: int, months: int) -> tuple[int, int, int]:
    """A date some months later, on the month's last day where it has no such day: a month at a time."""
    years, months = divmod(months, 12)
    year += years
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return year, month, min(day, length_of(year, month))


@dataclass(frozen=True)
class Zone:
    """A zone's offsets (seconds east of Greenwich), each from an instant on."""

    since: tuple[int, ...]
    offsets: tuple[int, ...]

    def offset(self, instant: int) -> int:
        return self.offsets[max(0, bisect_right(self.since, instant) - 1)]

    def wall(self, instant: int) -> int:
        """What a clock on the wall shows, in seconds."""
        return instant + self.offset(instant)

    def first(self, wall: int) -> int:
        """The first instant at which a clock on the wall shows `wall` or more: after a gap the gap's end."""
        for turn, offset in enumerate(self.offsets):
            begin = self.since[turn] if turn else wall - 2 * DAY
            end = self.since[turn + 1] if turn + 1 < len(self.since) else None
            found = max(begin, wall - offset)
            if end is None or found < end:
                return found
        raise AssertionError("the last offset has no end")

    def changes(self, first_year: int, last_year: int) -> list[int]:
        """The instants within some years at which clocks are put forward or back."""
        low, high = number_of(first_year, 1, 1) * DAY, number_of(last_year + 1, 1, 1) * DAY
        turns = range(1, len(self.since))
        return [
            self.since[turn]
            for turn in turns
            if low <= self.since[turn] < high and self.offsets[turn] != self.offsets[turn - 1]
        ]


@lru_cache(maxsize=1024)
def zone_of(name: str) -> Zone:
    """A zone, from its TZif file (RFC 8536)."""
    data = _file_of(name)
    first = struct.unpack_from(">4sc15x6l", data)
    assert first[0] == b"TZif"
    assert first[1] >= b"2", "only the first version has no 64-bit part"
    start = 44 + _size(first[2:], 4)
    _, _, isut, isstd, leap, times, types, letters = struct.unpack_from(">4sc15x6l", data, start)
    assert not leap, "civil time has no leap seconds"
    at = start + 44
    instants = struct.unpack_from(f">{times}q", data, at)
    kinds = data[at + 8 * times : at + 9 * times]
    offsets = [struct.unpack_from(">l", data, at + 9 * times + 6 * kind)[0] for kind in range(types)]
    footer = data[start + 44 + _size((isut, isstd, leap, times, types, letters), 8) :].strip(b"\n").decode()
    changes = [(-(1 << 60), offsets[0]), *zip(instants, (offsets[kind] for kind in kinds), strict=True)]
    known = changes[-1][0]
    changes += [change for change in _for_ever(footer, known) if change[0] > known]
    return Zone(tuple(instant for instant, _ in changes), tuple(offset for _, offset in changes))


def _file_of(name: str) -> bytes:
    return resources.files("tzdata").joinpath("zoneinfo", name).read_bytes()


def _size(counts: tuple[int, ...], width: int) -> int:
    isut, isstd, leap, times, types, letters = counts
    return times * width + times + types * 6 + letters + leap * (width + 4) + isstd + isut


_NAME = r"(?:[A-Za-z]{3,}|<[^>]+>)"
_TIME = r"[+-]?\d+(?::\d+){0,2}"
_FOOTER = re.compile(rf"{_NAME}({_TIME})(?:{_NAME}({_TIME})?,([^,/]+)(?:/({_TIME}))?,([^,/]+)(?:/({_TIME}))?)?")


def _for_ever(footer: str, known: int) -> Iterator[tuple[int, int]]:
    """The changes that a POSIX TZ string describes, year by year."""
    if not footer:
        return
    match = _FOOTER.fullmatch(footer)
    assert match, footer
    standard, summer, begins, begins_at, ends, ends_at = match.groups()
    winter_offset = -_seconds(standard)
    if begins is None:
        yield known + 1, winter_offset
        return
    summer_offset = -_seconds(summer) if summer else winter_offset + 3600
    changes = []
    for year in range(1970, LAST_YEAR):
        begin = _day(begins, year) * DAY + _seconds(begins_at or "2") - winter_offset
        end = _day(ends, year) * DAY + _seconds(ends_at or "2") - summer_offset
        changes += [(begin, summer_offset), (end, winter_offset)]
    yield from sorted(changes)


def _seconds(time: str) -> int:
    sign = -1 if time.startswith("-") else 1
    parts = [int(part) for part in time.lstrip("+-").split(":")]
    return sign * sum(part * size for part, size in zip(parts, (3600, 60, 1), strict=False))


def _day(rule: str, year: int) -> int:
    """The number of the day in a year that a rule means: Mm.w.d, Jn or n."""
    january = number_of(year, 1, 1)
    if rule.startswith("J"):
        count = int(rule[1:])
        return january + count - 1 + (count > 59 and length_of(year, 2) == 29)
    if not rule.startswith("M"):
        return january + int(rule)
    month, week, weekday = (int(part) for part in rule[1:].split("."))
    first = number_of(year, month, 1)
    found = first + (weekday - (first + 4)) % 7 + (week - 1) * 7
    return found if found < first + length_of(year, month) else found - 7
