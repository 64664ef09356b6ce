"""Law 3: no credit without a released occurrence, a manual run or a grant: none extra, and none early."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.credits.credits import LIVE_OR_UPCOMING
from issuance.deciding.facts import Credit, StartMoved
from issuance.laws.law import MOST_OFFENDERS, Law, Offender
from issuance.laws.paper import Paper
from issuance.tenancy import clock

# Settling takes none of them back: what was theirs is thought to have been revoked with them. What guests hold on
# others' orders may be theirs still (SEMANTICS 12).
OF_THE_ARCHIVED = text(f"""
    SELECT 'issued although its member was archived' AS wrong, c.membership_id, c.credit_id, c.credit_rule_id,
           c.guest_id, c.period_start, c.issued_at, p.archived_at
      FROM members p
      JOIN memberships m USING (brand_id, member_id)
      JOIN credits c USING (brand_id, membership_id)
     WHERE brand_id = :brand_id AND p.archived_at <= c.issued_at
       AND {LIVE_OR_UPCOMING}
     LIMIT :most
""")


def ask(connection: Connection, brand_id: UUID) -> Iterator[list[Offender]]:
    """Credits that an archived member's memberships were given since, and that can be used."""
    which = {"brand_id": brand_id, "now": clock.read(connection, brand_id).now, "most": MOST_OFFENDERS}
    yield [dict(row) for row in connection.execute(OF_THE_ARCHIVED, which).mappings()]


def judge(paper: Paper) -> Iterator[Offender]:
    """Credits that can be used although nothing released them, or what did was taken back; and those that were
    issued before their period had begun."""
    for change in paper.settlement.change:
        if change.why is not None and change.before.revoked_at is None and change.after.revoked_at is not None:
            yield _offender(paper, change.before, f"live without a release ({change.why})")
    history = paper.history
    # The sign-up's credit may have been issued for a start that was moved since.
    moved = (fact.starts_on for fact in history.facts.told if isinstance(fact, StartMoved))
    starts = {history.facts.starts_on, *moved}
    for credit in paper.membership.credits:
        if credit.manual:
            continue
        key = credit.key
        begins = history.signed_up_at if key.period_start in starts else history.start_of(key.period_start)
        if credit.issued_at < begins and credit.revoked_at is None:
            yield _offender(paper, credit, "issued before its period began")


def _offender(paper: Paper, credit: Credit, wrong: str) -> Offender:
    return {
        "wrong": wrong,
        "membership_id": paper.membership.membership_id,
        "credit_id": paper.membership.credit_ids[credit.key],
        "credit_rule_id": None if credit.is_grant else credit.key.credit_rule_id,
        "guest_id": paper.membership.guest_ids[credit.key.place],
        "period_start": None if credit.is_grant else credit.key.period_start,
    }


LAW = Law(3, "released", "No credit without a released occurrence, a manual run or a grant.", ask, judge)
