"""Law 3: no credit without a released occurrence or a manual run: none extra, and none early."""

from collections.abc import Iterator

from issuance.deciding.facts import Credit
from issuance.laws.law import Law, Offender
from issuance.laws.paper import Paper


def judge(paper: Paper) -> Iterator[Offender]:
    """Credits that can be used although nothing released them, or what did was taken back; and those that were
    issued before their period had begun."""
    for change in paper.settlement.change:
        if change.why is not None and change.before.revoked_at is None and change.after.revoked_at is not None:
            yield _offender(paper, change.before, f"live without a release ({change.why})")
    facts = paper.membership.facts
    for credit in paper.membership.credits:
        key = credit.key
        begins = facts.signed_up_at if key.period_start == facts.starts_on else paper.history.start_of(key.period_start)
        if credit.issued_at < begins and not credit.manual:
            yield _offender(paper, credit, "issued before its period began")


def _offender(paper: Paper, credit: Credit, wrong: str) -> Offender:
    return {
        "wrong": wrong,
        "membership_id": paper.membership.membership_id,
        "credit_id": paper.membership.credit_ids[credit.key],
        "credit_rule_id": credit.key.credit_rule_id,
        "guest_id": paper.membership.guest_ids[credit.key.place],
        "period_start": credit.key.period_start,
    }


LAW = Law(3, "released", "No credit without a released occurrence or a manual run.", judge=judge)
