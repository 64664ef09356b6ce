"""What events say is compared, kept and doubted: what we understand of it (SEMANTICS 8, INTERFACE 6)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select

from issuance.billing import event_data
from issuance.billing.cloud_events import MOST_UNKNOWN
from issuance.billing.events import Intake
from issuance.database.tables import billing_events
from issuance.deciding.calendar import day_of
from issuance.tenancy import clock
from tests.database.conftest import event

SignedUp = Callable[..., dict[str, Any]]
Accept = Callable[..., Intake]


@pytest.fixture
def ada(accept: Accept, signed_up: SignedUp) -> UUID:
    """A membership since 1 January 2020, billed monthly."""
    membership_id = uuid4()
    says = signed_up(membership_id, starts_on="2020-01-01", billing_frequency="P1M")
    assert accept({**says, "time": "2020-01-01T00:00:00Z"}).warnings == []
    return membership_id


def charge(membership_id: UUID, start: str, end: str | None = None, **data: Any) -> dict[str, Any]:
    """A charge of the past."""
    says = {"membership_id": str(membership_id), "charge_id": f"c{start}", "period_start": start, "period_end": end}
    return event("charge.succeeded", {**says, **data}, time="2020-06-01T00:00:00Z")


def warned(intake: Intake) -> list[str]:
    assert intake.rejected == []
    return [warning.code for warning in intake.warnings]


def changed(body: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {**body, "data": {**body["data"], **data}}


@pytest.mark.parametrize(
    ("kind", "once", "again"),
    [
        ("charge.succeeded", {"amount": 90}, {"amount": 90.0}),
        ("charge.succeeded", {"amount": "90.00"}, {"amount": 9e1}),
        ("charge.succeeded", {}, {"period_end": None, "amount_refunded": None}),
        ("membership.status_changed", {"status": "cancelled"}, {"status": "cancelled", "ends_on": None}),
        ("membership.billing_date_moved", {}, {"billing_frequency": None}),
        ("charge.succeeded", {"note": "one"}, {"note": {"quite": "another"}}),
    ],
)
def test_what_says_the_same_is_a_double(
    accept: Accept, kind: str, once: dict[str, Any], again: dict[str, Any], ada: UUID
) -> None:
    """90 and 90.0 are the same, null says nothing, and fields that are not known are not compared."""
    says = {"charge.succeeded": {"charge_id": "c", "period_start": "2020-02-01"}}
    says["membership.billing_date_moved"] = {"billing_anchor": "2020-02-15"}
    first = event(kind, {"membership_id": str(ada), **says.get(kind, {}), **once})
    double = {**first, "data": {"membership_id": str(ada).upper(), **says.get(kind, {}), **again}}
    assert accept(first).accepted == 1
    assert accept(double).duplicates == 1
    assert accept({**first, "id": "fresh"}, {**double, "id": "fresh"}).duplicates == 1


@pytest.mark.parametrize(
    "data",
    [{"amount": 91}, {"amount": None}, {"period_start": "2020-02-02"}, {"charge_id": "d"}, {"amount_refunded": 0}],
)
def test_what_says_something_else_is_a_conflict(accept: Accept, ada: UUID, data: dict[str, Any]) -> None:
    first = charge(ada, "2020-02-01", amount=90)
    accept(first)
    assert [refused.code for refused in accept(changed(first, **data)).rejected] == ["event_conflict"]


def test_an_end_that_is_taken_back_is_not_one_that_is_not_told_of(accept: Accept, ada: UUID) -> None:
    body = event("membership.status_changed", {"membership_id": str(ada), "status": "active"})
    accept(body)
    assert [refused.code for refused in accept(changed(body, ends_on=None)).rejected] == ["event_conflict"]


def test_a_sign_up_alone_is_a_double_whatever_the_member_is_called_now(
    accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    """The lone lead booker has the member's name of the day of the sign-up; the sender did not say it."""
    body = signed_up(external_user_id="bob")
    accept(body)
    assert accept(body, changed(body, guests=[])).duplicates == 2


def test_unknown_fields_are_kept_and_told_of(accept: Accept, ada: UUID, connection: Connection) -> None:
    """Those of guests by their path."""
    party = [{"name": "Ada", "lead_booker": True, "shoe": {"size": 38}}]
    bodies = [charge(ada, "2020-02-01", colour="red")]
    bodies.append(
        event("membership.guests_changed", {"membership_id": str(ada), "guests": party}, time="2020-02-01T00:00:00Z")
    )
    assert warned(accept(*bodies)) == ["unknown_field", "unknown_field"]
    kept = select(billing_events.c.unknown_fields).where(billing_events.c.membership_id == ada)
    found = [row for row in connection.scalars(kept.order_by(billing_events.c.type)) if row is not None]
    assert found == [{"colour": "red"}, {"guests.0.shoe": {"size": 38}}]


def test_unknown_fields_that_are_long_are_told_of_and_not_kept(
    accept: Accept, ada: UUID, connection: Connection
) -> None:
    """All of them, by what they come to together. The event counts, and is the same event without them."""
    long = charge(ada, "2020-02-01", colour="red", note="x" * MOST_UNKNOWN)
    (warning,) = accept(long).warnings
    assert warning.message == "neither read nor kept, over 8,192 bytes: colour, note"
    kept = select(billing_events.c.unknown_fields).where(billing_events.c.charge_id.is_not(None))
    assert connection.scalars(kept.where(billing_events.c.membership_id == ada)).all() == [None]
    assert accept(long).duplicates == 1


def test_a_guest_of_a_later_list_needs_no_id(accept: Accept, ada: UUID, connection: Connection) -> None:
    """It is kept without one: who it is follows from the lists before it."""
    party = [{"name": "Ada", "lead_booker": True}, {"name": "Bob"}]
    says = {"membership_id": str(ada), "guests": party}
    assert warned(accept(event("membership.guests_changed", says, time="2020-02-01T00:00:00Z"))) == []
    of = (billing_events.c.type == "membership.guests_changed", billing_events.c.membership_id == ada)
    data = connection.execute(select(billing_events.c.data).where(*of)).scalar_one()
    assert [guest["guest_id"] for guest in data["guests"]] == [None, None]


@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("membership.start_moved", {"starts_on": "2020-02-01"}, {"starts_on": "2020-02-01", "billing_anchor": None}),
        (
            "membership.billing_date_moved",
            {"billing_anchor": "2020-02-01", "billing_frequency": "P2W"},
            {"billing_anchor": "2020-02-01", "billing_frequency": "P2W"},
        ),
        ("membership.status_changed", {"status": "active", "ends_on": None}, {"status": "active", "ends_on": None}),
        ("membership.status_changed", {"status": "paused"}, {"status": "paused"}),
        ("membership.status_changed", {"status": "expired", "ends_on": None}, {"status": "expired"}),
    ],
)
def test_the_later_types_are_kept_as_they_are_said(
    accept: Accept, ada: UUID, connection: Connection, kind: str, data: dict[str, Any], kept: dict[str, Any]
) -> None:
    accept(event(kind, {"membership_id": str(ada), **data}, time="2020-01-02T00:00:00Z"))
    of = (billing_events.c.type == kind, billing_events.c.membership_id == ada)
    assert connection.scalar(select(billing_events.c.data).where(*of)) == kept


def test_a_change_of_type_is_kept(accept: Accept, ada: UUID, type_id: UUID, connection: Connection) -> None:
    says = {"membership_id": str(ada), "membership_type_id": str(type_id)}
    assert warned(accept(event("membership.type_changed", says, time="2020-01-02T00:00:00Z"))) == []
    of = (billing_events.c.type == "membership.type_changed", billing_events.c.membership_id == ada)
    kept = {"membership_type_id": str(type_id), "current_period": "keep"}
    assert connection.scalar(select(billing_events.c.data).where(*of)) == kept


@pytest.mark.parametrize("frequency", ["P1W", "P52W", "P2M", "P36M", "P3Y"])
def test_billing_frequencies(accept: Accept, signed_up: SignedUp, frequency: str) -> None:
    assert accept(signed_up(billing_frequency=frequency)).accepted == 1


@pytest.mark.parametrize("frequency", ["P0W", "P53W", "P37M", "P4Y", "P01M", "P1D", "billing_cycle", "P1M\n", ""])
def test_other_frequencies_are_refused(accept: Accept, signed_up: SignedUp, frequency: str) -> None:
    assert [refused.code for refused in accept(signed_up(billing_frequency=frequency)).rejected] == ["malformed"]


def test_one_invoice_may_pay_for_several_memberships(accept: Accept, signed_up: SignedUp, ada: UUID) -> None:
    bob = uuid4()
    accept(signed_up(bob, external_user_id="bob"))
    intake = accept(charge(ada, "2020-02-01"), charge(bob, "2020-02-01"))
    assert (intake.accepted, intake.rejected) == (2, [])


@pytest.mark.parametrize(
    ("start", "end", "codes"),
    [
        ("2020-02-01", "2020-03-01", []),
        ("2020-02-01", None, []),
        ("2020-02-03", "2020-03-01", []),
        ("2020-02-01", "2020-02-29", []),  # an inclusive end
        ("2020-02-08", "2020-03-08", ["off_boundary"]),
        ("2020-02-08", None, ["covers_no_boundary"]),
        ("2020-02-08", "2020-02-20", ["covers_no_boundary"]),
        ("2020-02-17", "2020-02-17", ["covers_no_boundary"]),
        ("2020-02-01", "2020-02-01", ["covers_no_boundary"]),
        ("2019-11-01", "2019-12-01", ["covers_no_boundary"]),
    ],
)
def test_a_charge_beside_the_calendar_is_accepted_with_a_warning(
    accept: Accept, ada: UUID, start: str, end: str | None, codes: list[str]
) -> None:
    """Up to three days off is as good as on the billing date."""
    intake = accept(charge(ada, start, end))
    assert (intake.accepted, warned(intake)) == (1, codes)
    if codes and start > "2020":
        assert "2020-02-01" in intake.warnings[0].message or "2020-03-01" in intake.warnings[0].message


def test_where_dates_were_moved_the_calendar_is_not_judged_here(accept: Accept, ada: UUID) -> None:
    """The membership's row does not suffice: explain says it."""
    moved = {"membership_id": str(ada), "billing_anchor": "2020-02-15"}
    accept(event("membership.billing_date_moved", moved, time="2020-01-10T00:00:00Z"))
    assert warned(accept(charge(ada, "2020-02-22"))) == []


def test_a_weekly_charge_is_never_days_off(accept: Accept, signed_up: SignedUp) -> None:
    membership_id = uuid4()
    weekly = signed_up(membership_id, starts_on="2020-01-01", billing_frequency="P1W")
    accept({**weekly, "time": "2020-01-01T00:00:00Z"})
    assert warned(accept(charge(membership_id, "2020-01-08", "2020-01-15"))) == []
    assert warned(accept(charge(membership_id, "2020-01-09", "2020-01-15"))) == ["covers_no_boundary"]


def test_what_waits_or_is_missing_is_told(
    accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    """Each code with the event that gives rise to it; a double gives rise to none."""
    today = day_of(clock.read(connection, brand_id).now, clock.read(connection, brand_id).zone)
    ahead = signed_up(starts_on=f"{today.year + 1}-01-01")
    bodies = [{**ahead, "time": f"{today.year + 1}-01-01T00:00:00Z"}, charge(uuid4(), "2020-02-01")]
    intake = accept(*bodies)
    assert [(warning.index, warning.code) for warning in intake.warnings] == [
        (0, "billing_frequency_missing"),
        (0, "ahead_of_clock"),
        (1, "unknown_membership"),
    ]
    assert accept(*bodies).warnings == []


def test_every_type_is_one_that_the_table_knows(connection: Connection) -> None:
    """The list in schema.sql and the one here are the same."""
    clause = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'billing_events_type_known'"
    known = connection.exec_driver_sql(clause).scalar_one()
    assert all(f"'{name}'" in known for name in event_data.DATA_OF)
    assert known.count("::text") == len(event_data.DATA_OF) or known.count("'") == 2 * len(event_data.DATA_OF)
