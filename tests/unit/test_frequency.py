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


@pytest.mark.parametrize("text", ["billing_cycle", "P0D", *REFUSED])
def test_a_membership_is_billed_by_months_only(text: str) -> None:
    """billing_cycle and P0D are for rules: a membership's own frequency is P1M, P3M, P6M or P1Y."""
    assert [BillingFrequency(known).months for known in ("P1M", "P3M", "P6M", "P1Y")] == [1, 3, 6, 12]
    with pytest.raises(ValueError, match="is not a valid"):
        BillingFrequency(text)


@pytest.mark.parametrize("billing", list(BillingFrequency))
def test_billing_cycle_means_the_memberships_own_frequency(billing: BillingFrequency) -> None:
    """billing_cycle and P0D go by the membership's billing; the others by their own months."""
    assert IssuingFrequency.BILLING_CYCLE.months(billing) == billing.months
    assert IssuingFrequency.ONCE.months(billing) == billing.months
    assert IssuingFrequency.QUARTER.months(billing) == 3


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
