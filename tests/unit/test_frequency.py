"""Frequencies and validities: parsed once, into a few values (SEMANTICS 2, 6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuance.deciding.frequency import (
    BillingFrequency,
    IssuingFrequency,
    Validity,
    parse_validity,
)

ISSUING = ["billing_cycle", "P0D", "P1M", "P3M", "P6M", "P1Y"]
REFUSED = ["P2M", "-P1M", "P0.5M", "P12M", "PT1H", "P1W", "P30D", "P0M", "p1m", " P1M", "P1M ", "P1M\n", "", "monthly"]


@pytest.mark.parametrize("text", ISSUING)
def test_the_six_issuing_frequencies_are_read_and_written_alike(text: str) -> None:
    """Each of the six values parses, to a value that says the same."""
    assert IssuingFrequency(text).value == text


@pytest.mark.parametrize("text", REFUSED)
def test_any_other_issuing_frequency_is_refused(text: str) -> None:
    """Nothing but the six values passes, even where ISO 8601 means the same or isodate reads it."""
    with pytest.raises(ValueError, match="is not a valid"):
        IssuingFrequency(text)


@given(st.text(max_size=12))
def test_no_text_but_the_six_is_a_frequency(text: str) -> None:
    """Whatever is sent, it is one of the six or a ValueError."""
    if text in ISSUING:
        assert IssuingFrequency(text).value == text
    else:
        with pytest.raises(ValueError, match="is not a valid"):
            IssuingFrequency(text)


@pytest.mark.parametrize(("unit", "most"), [("W", 52), ("M", 36), ("Y", 3)])
def test_a_membership_is_billed_by_weeks_months_or_years(unit: str, most: int) -> None:
    """PnW up to 52, PnM up to 36, PnY up to 3; years are months."""
    for number in range(1, most + 1):
        frequency = BillingFrequency.parse(f"P{number}{unit}")
        months = {"W": 0, "M": number, "Y": number * 12}[unit]
        assert (frequency.text, frequency.interval.months) == (f"P{number}{unit}", months)
        assert frequency.interval.weeks == (number if unit == "W" else 0)
    for number in (0, most + 1, 99):
        with pytest.raises(ValueError, match="must be"):
            BillingFrequency.parse(f"P{number}{unit}")


@pytest.mark.parametrize("text", ["billing_cycle", "P0D", "P01M", "P\u0661M", *set(REFUSED) - {"P2M", "P12M", "P1W"}])
def test_any_other_billing_frequency_is_refused(text: str) -> None:
    """billing_cycle and P0D are for rules; ISO 8601 has more than we take."""
    with pytest.raises(ValueError, match="must be"):
        BillingFrequency.parse(text)


def test_billing_cycle_and_p0d_have_no_period_of_their_own() -> None:
    """They go by the membership's billing; the others by their own months."""
    own = {frequency: frequency.interval for frequency in IssuingFrequency}
    assert own.pop(IssuingFrequency.BILLING_CYCLE) is None
    assert own.pop(IssuingFrequency.ONCE) is None
    assert [interval and interval.months for interval in own.values()] == [1, 3, 6, 12]


@pytest.mark.parametrize(
    ("text", "months", "days"),
    [
        ("P60D", 0, 60),
        ("P1M", 1, 0),
        ("P1Y", 12, 0),
        ("P2W", 0, 14),
        ("P1Y2M10D", 14, 10),
        ("P1Y1W", 12, 7),
        ("P1M2W3D", 1, 17),
        ("P100Y", 1200, 0),
        ("P36525D", 0, 36525),
        ("P0Y1D", 0, 1),
    ],
)
def test_a_validity_is_whole_calendar_time(text: str, months: int, days: int) -> None:
    """Years, months, weeks and days, in that order and in any selection."""
    assert parse_validity(text) == Validity(months, days)


@pytest.mark.parametrize(
    "text",
    [
        *("P", "", "P0D", "P0Y0M", "P0W", "-P1M", "+P1M", "P-1D", "P1.5M", "P0,5D", "PT1H", "P1DT1H", "P1D1M", "1M"),
        *("P1M ", "P101Y", "P1201M", "P36526D", "P99999999999D", "P１D", "P1m", "P1D\n", "P1M1M"),
    ],
)
def test_any_other_validity_is_refused(text: str) -> None:
    """No signs, fractions, times, nothing at all, and no more than a century."""
    with pytest.raises(ValueError, match="must be"):
        parse_validity(text)
