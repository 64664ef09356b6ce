"""Why, and how many, from the command line."""

from uuid import UUID

import pytest

from tests.database.cli import Brand, Cli


def test_explain_says_it_in_a_sentence(cli: Cli, brand: Brand, membership_id: UUID) -> None:
    """explain finds the brand by the membership, and explains each occurrence in words and as JSON."""
    ran = cli("explain", membership_id, "--rule", brand.credit_rule_id, "--json")
    (row,) = ran.json["data"]
    assert (row["period_start"], row["outcome"], row["reason"]) == ("2090-01-31", "issued", "issued")
    people = cli("explain", membership_id)
    assert "2090-01-31" in people.out
    assert "was issued a credit" in people.out
    assert "No occurrences" in cli("explain", membership_id, "--from", "2090-02-01", "--to", "2090-02-02").out


@pytest.mark.usefixtures("membership_id")
def test_forecast_counts_month_by_month(cli: Cli, brand: Brand) -> None:
    """forecast finds the brand by the rule; of a membership with charges to come it counts one credit a month."""
    ran = cli("forecast", brand.credit_rule_id, "--months", 2, "--json")
    assert ran.json == {"data": [{"month": "2090-02", "credits": 1}, {"month": "2090-03", "credits": 1}]}
    people = cli("forecast", brand.credit_rule_id, "--brand", brand.brand_id)
    assert people.out.count("2090-") == 11
    assert "2091-01" in people.out


@pytest.mark.usefixtures("membership_id")
def test_liability_says_what_is_owed(cli: Cli, brand: Brand) -> None:
    """As a table, as JSON and as CSV; a month that is none is bad use, and so is one after the last."""
    (row,) = cli("liability", "--brand", brand.brand_id, "--json").json["data"]
    assert (row["month"], row["issued"], row["closing"]) == ("2090-02", 1, 1)
    file = cli("liability", "--brand", brand.brand_id, "--csv").out.splitlines()
    assert [line.partition(",")[0] for line in file] == ["month", "2090-02"]
    assert "2090-02" in cli("liability", "--brand", brand.brand_id).out
    assert "No credit" in cli("liability", "--brand", brand.brand_id, "--to", "2089-12").out
    for wrong in (("--from", "2090-13"), ("--csv", "--json"), ("--from", "2090-03", "--to", "2090-02")):
        assert cli("liability", "--brand", brand.brand_id, *wrong).code == 2
