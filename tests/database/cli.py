"""The command line in this process, and a brand with a membership to ask it about."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.cli.main import main
from issuance.database.connections import engine_for, transaction
from issuance.engine import arrivals
from issuance.settings import settings


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Ran]


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> Iterator[Cli]:
    """Runs the command line in this process: the exit code, stdout and stderr."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    handlers = logging.getLogger().handlers[:]

    def run(*arguments: object, stdin: str = "") -> Ran:
        settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["issuance", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(int(str(ended.value.code)), printed.out, printed.err)

    yield run
    settings.cache_clear()
    logging.getLogger().handlers[:] = handlers


class Brand(NamedTuple):
    """A brand with one membership type, one coupon and one rule that issues on sign-up."""

    brand_id: UUID
    membership_type_id: UUID
    credit_rule_id: UUID


@pytest.fixture
def brand(cli: Cli, database_url: str) -> Brand:
    made = cli("brands", "create", "--name", "Spa", "--timezone", "Europe/Lisbon", "--sandbox").json
    brand_id = UUID(made["brand_id"])
    with transaction(engine_for(database_url), brand_id) as connection:
        kind = membership_types.create(connection, brand_id, NewMembershipType(name="Gold", billing="external"))
        discount = {"type": "percent", "value": 10}
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate({"name": "Spa", "discount": discount}))
        rule = rules.create(
            connection,
            brand_id,
            NewCreditRule(
                membership_type_id=kind["id"], coupon_id="spa", coupon_name="Spa", issue_on_signup=True, roll_over=True
            ),
        )
    return Brand(brand_id, kind["id"], rule["id"])


def sign_up(brand: Brand, membership_id: UUID, **attributes: object) -> dict[str, Any]:
    """A sign-up in 2090, after every rule of these tests was made."""
    data = {
        "membership_id": str(membership_id),
        "membership_type_id": str(brand.membership_type_id),
        "external_user_id": f"user-{membership_id}",
        "starts_on": "2090-01-31",
        "billing_frequency": "P1M",
    }
    event = {"specversion": "1.0", "id": str(uuid4()), "source": "test", "time": "2090-01-31T10:00:00Z"}
    return {**event, "type": "membership.signed_up", "data": data, **attributes}


@pytest.fixture
def membership_id(cli: Cli, brand: Brand, database_url: str) -> UUID:
    """A membership that has signed up and is settled, on a clock that stands the day after."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    engine = engine_for(database_url)
    with transaction(engine, brand.brand_id) as connection:
        connection.exec_driver_sql(
            "UPDATE brands SET clock_now = '2090-02-01T00:00:00Z' WHERE brand_id = %s", (brand.brand_id,)
        )
    arrivals.settle_soon(engine, brand.brand_id, [membership_id])
    return membership_id
