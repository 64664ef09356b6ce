"""Preview: a rule that is not saved (SEMANTICS 17); and then saved, against what happens (law 12)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from issuance.catalog import membership_types, previews, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.previews import PreviewBody
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import plans, runs
from issuance.engine.previews import by_month
from issuance.engine.rules import RuleBook
from issuance.errors import Invalid
from issuance.memberships import forecasts
from issuance.memberships.forecasts import TooMuchToForecast
from tests.database.clubs import Club, at
from tests.limits import Limit

MONTHS = 5
UTC = ZoneInfo("UTC")
pytestmark = pytest.mark.usefixtures("small_batches")


def preview(club: Club, **says: Any) -> tuple[list[dict[str, Any]], dict[str, tuple[int, int]]]:
    """The rows and the months of a preview, done."""
    with transaction(club.engine, club.brand_id) as connection:
        run_id = previews.start(connection, club.brand_id, PreviewBody(**{"months": MONTHS, **says}))
    club.work(run_id)
    assert club.run(run_id)["state"] == "finished"
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = plans.page(connection, club.brand_id, run_id, 1, 10_000)
        months = by_month(connection, club.brand_id, run_id)
    assert len(rows) == total
    return rows, {one["month"]: (one["before"], one["after"]) for one in months}


def pass_time(club: Club, until: str) -> None:
    """Time passes up to an instant: whatever falls due on the way is settled at its own instant."""
    club.move_clock(until)
    while club.sweep() is not None:
        pass


def out(club: Club, rule_id: UUID) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The credits of a rule that are out, by membership, guest and period."""
    rows = club.rows(
        """SELECT CAST(membership_id AS text) AS member, CAST(guest_id AS text) AS guest,
                  CAST(period_start AS text) AS period, coupon_id, valid_from, expires_at, multi_use, max_uses
             FROM credits WHERE credit_rule_id = :rule AND reissue = 0 AND revoked_by IS DISTINCT FROM 'facts'""",
        rule=rule_id,
    )
    return {
        (row.member, row.guest, row.period): {
            "coupon_id": row.coupon_id,
            "valid_from": row.valid_from,
            "expires_at": row.expires_at,
            "multi_use": row.multi_use,
            "max_uses": row.max_uses,
        }
        for row in rows
    }


def shown(credit: dict[str, Any] | None) -> dict[str, Any] | None:
    if credit is None:
        return None
    instants = {name: credit[name] and at_instant(credit[name]) for name in ("valid_from", "expires_at")}
    return {**credit, **instants}


def at_instant(text: str) -> Any:
    return at(text.removesuffix("+00:00"))


def by_key(rows: list[dict[str, Any]], side: str) -> dict[tuple[str, str, str], Any]:
    return {(row["membership_id"], row["guest"]["id"], row["period_start"]): shown(row[side]) for row in rows}


def flags(random: Random) -> dict[str, Any]:
    """What a rule may say."""
    roll_over, frequency = random.random() < 0.5, random.choice(["billing_cycle", "P1M", "P1M", "P3M", "P0D"])
    multi_use = random.random() < 0.3
    limited = roll_over and frequency != "P0D" and random.random() < 0.5
    return {
        "roll_over": roll_over,
        "roll_over_limit": random.choice([1, 2]) if limited else None,
        "multi_use": multi_use,
        "max_uses": 2 if multi_use and random.random() < 0.5 else None,
        "issue_on_signup": random.random() < 0.5,
        "for_lead_booker_only": random.random() < 0.5,
        "issuing_frequency": frequency,
        "include_upcoming": random.random() < 0.5,
    }


def populate(club: Club, random: Random) -> UUID:
    """Memberships that differ: in their dates, guests, status and type. Returns another type."""
    with transaction(club.engine, club.brand_id) as connection:
        silver: UUID = membership_types.create(
            connection, club.brand_id, NewMembershipType(name="Silver", billing="automatic")
        )["id"]
    for _ in range(12):
        (member,) = club.accept(1, f"2031-0{random.randrange(1, 3)}-{random.randrange(1, 29):02}")
        told = {"membership_id": str(member)}
        if random.random() < 0.3:
            party = [{"name": "Ada", "lead_booker": True}, {"name": "Ben", "lead_booker": False}]
            club.tell("membership.guests_changed", "2031-01-31T10:30", {**told, "guests": party})
        chance = random.random()
        if chance < 0.2:
            club.tell("membership.status_changed", "2031-01-31T11:00", {**told, "status": "paused"})
        elif chance < 0.4:
            end = {"status": "active", "ends_on": f"2031-0{random.randrange(3, 6)}-10"}
            club.tell("membership.status_changed", "2031-01-31T11:00", {**told, **end})
        elif chance < 0.55:
            change = {"membership_type_id": str(silver), "current_period": random.choice(["keep", "switch"])}
            club.tell("membership.type_changed", "2031-01-31T11:30", {**told, **change})
        club.settle([member])
    return silver


@pytest.mark.parametrize("seed", range(8))
def test_what_is_previewed_is_what_then_happens(new_club: Callable[..., Club], seed: int) -> None:
    """To the credit, and the rows: each membership that gains or loses. Preview, save, let the months pass, compare."""
    random = Random(seed)
    club = new_club(**{**flags(random), "include_upcoming": False})
    silver = populate(club, random)
    pass_time(club, f"2031-02-{random.randrange(1, 28):02}T15:00")
    kind = ["new", "edited", "edited", "deleted"][seed % 4]
    type_id = random.choice([club.type_id, club.type_id, silver])
    said = {**flags(random), "membership_type_id": str(type_id), "coupon_id": "tea", "coupon_name": "New tea"}
    if kind == "new":
        asked: dict[str, Any] = {"rule": said}
    elif kind == "edited":
        asked = {"rule": said, "credit_rule_id": club.rule_id}
    else:
        asked = {"delete": True, "credit_rule_id": club.rule_id}
    rows, months = preview(club, **asked)
    before_saving = club.rows("SELECT * FROM credits ORDER BY credit_id")
    with transaction(club.engine, club.brand_id) as connection:
        rule_id = club.rule_id
        if kind == "new":
            rule_id = rules.create(connection, club.brand_id, NewCreditRule.model_validate(said))["id"]
        elif kind == "edited":
            rules.change(connection, club.brand_id, club.rule_id, CreditRuleChange.model_validate(said))
        else:
            rules.delete(connection, club.brand_id, club.rule_id)
    assert club.rows("SELECT * FROM credits ORDER BY credit_id") == before_saving
    pass_time(club, "2031-06-30T23:59:59")
    there = out(club, rule_id)
    for key, credit in by_key(rows, "after").items():
        assert there.get(key) == credit, key
    # And whoever is not in the rows has what they would have had: as many in each month as it said.
    unlike = set(by_key(rows, "after"))
    alike = Counter(key[2][:7] for key in there if key not in unlike and key[2] >= "2031-02")
    said_alike = Counter(key[2][:7] for key, credit in by_key(rows, "after").items() if credit)
    if said["issuing_frequency"] != "P0D" and flags(Random(seed))["issuing_frequency"] != "P0D":
        assert {month: n for month, (_, n) in months.items() if n} == {
            month: n for month, n in (alike + said_alike).items() if n and month in months
        }
    club.engine.dispose()


def test_a_preview_writes_nothing_but_itself(club: Club) -> None:
    """One entry in the audit, a run and its rows; nothing else."""
    club.sign_up(7)
    tables = ["credits", "schedules", "memberships", "rule_versions", "billing_events", "webhook_events"]
    before = {table: club.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}
    entries = club.value("SELECT count(*) FROM audit_entries")
    preview(club, credit_rule_id=club.rule_id, delete=True)
    assert {table: club.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables} == before
    assert club.value("SELECT count(*) FROM audit_entries") == entries + 1


def test_it_says_what_forecast_says_of_the_rule_as_it_is(club: Club) -> None:
    """`before` is the forecast; of a rule that would stay as it is nothing differs."""
    from issuance.memberships import forecasts

    club.sign_up(7)
    rows, months = preview(club, credit_rule_id=club.rule_id, rule={})
    with transaction(club.engine, club.brand_id) as connection:
        ahead = forecasts.forecast(connection, club.brand_id, club.rule_id, MONTHS)
    assert {one["month"]: one["credits"] for one in ahead} == {month: before for month, (before, _) in months.items()}
    assert rows == []
    assert all(before == after > 0 for before, after in months.values())


def test_a_brand_without_members_is_told_of_the_same_months(new_club: Callable[..., Club]) -> None:
    """Of nobody there is nothing, month by month, as the forecast says."""
    club = new_club()
    _, months = preview(club, credit_rule_id=club.rule_id, delete=True)
    with transaction(club.engine, club.brand_id) as connection:
        forecast = forecasts.forecast(connection, club.brand_id, club.rule_id, MONTHS)
    assert months == {month["month"]: (0, 0) for month in forecast}


def test_memberships_that_are_alike_are_told_apart_by_the_instant_it_would_be_saved_at(club: Club) -> None:
    """One signed up at the very instant, and one just before it on the same day, are no group: a version saved then is
    in force for the sign-up of the first alone."""
    (first,) = club.sign_up()
    club.move_clock("2031-01-31T10:00:00")
    rows, _ = preview(
        club,
        rule={"membership_type_id": str(club.type_id), "coupon_id": "tea", "coupon_name": "x", "issue_on_signup": True},
    )
    assert {(row["membership_id"], row["period_start"]) for row in rows if row["period_start"] == "2031-01-31"} == {
        (str(first), "2031-01-31")
    }
    club.move_clock("2031-01-31T10:00:01")
    rows, _ = preview(
        club,
        rule={"membership_type_id": str(club.type_id), "coupon_id": "tea", "coupon_name": "x", "issue_on_signup": True},
    )
    assert "2031-01-31" not in {row["period_start"] for row in rows}


def test_a_promise_that_is_older_shows_what_it_would_catch_up(club: Club) -> None:
    """With `effective_from` the rows have past periods too, though the months begin with this one."""
    club.sign_up(2)
    pass_time(club, "2031-04-15")
    said = {"membership_type_id": str(club.type_id), "coupon_id": "tea", "coupon_name": "x", "roll_over": True}
    rows, months = preview(club, rule={**said, "effective_from": "2031-01-01"})
    assert sorted({row["period_start"] for row in rows})[:2] == ["2031-02-28", "2031-03-31"]
    assert next(iter(months)) == "2031-04"
    assert {row["before"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("says", "field"),
    [
        ({"rule": {"coupon_id": "tea"}}, "rule.membership_type_id"),
        ({"rule": {"coupon_id": "tea", "more": 1}}, "rule.more"),
        ({"credit_rule_id": "rule", "rule": {"max_uses": 2}}, "rule.max_uses"),
        ({"credit_rule_id": "rule", "rule": {"effective_from": "2031-01-01"}}, "rule.effective_from"),
        ({"credit_rule_id": "rule", "rule": {"coupon_id": "no such"}}, "rule.coupon_id"),
    ],
)
def test_what_could_not_be_saved_is_not_previewed(club: Club, says: dict[str, Any], field: str) -> None:
    """Refused as saving it would be, and there is no run."""
    asked = {**says, "credit_rule_id": club.rule_id} if "credit_rule_id" in says else says
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(Invalid) as refused:
        previews.start(connection, club.brand_id, PreviewBody(**asked))
    assert set(refused.value.fields or ()) >= {field}
    assert all(name.startswith("rule.") for name in refused.value.fields or ())
    assert club.rows("SELECT * FROM runs") == []


def test_a_preview_is_bounded(club: Club, limit: Limit) -> None:
    """In the rows that a batch keeps; and one membership, with many changes ahead, does not hold it up: it is counted
    as an error. A forecast over HTTP refuses it."""
    members = club.sign_up(3)
    told = [{"membership_id": str(members[0]), "status": status} for status in ("paused", "active") * 10]
    for day, says in enumerate(told, 1):
        club.tell("membership.status_changed", f"2031-02-{day:02}", says)
    limit("settling", foretold=100)
    limit("runs", plan_rows=3)
    with transaction(club.engine, club.brand_id) as connection:
        body = PreviewBody(credit_rule_id=club.rule_id, delete=True, months=4)
        run_id = previews.start(connection, club.brand_id, body)
    club.work(run_id)
    assert club.run(run_id)["counts"] == {"error": 1}
    with transaction(club.engine, club.brand_id) as connection:
        rows, total = plans.page(connection, club.brand_id, run_id, 1, 10_000)
        assert (len(rows), total) == (3, 3), "of six"
        assert by_month(connection, club.brand_id, run_id)[1]["before"] == 2
        with pytest.raises(TooMuchToForecast):
            forecasts.forecast(connection, club.brand_id, club.rule_id, 4, bounded=True)


def test_a_deleted_rule_is_not_there_for_a_preview(club: Club) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        rules.delete(connection, club.brand_id, club.rule_id)
        for body in (
            PreviewBody(credit_rule_id=club.rule_id, delete=True),
            PreviewBody(credit_rule_id=club.rule_id, rule={}),
        ):
            with pytest.raises(Invalid) as refused:
                previews.start(connection, club.brand_id, body)
            assert set(refused.value.fields or ()) == {"credit_rule_id"}


def test_it_rests_and_goes_on_as_any_run(club: Club) -> None:
    """Its months are added up once a batch, whoever works on it."""
    club.sign_up(12)
    with transaction(club.engine, club.brand_id) as connection:
        run_id = previews.start(
            connection, club.brand_id, PreviewBody(credit_rule_id=club.rule_id, delete=True, months=2)
        )
    club.work(run_id)
    club.work(run_id)
    assert club.run(run_id)["done"] == 12
    with transaction(club.engine, club.brand_id) as connection:
        assert [(one["before"], one["after"]) for one in by_month(connection, club.brand_id, run_id)][1:] == [(12, 0)]


@pytest.mark.parametrize("saved_again", [False, True])
def test_a_previewed_version_is_the_one_that_is_read_once_it_is_saved(club: Club, saved_again: bool) -> None:
    """Its coupon too, which may have been saved again since it was made."""
    if saved_again:
        club.rows("UPDATE coupons SET updated_at = created_at + interval '1 day'")
    with transaction(club.engine, club.brand_id) as connection:
        says = {"credit_rule_id": club.rule_id, "rule": {"multi_use": True}}
        run_id = previews.start(connection, club.brand_id, PreviewBody.model_validate(says))
        run = runs.lock(connection, club.brand_id, run_id)
        assert run is not None
        previewed = RuleBook(connection, club.brand_id, UTC).edited(club.rule_id, run.as_of, run.rule)
        rules.change(connection, club.brand_id, club.rule_id, CreditRuleChange(multi_use=True))
        (saved,) = RuleBook(connection, club.brand_id, UTC).of([club.type_id])
    assert saved.latest == replace(previewed.latest, created_at=saved.latest.created_at)
