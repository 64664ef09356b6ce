"""A coupon that is saved again pays out nothing of what was over when its promise became known (SEMANTICS 6)."""

import pytest

from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody
from issuance.laws import LAWS, look
from tests.database.billers import Biller

DAY = "2031-06-10"
MONTHS = [f"{year}-{month:02}-01" for year in (2030, 2031) for month in range(1, 13)][:18]


def save(biller: Biller, validity: str | None) -> None:
    said = {"name": "Tea", "discount": {"type": "percent", "value": 100}, "validity": validity}
    with biller.open() as connection:
        coupons.put(connection, biller.club.brand_id, "Tea", CouponBody.model_validate(said))


@pytest.mark.parametrize("late", ["an import", "effective_from"])
@pytest.mark.parametrize("longer", ["P1Y", None])
def test_a_longer_validity_pays_out_no_old_months(biller: Biller, late: str, longer: str | None) -> None:
    """Neither at the next settling nor by `check`: what had been over by the validity that it had then stays over."""
    if late == "an import":
        biller.rule(validity="P2D")
        save(biller, "P30D")  # a slip, corrected before the import
        biller.to(DAY)
        biller.sign_up("2030-01-01", DAY)
    else:
        biller.sign_up("2030-01-01", "2030-01-01")
        biller.to(DAY)
        biller.rule(validity="P30D", effective_from="2030-01-01")
    for month in MONTHS:
        biller.charge("succeeded", month, time=month)
    assert biller.held() == ["2031-06-01 live"]
    biller.to("2031-07-20")
    save(biller, longer)
    biller.paid("2031-08-01")
    assert biller.held() == ["2031-06-01 expired", "2031-08-01 live"]
    with biller.open() as connection:
        assert not [found for found in look(connection, biller.club.brand_id, LAWS) if any(found.values())]
    biller.charge("succeeded", "2031-07-01", time="2031-07-01")
    assert biller.held()[1:] == ["2031-07-01 live", "2031-08-01 live"]  # it is no old one
