"""The laws from the command line."""

from uuid import UUID

import pytest

from issuance import hints
from issuance.database.connections import engine_for, transaction
from issuance.engine import batches
from issuance.laws import LAWS
from tests.database.cli import Brand, Cli


@pytest.mark.usefixtures("membership_id")
def test_check_passes_on_a_lawful_brand(cli: Cli, brand: Brand) -> None:
    """check names every law it looked at and exits 0 where all hold."""
    ran = cli("check", "--brand", brand.brand_id)
    assert ran.code == 0, ran.out
    assert ran.out.count("holds") == len(LAWS)
    assert cli("check", "--brand", brand.brand_id, "--law", "4", "--json").json["holds"] is True


def test_check_names_the_offender(cli: Cli, brand: Brand, database_url: str, membership_id: UUID) -> None:
    """A broken law is exit 1, with the ids to act on."""
    with transaction(engine_for(database_url), brand.brand_id) as connection:
        connection.exec_driver_sql("DELETE FROM credits WHERE membership_id = %s", (membership_id,))
    ran = cli("check", "--brand", brand.brand_id, "--json")
    assert ran.code == 1
    broken = {verdict["law"]: verdict["offenders"] for verdict in ran.json["laws"] if verdict["offenders"]}
    assert set(broken) == {2}
    assert broken[2][0]["membership_id"] == str(membership_id)
    people = cli("check", "--brand", brand.brand_id)
    assert people.code == 1
    assert str(membership_id) in people.out


def test_check_repairs_what_is_missing(
    cli: Cli, brand: Brand, database_url: str, membership_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--repair issues what was lost, as a run that can be seen, and says how it is afterwards."""
    engine = engine_for(database_url)
    with transaction(engine, brand.brand_id) as connection:
        connection.exec_driver_sql("DELETE FROM credits WHERE membership_id = %s", (membership_id,))
    monkeypatch.setattr(hints, "work_on_run", lambda _, brand_id, run_id: batches.work_on_run(engine, brand_id, run_id))
    ran = cli("check", "--brand", brand.brand_id, "--repair", "--json")
    assert ran.code == 0, ran.out
    (run_id,) = ran.json["repairs"]
    listed = cli("runs", "--brand", brand.brand_id, "--json").json["data"]
    assert [(run["id"], run["kind"], run["counts"]) for run in listed] == [(run_id, "replay", {"issued": 1})]
    again = cli("check", "--brand", brand.brand_id, "--repair", "--json")
    assert (again.code, again.json["repairs"]) == (0, [])
