"""Analytics: totals, and sums by day, week and month of the brand's calendar."""

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from issuance.errors import Invalid
from issuance.members.analytics import MOST_BUCKETS, Window, bounds_of
from tests.end_to_end.members import Brand


def test_the_summary_adds_up(brand: Brand, other: Brand) -> None:
    empty = brand.call("GET", "/v1/analytics/summary")
    statuses = (
        "submitted",
        "open",
        "awaiting_vendor",
        "awaiting_customer",
        "purchased",
        "completed",
        "canceled",
        "total",
    )
    assert empty == {
        "memberCount": 0,
        "pointsMinted": 0,
        "pointsSpent": 0,
        "completionRate": 0.0,
        "redemptions": dict.fromkeys(statuses, 0),
    }
    brand.member("ada", points=100)
    brand.member("bob", points=50)
    other.member("ada", points=7)
    made = [
        brand.call("POST", "/v1/redemptions", 201, json={"points": 10, "externalUserID": "ada"})["id"] for _ in range(4)
    ]
    for status in ("OPEN", "AWAITING_VENDOR", "AWAITING_CUSTOMER", "PURCHASED", "COMPLETED"):
        brand.call("PATCH", f"/v1/redemptions/{made[0]}", json={"status": status})
    brand.call("PATCH", f"/v1/redemptions/{made[1]}", json={"status": "CANCELED"})
    brand.call("DELETE", "/v1/members/bob")
    summary = brand.call("GET", "/v1/analytics/summary")
    assert (summary["memberCount"], summary["pointsMinted"], summary["pointsSpent"]) == (1, 150, 30)
    assert summary["completionRate"] == 0.25
    counted = {**dict.fromkeys(statuses, 0), "submitted": 2, "completed": 1, "canceled": 1, "total": 4}
    assert summary["redemptions"] == counted


def test_points_by_day(brand: Brand) -> None:
    brand.member("ada", points=100)
    brand.settle("2031-01-11T00:00:00Z")
    brand.member("bob", points=5)
    brand.call("POST", "/v1/redemptions", 201, json={"points": 30, "externalUserID": "ada"})
    brand.call("DELETE", "/v1/members/ada")
    query = {"from": "2031-01-09T00:00:00Z", "to": "2031-01-12T00:00:00Z", "interval": "day"}
    buckets = brand.call("GET", "/v1/analytics/timeseries", params=query)["buckets"]
    assert [(b["startTime"], b["pointsMinted"], b["pointsSpent"], b["signups"]) for b in buckets] == [
        ("2031-01-09T00:00:00Z", 0, 0, 0),
        ("2031-01-10T00:00:00Z", 100, 0, 1),
        ("2031-01-11T00:00:00Z", 5, 30, 1),
    ]
    assert buckets[-1]["endTime"] == "2031-01-12T00:00:00Z"
    dates = {"from": "2031-01-09", "to": "2031-01-11", "interval": "day"}
    assert brand.call("GET", "/v1/analytics/timeseries", params=dates)["buckets"] == buckets


def test_credits_by_month(brand: Brand) -> None:
    kind = brand.rule()
    for name in ("ada", "bob", "cyd"):
        brand.sign_up(kind, name)
    codes = [credit["code"] for credit in brand.credits()]
    brand.call("POST", f"/customers/credits/{codes[0]}/redeem")
    undone = brand.call("POST", f"/customers/credits/{codes[1]}/redeem")["redemption"]["id"]
    brand.call("PATCH", f"/v1/redemptions/{undone}", json={"status": "CANCELED"})
    brand.settle("2031-03-01T00:00:00Z")
    query = {"from": "2031-01-01", "to": "2031-02-28", "interval": "month"}
    buckets = brand.call("GET", "/customers/credits/timeseries", params=query)["buckets"]
    assert [(b["start_time"], b["issued"], b["redeemed"], b["expired"]) for b in buckets] == [
        ("2031-01-01T00:00:00Z", 3, 1, 0),
        ("2031-02-01T00:00:00Z", 0, 0, 2),
    ]


def test_days_are_the_brands_days() -> None:
    """23 and 25 hours where the clock changes; weeks from Monday; the ends stay where they were asked for."""
    lisbon = ZoneInfo("Europe/Lisbon")
    days = bounds_of(Window(date(2031, 3, 29), date(2031, 3, 31), "day"), lisbon)
    assert [(end - start).total_seconds() / 3600 for start, end in pairwise(days)] == [24, 23, 24]
    inside = Window(datetime(2031, 1, 8, 5, tzinfo=UTC), datetime(2031, 1, 21, 7, tzinfo=UTC), "week")
    assert [bound.isoformat() for bound in bounds_of(inside, lisbon)] == [
        "2031-01-08T05:00:00+00:00",
        "2031-01-13T00:00:00+00:00",
        "2031-01-20T00:00:00+00:00",
        "2031-01-21T07:00:00+00:00",
    ]
    months = bounds_of(Window(date(2031, 1, 31), date(2031, 3, 1), "month"), ZoneInfo("UTC"))
    assert [bound.day for bound in months] == [31, 1, 1, 2]


def test_a_window_has_its_bounds(brand: Brand) -> None:
    zone = ZoneInfo("UTC")
    most = bounds_of(Window(date(2030, 1, 1), date(2032, 9, 26), "day"), zone)
    assert len(most) - 1 == MOST_BUCKETS
    with pytest.raises(Invalid):
        bounds_of(Window(date(2030, 1, 1), date(2032, 9, 27), "day"), zone)
    wrong = (
        {"from": "1900-01-01", "to": "2199-12-31", "interval": "week"},
        {"from": "2031-01-02", "to": "2031-01-03", "interval": "year"},
        {"from": "2031-01-02T00:00:00", "to": "2031-01-03"},
        {"from": "2031-01-02"},
        {"to": "x", "from": "2031-01-02"},
    )
    for query in wrong:
        assert brand.refused("GET", "/v1/analytics/timeseries", 422, params=query) == "VALIDATION"
    for query in (
        {"from": "2031-01-02", "to": "2031-01-01"},
        {"from": "2031-01-02T00:00:00Z", "to": "2031-01-02T00:00:00Z"},
    ):
        assert brand.call("GET", "/v1/analytics/timeseries", params=query) == {"buckets": []}
