"""Many corrections at once: each by itself, with its own reason, and within bounds (SEMANTICS 15)."""

from uuid import UUID

import pytest

from issuance.corrections import desk
from issuance.corrections.wanted import Correction, Extend, Grant, Reinstate, Revoke, Transfer
from tests.database.clubs import at
from tests.database.desks import Desk, bea_and_ada, desk_of
from tests.limits import Limit

__all__ = ["bea_and_ada", "desk_of"]


def test_many_are_corrected_at_once(desk_of: Desk) -> None:
    """What is refused changes nothing, the rest is made; one sees what the one before it did."""
    ada, bea = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    wanted: list[Correction] = [
        Extend(ada, at("2031-03-20"), "closed"),
        Extend(ada, at("2031-03-10"), "closed"),
        Revoke(bea, "x"),
        Reinstate(bea, "x"),
        Extend("NOSUCHCODE", at("2031-03-20"), "closed"),
        Grant(desk_of.membership_id, "Tea", "x"),
        Transfer(bea, "x", UUID(int=3)),
        Revoke(bea, "x"),
    ]
    before = desk_of.all()
    tried = many(desk_of, wanted, dry_run=True)
    assert desk_of.all() == before
    done = many(desk_of, wanted, dry_run=False)
    for corrected in (tried, done):
        assert sorted(corrected.credits) == [0, 2, 3, 5, 6]
        assert {place: refusal.code for place, refusal in corrected.refused.items()} == (
            {1: "invalid", 4: "not_found", 7: "transferred"}
        )
    assert (desk_of.shown(ada)["expires_at"], tried.membership_ids) == (at("2031-03-20"), [])
    assert [tried.credits[place]["code"] for place in (0, 2, 3, 5, 6)] == [ada, bea, bea, None, None], "kept by nobody"
    assert all(one["code"] for one in done.credits.values())
    entries = desk_of.biller.club.rows("SELECT after FROM audit_entries WHERE action = 'correction.made' ORDER BY at")
    assert [entry.after["dry_run"] for entry in entries] == [True, False]
    assert (entries[1].after["extended"], entries[1].after["refused"], len(entries[1].after["credit_ids"])) == (1, 3, 3)
    assert desk_of.offenders() == []


@pytest.mark.parametrize("of_all", [None, "closed"])
def test_the_reasons_of_each_are_in_the_audit(desk_of: Desk, of_all: str | None) -> None:
    """Those that differ from the reason of all, in the order of the corrections; a dry run has corrected no credit."""
    ada, bea = desk_of.code("Ada", "2031-02-01"), desk_of.code("Bea", "2031-02-01")
    wanted: list[Correction] = [
        Extend(ada, at("2031-03-20"), "closed"),
        Grant(desk_of.membership_id, "Tea", "goodwill"),
        Extend(ada, at("2031-03-10"), "refused"),
        Revoke(bea, "a mistake"),
        Reinstate(bea, "none after all"),
    ]
    many(desk_of, wanted, dry_run=True, reason=of_all)
    done = many(desk_of, wanted, dry_run=False, reason=of_all)
    said = [
        {"credit_id": str(credit["id"]), "reason": wanted[place].reason}
        for place, credit in done.credits.items()
        if wanted[place].reason != of_all
    ]
    assert len(said) == (4 if of_all is None else 3)
    sql = "SELECT reason, after FROM audit_entries WHERE action = 'correction.made' ORDER BY at"
    entries = desk_of.biller.club.rows(sql)
    assert [(entry.reason, entry.after["reasons"]) for entry in entries] == [(of_all, []), (of_all, said)]


@pytest.mark.parametrize("bound", ["seconds", "credits"])
def test_many_are_bounded(desk_of: Desk, monkeypatch: pytest.MonkeyPatch, limit: Limit, bound: str) -> None:
    """Over HTTP, in time and in what is loaded for them: beyond it nothing is made."""
    if bound == "seconds":
        limit("corrections", seconds=-1.0)
    else:
        monkeypatch.setattr(desk, "together", lambda *_: 0)
    wanted: list[Correction] = [Revoke(code, "x") for (code,) in desk_of.biller.club.rows("SELECT code FROM credits")]
    before = desk_of.all()
    with pytest.raises(desk.TooMuchToCorrect), desk_of.biller.open() as connection:
        desk.correct_all(connection, desk_of.brand_id, wanted, reason="x", dry_run=False, bounded=True)
    assert desk_of.all() == before


def many(desk_of: Desk, wanted: list[Correction], *, dry_run: bool, reason: str | None = "closed") -> desk.Corrected:
    with desk_of.biller.open() as connection:
        corrected = desk.correct_all(connection, desk_of.brand_id, wanted, reason=reason, dry_run=dry_run)
    desk_of.biller.club.settle(corrected.membership_ids)
    return corrected
