"""A dry run of events says what then goes out."""

from issuance.billing import events
from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.memberships.dry_runs import DryRun
from tests.database.billers import Biller


def test_two_turns_under_one_key_are_one_credit(biller: Biller) -> None:
    """The sign-up's, told late, and that of a rule that is P0D since: both have one key, and one credit goes out."""
    biller.rule(issue_on_signup=True)
    biller.to("2031-01-20")
    (rule_id,) = (row.credit_rule_id for row in biller.club.rows("SELECT credit_rule_id FROM credit_rules"))
    change = CreditRuleChange.model_validate({"issuing_frequency": "P0D", "include_upcoming": True})
    with biller.open() as connection:
        rules.change(connection, biller.club.brand_id, rule_id, change)
    biller.to("2031-02-11")
    kind = {"membership_type_id": str(biller.ids["gold"]), "external_user_id": "m", "billing_frequency": "P1M"}
    told = [
        biller.event("membership.signed_up", "2031-01-10", starts_on="2031-01-10", **kind),
        biller.event("charge.initiated", "2031-02-10", charge_id="c", period_start="2031-02-10"),
    ]
    with biller.club.engine.connect() as connection:
        connection.exec_driver_sql(f"SET issuance.brand_id = '{biller.club.brand_id}'")
        dry_run = DryRun(connection, biller.club.brand_id)
        dry_run.take(events.read(told))
        said = sum(row["now"] for row in dry_run.result()["credits"])
        connection.rollback()
    biller.send(*told)
    assert said == len(biller.book()) == 1
