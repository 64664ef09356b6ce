"""Rules are created, changed and deleted as versions (SEMANTICS 4)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, select, text

from issuance.catalog import membership_types, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule, RuleLimit
from issuance.database.connections import transaction
from issuance.database.tables import rule_versions
from issuance.deciding.calendar import day_of
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import held_rules
from issuance.errors import Invalid, NotFound
from issuance.tenancy import clock
from tests.database.clubs import Club
from tests.database.test_at_once import wait_for_waiting
from tests.limits import Limit


def versions_of(connection: Connection, rule_id: UUID) -> list[dict[str, Any]]:
    columns = rule_versions.c
    rows = connection.execute(select(rule_versions).where(columns.credit_rule_id == rule_id).order_by(columns.version))
    return [dict(row) for row in rows.mappings()]


def test_a_new_rule_has_the_defaults_and_the_coupons_description(
    connection: Connection, brand_id: UUID, rule_id: UUID
) -> None:
    rule = rules.get(connection, brand_id, rule_id)
    flags = ("roll_over", "issue_on_signup", "multi_use", "for_lead_booker_only")
    assert [rule[flag] for flag in flags] == [False] * 4
    assert (rule["version"], rule["issuing_frequency"], rule["coupon_description"]) == (1, "billing_cycle", "A day")
    assert rule["membership_type"] == {"id": rule["membership_type_id"], "name": "Gold"}
    assert rule["created_at"] == rule["updated_at"]


def test_a_change_keeps_what_it_does_not_name(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    change = CreditRuleChange(roll_over=True, coupon_description="Mine", include_upcoming=True)
    before = rules.get(connection, brand_id, rule_id)
    after = rules.change(connection, brand_id, rule_id, change)
    differs = {name for name in after if after[name] != before[name]}
    assert differs == {"version", "roll_over", "coupon_description", "updated_at"}
    back = rules.change(connection, brand_id, rule_id, CreditRuleChange.model_validate({"coupon_description": None}))
    assert back["coupon_description"] == "A day"


def test_a_change_that_changes_nothing_is_a_version_too(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    """include_upcoming alone can matter; it belongs to its version and is not inherited."""
    rules.change(connection, brand_id, rule_id, CreditRuleChange(include_upcoming=True))
    rules.change(connection, brand_id, rule_id, CreditRuleChange())
    said = [(row["version"], row["include_upcoming"]) for row in versions_of(connection, rule_id)]
    assert said == [(1, False), (2, True), (3, False)]


def test_a_deletion_is_the_last_version(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    rules.delete(connection, brand_id, rule_id)
    last = versions_of(connection, rule_id)[-1]
    assert (last["version"], last["deleted"]) == (2, True)
    assert rules.page(connection, brand_id, 1, 25) == ([], 0)
    for gone in (
        lambda: rules.get(connection, brand_id, rule_id),
        lambda: rules.delete(connection, brand_id, rule_id),
        lambda: rules.change(connection, brand_id, rule_id, CreditRuleChange()),
    ):
        with pytest.raises(NotFound):
            gone()


def test_unknown_types_and_coupons_are_named(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    both = {"membership_type_id", "coupon_id"}
    new = NewCreditRule(membership_type_id=uuid4(), coupon_id="nope", coupon_name="x")
    with pytest.raises(Invalid) as refused:
        rules.create(connection, brand_id, new)
    assert set(refused.value.fields or {}) == both
    change = CreditRuleChange(membership_type_id=uuid4(), coupon_id="nope")
    with pytest.raises(Invalid) as refused:
        rules.change(connection, brand_id, rule_id, change)
    assert set(refused.value.fields or {}) == both


def test_lists_filter(connection: Connection, brand_id: UUID, type_id: UUID, rule_id: UUID) -> None:
    other_type = membership_types.create(connection, brand_id, NewMembershipType(name="Silver"))["id"]
    new = NewCreditRule(membership_type_id=other_type, coupon_id="spa", coupon_name="x", issue_on_signup=True)
    other = rules.create(connection, brand_id, new)["id"]

    def found(**filters: Any) -> list[UUID]:
        rows, total = rules.page(connection, brand_id, 1, 25, **filters)
        assert total == len(rows)
        return [row["id"] for row in rows]

    assert found() == [rule_id, other]
    assert found(membership_type_id=type_id) == [rule_id]
    assert found(issue_on_signup=True) == [other]
    assert found(issue_on_signup=False) == [rule_id]
    assert found(issue_on_signup=True, membership_type_id=type_id) == []
    assert rules.page(connection, brand_id, 2, 1)[0][0]["id"] == other
    assert rules.page(connection, brand_id, 3, 1) == ([], 2)


def test_concurrent_changes_number_their_versions_one_after_the_other(
    engine: Engine, brand_id: UUID, rule_id: UUID
) -> None:
    """Eight at once: versions 2 to 9, each built on the one before, in the order of their instants."""
    fields = ["roll_over", "issue_on_signup", "multi_use", "for_lead_booker_only"] * 2

    def change(field: str) -> int:
        with transaction(engine, brand_id) as connection:
            changed = rules.change(connection, brand_id, rule_id, CreditRuleChange.model_validate({field: True}))
            return int(changed["version"])

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, fields)) == list(range(2, 10))
    with transaction(engine) as connection:
        rows = versions_of(connection, rule_id)
    assert all(rows[-1][field] for field in fields)
    instants = [row["created_at"] for row in rows]
    assert instants == sorted(instants)


def approve(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    held_rules.approve(connection, brand_id, rule_id, "as meant")


@pytest.mark.parametrize("rival", [rules.delete, approve])
def test_a_change_beside_what_wants_the_brand_alone_is_no_deadlock(
    engine: Engine, brand_id: UUID, rule_id: UUID, rival: Callable[[Connection, UUID, UUID], None]
) -> None:
    """On a live brand: the change waits for its rule, which a third holds, and the other comes after it."""
    rule = {"brand_id": brand_id, "rule_id": rule_id}
    held = "INSERT INTO held_rules (brand_id, credit_rule_id, since, most) VALUES (:brand_id, :rule_id, now(), 1)"
    with transaction(engine, brand_id) as connection:
        assert not clock.read(connection, brand_id).stands_still
        connection.execute(text(held), rule)

    def change() -> None:
        with transaction(engine, brand_id) as connection:
            rules.change(connection, brand_id, rule_id, CreditRuleChange(roll_over=True))

    def other() -> None:
        with transaction(engine, brand_id) as connection:
            rival(connection, brand_id, rule_id)

    with ThreadPoolExecutor(2) as pool:
        with transaction(engine, brand_id) as connection:
            one = "SELECT FROM credit_rules WHERE (brand_id, credit_rule_id) = (:brand_id, :rule_id) FOR UPDATE"
            connection.execute(text(one), rule)
            both = []
            for number, do in enumerate((change, other), start=1):
                both.append(pool.submit(do))
                wait_for_waiting(engine, number)
        for done in both:
            done.result()
    with transaction(engine, brand_id) as connection:
        assert versions_of(connection, rule_id)[1]["roll_over"]


@pytest.mark.parametrize("text", ["P2M", "-P1M", "P12M", "p1m", "P0M", "P0.5M", "", "P1M ", "monthly"])
def test_only_six_frequencies_exist(text: str) -> None:
    with pytest.raises(ValueError, match="issuing_frequency"):
        CreditRuleChange.model_validate({"issuing_frequency": text})
    assert len(IssuingFrequency) == 6


def test_a_promise_may_be_older_than_its_rule(
    new_club: Callable[..., Club],
) -> None:
    """With `effective_from` the rule counts as made at the start of that day: all memberships of its type are looked at
    again (SEMANTICS 4)."""
    club = new_club()
    (ada,) = club.sign_up()
    said = {"issue_on_signup": True, "effective_from": "2031-01-31"}
    new = {"membership_type_id": str(club.type_id), "coupon_id": "tea", "coupon_name": "Old promise", **said}
    with transaction(club.engine, club.brand_id) as connection:
        rule = rules.create(connection, club.brand_id, NewCreditRule.model_validate(new))
    assert str(rule["effective_from"]) == "2031-01-31"
    assert club.value("SELECT due_at <= '2031-01-31T12:00Z' FROM schedules WHERE schedule_id = :id", id=ada)


def test_no_promise_is_made_in_the_future(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    """The brand's today is the last day; a change can not move it."""
    present = clock.read(connection, brand_id)
    today = day_of(present.now, present.zone)
    rule = rules.get(connection, brand_id, rule_id)
    new = {name: str(rule[name]) for name in ("membership_type_id", "coupon_id", "coupon_name")}
    tomorrow = NewCreditRule.model_validate({**new, "effective_from": str(today + timedelta(days=1))})
    with pytest.raises(Invalid, match="must not be after today") as refused:
        rules.create(connection, brand_id, tomorrow)
    assert refused.value.fields == {"effective_from": "must not be after today"}
    made = rules.create(connection, brand_id, NewCreditRule.model_validate({**new, "effective_from": str(today)}))
    assert (made["effective_from"], rule["effective_from"]) == (today, None)
    with pytest.raises(ValidationError):
        CreditRuleChange.model_validate({"effective_from": str(today)})


def test_a_type_has_so_many_rules_and_a_rule_so_many_versions(
    engine: Engine, brand_id: UUID, type_id: UUID, rule_id: UUID, limit: Limit
) -> None:
    """Each settling looks at all of them; a deleted one still counts, and deleting is always possible."""
    limit("catalog", rules=2, versions=2)
    new = NewCreditRule(membership_type_id=type_id, coupon_id="spa", coupon_name="Spa credit")
    with transaction(engine, brand_id) as connection:
        other = rules.create(connection, brand_id, new)["id"]
    with transaction(engine, brand_id) as connection:
        rules.delete(connection, brand_id, other)
        rules.change(connection, brand_id, rule_id, CreditRuleChange(roll_over=True))
    with pytest.raises(RuleLimit), transaction(engine, brand_id) as connection:
        rules.create(connection, brand_id, new)
    with pytest.raises(RuleLimit), transaction(engine, brand_id) as connection:
        rules.change(connection, brand_id, rule_id, CreditRuleChange(roll_over=False))
    with transaction(engine, brand_id) as connection:
        rules.delete(connection, brand_id, rule_id)


def test_all_rules_of_a_brand_have_so_many_versions(
    engine: Engine, brand_id: UUID, type_id: UUID, rule_id: UUID, limit: Limit
) -> None:
    """Of whatever types: a membership may have been of each. Another brand's do not count."""
    limit("catalog", versions_of_all=3)
    other_type = NewMembershipType(name="Silver", billing="external")
    with transaction(engine, brand_id) as connection:
        silver = membership_types.create(connection, brand_id, other_type)["id"]
        for each in (type_id, silver):
            rules.create(
                connection, brand_id, NewCreditRule(membership_type_id=each, coupon_id="spa", coupon_name="Spa credit")
            )
    with pytest.raises(RuleLimit), transaction(engine, brand_id) as connection:
        rules.change(connection, brand_id, rule_id, CreditRuleChange(roll_over=True))
    with transaction(engine, brand_id) as connection:
        rules.delete(connection, brand_id, rule_id)
