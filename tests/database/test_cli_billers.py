"""`issuance billers`: Stripe plugged in and reconciled from the command line."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from issuance.billers import billers, receiving, reconciling
from issuance.billers.adapter import BadSignature
from issuance.billers.billers import New
from issuance.database.connections import transaction
from tests.database.cli import Brand, Cli
from tests.database.test_mapped import MAPPING
from tests.limits import Limit
from tests.stripe import SECRET, sequences, signed
from tests.stripe.fake import KEY, FakeStripe, fake_stripe

EVENTS = sequences()[0]["stripe_events"]
_CLOCK = text("UPDATE brands SET clock_now = '2031-04-20T00:00:00Z'")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        fake.happen(EVENTS)
        monkeypatch.setenv("ISSUANCE_STRIPE_API_BASE", fake.url)
        limit("billers", asked_a_second=1000)
        yield fake


@pytest.fixture
def biller(cli: Cli, brand: Brand, engine: Engine, tmp_path: Path) -> str:
    """The id of a biller with an API key, whose price is mapped."""
    for name, secret in (("secret", SECRET), ("key", KEY)):
        (tmp_path / name).write_text(f"{secret}\n")
    files = ("--secret-file", tmp_path / "secret", "--api-key-file", tmp_path / "key")
    biller_id: str = cli("billers", "stripe", "add", "--brand", brand.brand_id, *files).json["biller_id"]
    cli("billers", "stripe", "map", "--biller", biller_id, "price_gold", brand.membership_type_id)
    with transaction(engine, brand.brand_id) as connection:
        connection.execute(_CLOCK)
    return biller_id


def test_reconcile_all_says_first_what_would_come(cli: Cli, brand: Brand, biller: str, fake: FakeStripe) -> None:
    """And how it is told; said again, it is."""
    planned = cli("billers", "stripe", "reconcile", "--biller", biller, "--all")
    assert planned.code == 0, planned.err
    assert "Nothing was told yet" in planned.out
    assert "issuance runs approve" in planned.out
    assert cli("runs", "--brand", brand.brand_id, "--json").json["data"][0]["dry_run"] is True
    (run,) = cli("billers", "stripe", "reconcile", "--biller", biller, "--all", "--json").json["data"]
    assert (run["state"], run["dry_run"], run["kind"]) == ("finished", False, "reconcile")
    (again,) = cli("billers", "stripe", "reconcile", "--brand", brand.brand_id, "--json").json["data"]
    assert (again["state"], again["done"] > 0) == ("finished", True)


def test_a_plan_is_shown_and_approved(cli: Cli, brand: Brand, biller: str, fake: FakeStripe) -> None:
    dry = cli("billers", "stripe", "reconcile", "--biller", biller, "--since", "2031-01-01", "--dry-run", "--json")
    (run,) = dry.json["data"]
    shown = cli("runs", "show", run["id"], "--json").json
    assert {row["source_ref"] for row in shown["plan"]} <= {"sub_a/si_1_a"}
    approved = cli("runs", "approve", run["id"], "--reason", "looked at", "--json").json
    assert (approved["kind"], approved["plan_id"], approved["dry_run"]) == ("reconcile", run["id"], False)


def test_a_biller_that_does_not_answer_is_exit_1(cli: Cli, biller: str, fake: FakeStripe, limit: Limit) -> None:
    limit("billers", longest_rest=0.01)
    fake.away = True
    ended = cli("billers", "stripe", "reconcile", "--biller", biller)
    assert (ended.code, "can not be asked" in ended.out + ended.err) == (1, True)


def test_an_api_key_that_is_none_is_refused(cli: Cli, brand: Brand, tmp_path: Path) -> None:
    """An empty one would be asked with, and every sign-up would wait for the answer."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "empty").write_text("")
    files = ("--secret-file", tmp_path / "secret", "--api-key-file", tmp_path / "empty")
    refused = cli("billers", "stripe", "add", "--brand", brand.brand_id, *files)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert cli("billers", "list", "--brand", brand.brand_id, "--json").json["data"] == []


def test_the_secret_may_come_later(cli: Cli, brand: Brand, engine: Engine, tmp_path: Path) -> None:
    """Stripe shows it with the endpoint of the URL that is printed here. Until then nothing is good."""
    (tmp_path / "secret").write_text(SECRET)
    added = cli("billers", "stripe", "add", "--brand", brand.brand_id, "--secret-later").json
    assert added["url"].endswith(added["biller_id"])

    def said() -> None:
        with transaction(engine) as connection:
            biller = billers.find(connection, UUID(added["biller_id"]))
        assert biller is not None
        receiving.verify(biller, b"{}", {name.lower(): value for name, value in signed(b"{}").items()})

    with pytest.raises(BadSignature):
        said()
    assert cli("billers", "secrets", "--biller", added["biller_id"], "--secret-file", tmp_path / "secret").code == 0
    said()
    both = cli("billers", "stripe", "add", "--brand", brand.brand_id, "--secret-later", "--secret-file", tmp_path / "x")
    assert (both.code, both.err.count("\n")) == (2, 1)


def test_without_an_api_key_it_is_said_so(cli: Cli, brand: Brand, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    added = cli("billers", "stripe", "add", "--brand", brand.brand_id, "--secret-file", tmp_path / "secret")
    for which in (("--brand", brand.brand_id), ("--biller", added.json["biller_id"])):
        refused = cli("billers", "stripe", "reconcile", *which)
        assert (refused.code, refused.err.count("\n"), "API key" in refused.err) == (1, 1, True)


def test_the_api_key_can_be_another(cli: Cli, engine: Engine, biller: str, tmp_path: Path) -> None:
    """The signing secret stays, and neither is shown."""
    (tmp_path / "other").write_text("rk_live_another\n")
    given = cli("billers", "stripe", "secrets", "--biller", biller, "--api-key-file", tmp_path / "other")
    assert given.code == 0, given.err
    assert "rk_live" not in given.out
    with transaction(engine) as connection:
        found = billers.find(connection, UUID(biller))
    assert found is not None
    assert (found.api_key, found.secrets) == ("rk_live_another", [SECRET.encode()])
    nothing = cli("billers", "secrets", "--biller", biller)
    assert (nothing.code, nothing.err.count("\n")) == (2, 1)


def test_the_api_key_can_be_taken_away(cli: Cli, engine: Engine, biller: str, fake: FakeStripe) -> None:
    """From then on nobody asks; what a run was to ask for ends with the reason."""
    dry = cli("billers", "stripe", "reconcile", "--biller", biller, "--all", "--json").json["data"][0]
    assert cli("runs", "approve", dry["id"]).code == 0
    taken = cli("billers", "secrets", "--biller", biller, "--no-api-key")
    assert (taken.code, "not asked" in taken.out) == (0, True)
    with transaction(engine) as connection:
        found = billers.find(connection, UUID(biller))
        (run,) = [one for one in reconciling.stalled(connection, most=100) if one[1] == UUID(biller)]
    assert found is not None
    assert (found.can_be_asked, found.api_key) == (False, None)
    reconciling.work(engine, run[0], run[2], lambda _: None)
    with transaction(engine) as connection:
        ended = reconciling.read(connection, run[0], run[2])
    assert (ended["state"], "taken away" in ended["error"]) == ("cancelled", True)
    assert cli("billers", "stripe", "reconcile", "--biller", biller).code == 1


def test_what_a_mapping_reads_is_given_no_api_key(cli: Cli, engine: Engine, brand: Brand, tmp_path: Path) -> None:
    """It has no API: the key would open nothing."""
    with transaction(engine, brand.brand_id) as connection:
        biller_id = billers.create(connection, brand.brand_id, New("mapped", ["user:password"], mapping=MAPPING))
    (tmp_path / "key").write_text(KEY)
    refused = cli("billers", "secrets", "--biller", biller_id, "--api-key-file", tmp_path / "key")
    assert (refused.code, "has no API" in refused.err) == (2, True)
